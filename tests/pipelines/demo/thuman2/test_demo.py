"""The demo of THuman2.0: its layout, its people, its fits and its faults."""

import hashlib
import json
import pickle
import shutil
from unittest import mock

import numpy as np
import pytest
import trimesh
from tessera.datasets.errors import FormatError, UsageError
from tessera.datasets.safe_pickle import safe_loads
from tessera.datasets.surface.surface import Surface
from tessera.pipelines.bodies.model import load_model, model_path
from tessera.pipelines.bodies.standin import write_stand_in
from tessera.pipelines.demo.thuman2 import generate, produce

PEOPLE = [f"{number:04d}" for number in range(6)]


def made(models, out, **options):
    with mock.patch.object(produce, "write_stand_in", lambda folder: shutil.copytree(models, folder)):
        generate(out, scale="small", **options)


@pytest.fixture(scope="module")
def models(once):
    return once("body_models", write_stand_in)


@pytest.fixture(scope="module")
def demo(once, models):
    return once("thuman2_demo", lambda path: made(models, path, faults=True))


def scan(demo, name):
    return trimesh.load(demo / "scans" / name / f"{name}.obj", process=False)


def fit(demo, name):
    return safe_loads((demo / "fits" / name / "smplx_param.pkl").read_bytes())


def fitted(demo, values):
    """(V, 3) the fit's body, in the scan's units."""
    body = load_model(model_path(demo / "body_models", "male"))
    names = [name for name in values if name not in ("scale", "translation", "tessera_stand_in")]
    return produce.pose_fit(body, {name: values[name] for name in names}) * values["scale"] + values["translation"]


def test_layout_is_that_of_thuman2(demo):
    found = sorted(path.relative_to(demo).as_posix() for path in demo.glob("*/0000/*"))
    assert found == ["fits/0000/smplx_param.pkl", "scans/0000/0000.obj", "scans/0000/material0.jpeg",
                     "scans/0000/material0.mtl"]  # fmt: skip
    assert (demo / "all.txt").read_text().split() == [f"{number:04d}" for number in range(12)]
    splits = {name: (demo / f"{name}.txt").read_text().split() for name in ("train", "test", "val")}
    assert splits["test"] == ["thuman2/0004"] and splits["val"] == ["thuman2/0005"] and len(splits["train"]) == 10
    mtl = (demo / "scans/0000/material0.mtl").read_text()
    assert "newmtl material0\n" in mtl and "map_Kd material0.jpeg\n" in mtl


def test_fits_are_pickles_as_the_authors_wrote_them(demo):
    data = (demo / "fits" / "0000" / "smplx_param.pkl").read_bytes()
    assert data[:2] == b"\x80\x03" and b"trimesh.caching" in data and b"TrackedArray" in data
    plain = pickle.loads(data)
    shapes = {"betas": 10, "global_orient": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12,
              "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10}  # fmt: skip
    for name, size in shapes.items():
        assert plain[name].dtype == np.float32 and plain[name].shape == (1, size)
    for name, shape in (("scale", ()), ("translation", (3,))):
        assert type(plain[name]).__name__ == "TrackedArray" and plain[name].dtype == np.float64
        assert plain[name].shape == shape
    assert 0.40 < plain["scale"] < 0.46 and plain["tessera_stand_in"].endswith("not SMPL-X")


@pytest.mark.parametrize("name", PEOPLE)
def test_scans_are_closed_textured_and_round_their_bodies(demo, name):
    found = scan(demo, name)
    surface = Surface(found.vertices, found.faces)
    report = surface.report
    assert (report.open_edges, report.crossing_faces, report.turned_faces, report.parts) == (0, 0, 0, 1)
    assert len(found.faces) > 20_000 and found.visual.uv.shape == (len(found.vertices), 2)
    assert found.visual.uv.min() >= 0 and found.visual.uv.max() <= 1
    colours = np.asarray(found.visual.to_color().vertex_colors)[:, :3]
    assert len(np.unique(colours // 32, axis=0)) > 8
    values = fit(demo, name)
    body = fitted(demo, values)
    metre = float(values["scale"])
    inside = surface.signed_distance(body).distance / metre
    assert np.quantile(inside, 0.9) < 0.004 and inside.max() < 0.03  # a coarse grid cuts off tips
    away = Surface(body, load_model(model_path(demo / "body_models", "male")).faces, method="winding")
    off = away.signed_distance(found.vertices).distance / metre
    assert off.max() < 0.09 and 0.005 < off.mean() < 0.04 and off.std() > 0.005


def test_people_differ(demo):
    heights = [np.ptp(scan(demo, name).vertices[:, 1]) / float(fit(demo, name)["scale"]) for name in PEOPLE]
    assert np.std(heights) > 0.05 and min(heights) > 1.1 and max(heights) < 2.5
    poses = np.stack([fit(demo, name)["body_pose"][0] for name in PEOPLE])
    hands = np.stack([fit(demo, name)["left_hand_pose"][0] for name in PEOPLE])
    for values in (poses, hands):
        gaps = np.linalg.norm(values[:, None] - values[None], axis=-1) + 9 * np.eye(6)
        assert gaps.min() > 0.3


def test_the_number_of_workers_changes_no_byte(demo, models, tmp_path):
    made(models, tmp_path / "demo", workers=2)
    for name in PEOPLE:
        for path in (f"scans/{name}/{name}.obj", f"scans/{name}/material0.jpeg", f"fits/{name}/smplx_param.pkl"):
            one, other = (hashlib.sha256((root / path).read_bytes()).hexdigest() for root in (demo, tmp_path / "demo"))
            assert one == other, path


def test_faults_are_what_they_say(demo):
    found = {entry["kind"]: entry["subject"] for entry in json.loads((demo / "faults.json").read_text())}
    report = {kind: Surface(*mesh(demo, found[kind])).report for kind in
              ("open mesh", "flipped faces", "stray component")}  # fmt: skip
    assert report["open mesh"].open_edges > 10 and report["open mesh"].method == "winding"
    flipped = report["flipped faces"]
    assert abs(flipped.turned_faces - flipped.faces // 9) < 3 and flipped.open_edges == 0
    assert report["stray component"].parts == 2
    assert not (demo / "scans" / found["missing texture"] / "material0.jpeg").exists()
    values = fit(demo, found["wrong-scale fit"])
    assert values["scale"] > 0.6
    scanned = scan(demo, found["wrong-scale fit"]).vertices
    assert np.ptp(fitted(demo, values)[:, 1]) > 1.3 * np.ptp(scanned[:, 1])


def mesh(demo, name):
    found = scan(demo, name)
    return found.vertices, found.faces


def test_the_hostile_pickle_runs_nothing(demo, tmp_path, monkeypatch):
    (entry,) = [x for x in json.loads((demo / "faults.json").read_text()) if x["kind"] == "hostile pickle"]
    data = (demo / "fits" / entry["subject"] / "smplx_param.pkl").read_bytes()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormatError, match=r"mkdir.* is refused"):
        safe_loads(data)
    assert not list(tmp_path.iterdir())
    pickle.loads(data)  # and it would have
    assert (tmp_path / "hostile_pickle_ran").exists()


def test_what_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for options, what in (({"out": tmp_path}, "not an empty folder"), ({"scale": "huge"}, "scale is 'huge'"),
                          ({"seed": -1}, "seed is -1"), ({"workers": 0}, "workers is 0")):  # fmt: skip
        with pytest.raises(UsageError, match=what):
            generate(**({"out": tmp_path / "demo", "scale": "small"} | options))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_is_left_where_it_fails(tmp_path):
    def fail(folder):
        raise RuntimeError("no room")

    with mock.patch.object(produce, "write_stand_in", fail), pytest.raises(RuntimeError):
        generate(tmp_path / "demo", scale="small")
    assert not list(tmp_path.iterdir())
