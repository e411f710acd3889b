"""What evaluation says of a person whose surface is known: a true scan has no error, a moved one has that much."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tessera.datasets import Dataset, Record, Stream
from tessera.datasets.transforms import load_transform
from tessera.training.engines.implicit.body import BodyQuery, body_surface
from tessera.training.engines.implicit.evaluate import FourViews, OfPerson, figures
from tessera.training.evaluate import EvalOptions
from tessera.training.fields.mesh import Mesh
from tessera.training.people.own_body import OwnBody

from . import scan_oracle as oracle
from . import scan_runs
from .scan_oracle import Triangles

FEATURES = ("sdf", "cmap", "norm", "vis", "part")


def in_cube(scan: Triangles, calib: np.ndarray, off: float = 0.0) -> Mesh:
    """The scan in a view's cube, its vertices moved outwards by metres; faces outwards by numbers, as of networks."""
    vertices = scan.vertices
    if off:
        ab, ac = (vertices[scan.faces[:, i]] - vertices[scan.faces[:, 0]] for i in (1, 2))
        normals = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(normals, scan.faces[:, corner], np.cross(ab, ac))
        vertices = vertices + off * normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return Mesh(vertices @ calib[:3, :3].T + calib[:3, 3], np.ascontiguousarray(scan.faces[:, ::-1], np.int32))


@pytest.mark.parametrize("yaw", [0, 90])
def test_the_true_scan_has_no_error_and_a_thicker_one_has_its_thickness(
    subject: Record, scan: Triangles, thuman2: Dataset, yaw: int
) -> None:
    fields = ["calib", "subject.scan_surface", "subject.scan_surface_normal", "subject", "yaw", "pitch"]
    batch = Stream(thuman2.root, "views", fields=fields, batch_size=1, threads=0).get([f"{subject.key}-{yaw:03d}"])
    calib = batch["calib"][0].double().numpy()
    options, truth = EvalOptions(samples=20_000), OfPerson({}).scan(batch)
    exact = figures(in_cube(scan, calib), batch["calib"], truth, options)
    assert max(exact["chamfer_cm"], exact["published_chamfer"], exact["p2s_cm"], exact["reverse_p2s_cm"]) < 0.03
    thick = figures(in_cube(scan, calib, 0.005), batch["calib"], truth, options)
    assert thick["chamfer_cm"] == pytest.approx(0.5, rel=0.08)
    per_cm = float(np.linalg.norm(calib[0, :3]))  # of the published unit
    assert thick["published_chamfer"] == pytest.approx(0.5 * per_cm, rel=0.12)


@pytest.mark.parametrize("yaw", [0, 90, 180])
def test_the_true_scan_has_the_stored_normals_from_all_four_sides(
    subject: Record, scan: Triangles, thuman2: Dataset, yaw: int
) -> None:
    record = thuman2.table("views")[f"{subject.key}-{yaw:03d}"]
    batch = {"yaw": torch.tensor([yaw]), "pitch": torch.tensor([0.0]), "subject": [subject.key],
             "calib": torch.from_numpy(record["calib"])[None]}  # fmt: skip
    views = FourViews(str(thuman2.root))
    error = views.error(batch, in_cube(scan, record["calib"]))
    other = thuman2.table("views")[f"{subject.key}-{(yaw + 90) % 360:03d}"]
    turned = views.error(batch, in_cube(scan, other["calib"]))
    assert error < 0.004 and turned > 20 * error  # pixels of the outline differ in pictures as small as these
    assert np.isnan(views.error({**batch, "yaw": torch.tensor([yaw + 45])}, in_cube(scan, record["calib"])))


def test_the_true_scan_has_the_stored_normals_of_cameras_that_look_down(
    thuman2_demo: Path, once: scan_runs.Once
) -> None:
    """They go round the world's axis, not round that of the picture: taken for the latter, the true scan is 0.4 off."""
    options = {"views": 4, "size": 128, "pitch": "25", "only": "0000", "without": "points,surface,body_points"}

    def make(out: Path) -> None:
        assert scan_runs.run("thuman2", thuman2_demo, out, **options).complete

    made = Dataset(once("thuman2-pitched", make))
    faces = oracle.raw_scan(thuman2_demo, "0000").faces
    person = Triangles(oracle.world_scan(thuman2_demo, "0000"), faces)
    for record in list(made.table("views"))[:2]:
        batch = {"yaw": torch.tensor([record.columns["yaw"]]), "pitch": torch.tensor([record.columns["pitch"]]),
                 "subject": ["0000"], "calib": torch.from_numpy(record["calib"])[None]}  # fmt: skip
        error = FourViews(str(made.root)).error(batch, in_cube(person, record["calib"]))
        assert record.columns["pitch"] == 25 and error < 0.004


@pytest.mark.parametrize("number", [0, 1])
def test_a_body_asked_at_evaluation_says_what_the_shards_say(subject: Record, thuman2: Dataset, number: int) -> None:
    fields = ["calib", "body_visible", *(f"subject.{x}" for x in (
        "points", "body_face", "body_bary", "body_sdf", "body_normals", "body_vertices"))]  # fmt: skip
    stream = Stream(
        thuman2.root, "views", fields=fields, batch_size=1, threads=0, sample={"subject.points": 3000},
        transforms=[load_transform("pick_body", body=number),
                    load_transform("icon_features", features=FEATURES, drop=False)],
    )  # fmt: skip
    batch = stream.get([f"{subject.key}-090"])
    with np.load(Path(thuman2.root) / "assets" / "body.npz") as file:
        arrays = {name: file[name] for name in ("faces", "canonical", "part")}
    vertices, normals, visible, calib = (
        batch[name][0].numpy() for name in ("subject.body_vertices", "subject.body_normals", "body_visible", "calib")
    )
    body = BodyQuery(body_surface(vertices, arrays["faces"]), normals, visible, calib, arrays, FEATURES)
    found = body(batch["subject.points"][0])
    for name in FEATURES:
        off = (found[f"icon_{name}"].double() - batch[f"icon_{name}"].double()).abs().reshape(3000, -1).amax(1)
        # stored places have eight bits; at edges between faces of unlike values they may name the neighbour
        assert float(off.median()) < 4e-3 and float((off > 0.05).double().mean()) < 0.02, name


def test_a_user_s_body_is_seen_as_the_shards_see_it(subject: Record, thuman2: Dataset) -> None:
    record = thuman2.table("views")[f"{subject.key}-090"]
    with np.load(Path(thuman2.root) / "assets" / "body.npz") as file:
        arrays = {name: file[name] for name in ("faces", "canonical", "part")}
    body = OwnBody(subject["body_vertices"][0].astype(np.float64), arrays["faces"], record["calib"], arrays)
    away = oracle.degrees_between(body.normals, subject["body_normals"][0].astype(np.float64))
    assert away.max() < 0.1  # stored vertices are float32, stored normals steps of 0.015 degrees
    for side in "fb":
        found, wanted = body.normal_map(128, side == "b"), record[f"body_normal_{side}"]
        both = (np.linalg.norm(found, axis=-1) > 0.5) & (np.linalg.norm(wanted, axis=-1) > 0.5)
        assert both.sum() > 0.98 * (np.linalg.norm(wanted, axis=-1) > 0.5).sum()
        assert np.median(1 - (found[both] * wanted[both]).sum(-1)) < 1e-3
