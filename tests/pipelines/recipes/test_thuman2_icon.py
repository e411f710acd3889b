"""What networks get of THuman2.0, against raw files: ICON's features and balance, the grid, PaMIR's volume."""

from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Dataset, Record, Stream
from tessera.datasets.transforms import load_transform

from . import scan_oracle as oracle
from .scan_oracle import Triangles

COUNT = 6000
CHANNEL = 2 / 255  # a step of barycentric coordinates, of which the first may be two off
FIELDS = ["calib", "body_visible", *(f"subject.{name}" for name in (
    "points", "sdf", "body_sdf", "body_face", "body_bary", "body_normals"))]  # fmt: skip


@pytest.fixture(scope="module")
def canonical(thuman2_demo: Path) -> np.ndarray:
    """(V, 3) ICON's and PaMIR's colours: the template, each axis from 0 to 1."""
    with np.load(thuman2_demo / "body_models" / "smplx" / "SMPLX_MALE.npz") as file:
        template = file["v_template"].astype(np.float64)
    return (template - template.min(0)) / np.ptp(template, axis=0)


def test_assets_are_those_of_the_body_model(thuman2: Dataset, thuman2_demo: Path, canonical: np.ndarray) -> None:
    with np.load(thuman2.root / "assets" / "body.npz") as file:
        np.testing.assert_array_equal(file["faces"], oracle.body_model(thuman2_demo / "body_models", False).faces)
        np.testing.assert_allclose(file["canonical"], canonical, atol=1e-7)
        names = [*oracle.JOINTS[:22], "left_hand", "right_hand"]
        assert file["part_names"].tolist() == names
        np.testing.assert_array_equal(file["part"], oracle.parts_of(thuman2_demo))


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("yaw", [0, 90])
def test_icon_s_inputs_are_those_of_a_plain_computation(
    subject: Record, bodies: list[Triangles], canonical: np.ndarray, thuman2: Dataset, number: int, yaw: int
) -> None:
    """Streamed features of drawn points, against distances, signs, normals and rays in the cube that calib maps to.

    cal_sdf_batch and the query of HGPIFuNet: distance in the cube over sqrt(3), positive inside, beyond 0.15 the sign;
    cmap likewise; normals of the projected body times (-1, 1, -1); visibility between vertices, seen from 0.1 on.
    """
    transforms = [load_transform("pick_body", body=number), load_transform("icon_features")]
    stream = Stream(
        thuman2.root, "views", fields=FIELDS, transforms=transforms, sample={"subject.points": COUNT}, threads=0
    )
    batch = stream.get([f"{subject.key}-{yaw:03d}"])
    got = {name: batch[f"icon_{name}"][0].numpy().astype(np.float64) for name in ("sdf", "cmap", "norm", "vis")}
    points, calib = batch["subject.points"][0].numpy().astype(np.float64), batch["calib"][0].numpy()
    stream.close()
    assert len(points) == COUNT

    body = bodies[number]
    _, face, bary = body.closest(points)
    cube = lambda places: places @ calib[:3, :3].T + calib[:3, 3]  # noqa: E731
    distance = np.linalg.norm(cube(points) - cube(body.places(face, bary)), axis=1) / np.sqrt(3)
    sign = np.sign(got["sdf"])
    few = np.flatnonzero(distance > 2e-4)[::60]
    np.testing.assert_array_equal(sign[few] > 0, body.winding(points[few]) > 0.5)
    clipped = distance >= 0.15
    clear = np.abs(distance - 0.15) > 2e-4
    assert (0.02 < clipped.mean() < 0.6) and (np.abs(got["sdf"])[clipped & clear] == 1).all()
    assert np.abs(np.abs(got["sdf"]) - distance)[~clipped & clear].max() < 1.5e-4

    near = ~clipped & clear & (distance < 0.02)  # further away, several places may be as close
    corners = body.faces[face]
    wanted = np.einsum("nk,nkc->nc", bary, canonical[corners])
    off = np.abs(got["cmap"] - wanted).max(1)
    assert np.quantile(off[near], 0.99) < 2e-3 and np.median(off[near]) < 5e-4
    np.testing.assert_array_equal(got["cmap"][clipped & clear], np.repeat(sign[clipped & clear, None], 3, 1))

    vertices = cube(body.vertices)
    mirrored = Triangles(vertices, body.faces).normals * [-1, 1, -1]
    wanted = np.einsum("nk,nkc->nc", bary, mirrored[corners])
    off = np.linalg.norm(got["norm"] - wanted, axis=1)
    assert np.quantile(off[near], 0.98) < 0.03 and np.median(off[near]) < 3e-3

    facing = body.normals @ np.linalg.inv(calib[:3, :3])[:, 2] > 0
    free = ~body.cast(body.vertices + 1e-4 * body.normals, np.linalg.inv(calib[:3, :3])[:, 2])[0]
    wanted = np.einsum("nk,nk->n", bary, (facing & free)[corners].astype(float)) >= 0.1
    assert (got["vis"] == wanted)[near].mean() > 0.99 and 0.2 < got["vis"].mean() < 0.8


def test_occupancy_at_icon_s_balance_is_inside_the_scan(subject: Record, scan: Triangles, thuman2: Dataset) -> None:
    """Half of the points inside, half outside, drawn from strata by name; as ray parity says."""
    strata = next(f for f in subject.schema.fields if f.name == "points_strata").options["strata"]
    counts = {name: 300 for name in strata if name.startswith(("near_5cm", "uniform"))}
    stream = Stream(
        thuman2.root, "views", fields=["subject.points", "subject.sdf"], sample={"subject.points": counts}, threads=0,
        transforms=[load_transform("occupancy", field="subject.sdf")],
    )  # fmt: skip
    batch = stream.get([f"{subject.key}-000"])
    stream.close()
    inside = batch["occupancy"][0].numpy()
    assert inside.sum() == 600 == (~inside).sum()
    sure = np.abs(batch["subject.sdf"][0].numpy()) > 1e-5
    points = batch["subject.points"][0].numpy().astype(np.float64)
    np.testing.assert_array_equal(inside[sure], scan.parity(points)[sure])


def centres(half: float, which: np.ndarray) -> np.ndarray:
    return -half + 2 * half / 128 * (which + 0.5)


def test_the_grid_holds_distances_at_its_cells_centres(
    subject: Record, scan: Triangles, bodies: list[Triangles]
) -> None:
    """In the cube of the references, 204.8 units where the scan is 180 tall."""
    half = float(subject["cube_half_side"])
    assert half == pytest.approx(float(subject["height"]) * 102.4 / 180)
    which = np.random.default_rng(0).integers(0, 128, (8000, 3))
    at, points = tuple(which.T), centres(half, which)
    for mesh, name in ((scan, "grid"), (bodies[0], "grid_body_sdf")):
        found = subject[name]
        assert found.shape == (128, 128, 128)
        stored, distance = found[at].astype(np.float64), mesh.closest(points)[0]
        assert (np.abs(np.abs(stored) - distance) <= np.spacing(distance.astype(np.float16)) / 2 + 2e-6).all()
        few = np.flatnonzero(distance < 0.05)[::4]
        inside = scan.parity(points[few]) if mesh is scan else mesh.winding(points[few[:60]]) > 0.5
        few = few[: len(inside)]
        np.testing.assert_array_equal(stored[few] < 0, inside)
        assert (found < 0).sum() * (2 * half / 128) ** 3 == pytest.approx(volume_of(mesh), rel=0.03)
    place = bodies[0].places(subject["grid_body_face"][at].astype(int), subject["grid_body_bary"][at].astype(float))
    away = np.linalg.norm(points - place, axis=1) - bodies[0].closest(points)[0]
    assert away.min() > -2e-6 and np.quantile(away, 0.999) < 4e-4


def volume_of(mesh: Triangles) -> float:
    """Of what faces enclose, by the divergence theorem."""
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_volumes_are_full_inside_the_body_with_the_colour_of_the_closest_place(
    subject: Record, bodies: list[Triangles], canonical: np.ndarray, number: int
) -> None:
    body, half = bodies[number], float(subject["height"]) * 102.4 / 180
    volume = subject["body_volume"][number]
    full = (volume > 0).any(-1)
    np.testing.assert_array_equal(full, (volume > 0).all(-1))
    rng = np.random.default_rng(number)
    inside = rng.permutation(np.argwhere(full))
    shell = rng.permutation(np.argwhere(~full & (np.roll(full, 2, 0) | np.roll(full, -2, 1) | np.roll(full, 2, 2))))
    for cells, sign in ((inside[:60], True), (shell[:60], False)):
        winding = body.winding(centres(half, cells))
        clear = np.abs(winding - 0.5) > 1e-3
        assert clear.mean() > 0.9 and ((winding > 0.5)[clear] == sign).all()
    distance, face, bary = body.closest(centres(half, inside))
    wanted = 1 + 254 * np.einsum("nk,nkc->nc", bary, canonical[body.faces[face]])
    off = np.abs(volume[tuple(inside.T)] - wanted).max(1)
    assert np.quantile(off[distance < 0.02], 0.99) <= 0.51 and np.median(off) <= 0.51
