"""Folders of scans in any format, RenderPeople and CAPE: what their records say, against shapes that are known."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from tessera.datasets import Dataset, Record
from tessera.pipelines.bodies.model import BodyModel, load_model, model_path

from .scan_runs import Once, body_models, rejects, run, smpl_models, some_subjects, subjects, tessera, thuman2_demo

RADIUS = 0.9  # metres
QUICK = {"views": 2, "size": 64, "variants": 1, "without": "points,surface,body_points,scan_surface,image"}
POINTS = QUICK | {"without": "surface,body_points,scan_surface,image"}


def ball(units: float, subdivisions: int = 5) -> trimesh.Trimesh:
    """A ball off the origin, `units` raw units a metre."""
    shape = trimesh.creation.icosphere(subdivisions=subdivisions, radius=RADIUS * units)
    shape.apply_translation([0.3 * units, 1.1 * units, -0.2 * units])
    return shape


def subject(out: Path, name: str) -> Record:
    return Dataset(out).table("subjects")[name]


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One ball in centimetres, in every format, at two depths."""
    raw = tmp_path_factory.mktemp("balls") / "raw"
    (raw / "deep" / "er").mkdir(parents=True)
    for path in ("one.obj", "two.ply", "deep/three.glb", "deep/er/four.stl"):
        ball(100).export(raw / path)
    return raw


@pytest.fixture(scope="module")
def measured(balls: Path) -> Path:
    out = balls.parent / "measured"
    summary = run("scans", balls, out, units_per_metre=100.0, **POINTS)
    assert summary.status == 0 and summary.complete and not summary.rejects
    return out


def test_a_mesh_of_each_format_is_a_subject_named_by_its_path(measured: Path) -> None:
    assert subjects(measured) == ["deep-er-four", "deep-three", "one", "two"]
    views = Dataset(measured).table("views")
    assert len(views) == 8 and {view.columns["subject"] for view in views} == {*subjects(measured)}


@pytest.mark.parametrize("name", ["one", "two", "deep-three", "deep-er-four"])
def test_distances_in_metres_are_those_of_the_ball(measured: Path, name: str) -> None:
    record = subject(measured, name)
    assert float(record["height"]) == pytest.approx(2 * RADIUS, abs=2e-3)
    assert record.columns["sdf_method"] == "pseudonormal" and record.columns["parts"] == 1
    assert record.columns["open_edges"] == record.columns["turned_faces"] == 0
    points = record["points"].astype(np.float64)
    assert len(points) >= 400_000
    truth = np.linalg.norm(points, axis=1) - RADIUS  # the world's origin is the middle of the ball
    assert np.abs(record["sdf"] - truth).max() < 1.5e-3  # facets, and half floats
    clear = np.abs(truth) > 1e-3
    assert ((record["sdf"] < 0) == (truth < 0))[clear].all()


def test_without_a_fit_records_have_no_body(measured: Path) -> None:
    for table in ("subjects", "views"):
        for record in Dataset(measured).table(table):
            assert record.columns["body_model"] == ""
            assert not [name for name in record if "body" in name or name.startswith("noisy") or name == "joints"]
    assert not (measured / "assets").exists()


def test_one_height_for_all_is_the_height_that_records_have(balls: Path, tmp_path: Path) -> None:
    assert run("scans", balls, tmp_path / "out", normalise="height", height=1.6, **QUICK).status == 0
    for name in subjects(tmp_path / "out"):
        record = subject(tmp_path / "out", name)
        raw = ball(100).bounds
        assert float(record["height"]) == pytest.approx(1.6, abs=1e-6)
        assert float(record["scan_scale"]) == pytest.approx(1.8 / np.ptp(raw[:, 1]), rel=1e-5)
        world = trimesh.transform_points(raw, record["world_from_scan"])
        assert np.allclose(world[:, 1], [-0.8, 0.8], atol=1e-5)


def test_where_nothing_tells_the_scale_the_reject_says_how_to_go_on(balls: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = tessera(
        "shards", "scans", "--raw", balls, "--out", out, "--workers", 0, "--views", 1, "--size", 64, status=1
    )
    assert "--max-reject" in done.stdout
    found = rejects(out)
    assert sorted(found) == ["deep-er-four", "deep-three", "one", "two"]
    for reject, path in ((found["one"], "one.obj"), (found["deep-er-four"], "deep/er/four.stl")):
        assert path in (reject.path, reject.error.split(":")[0])
        assert "--units-per-metre" in reject.error and "--normalise height" in reject.error


def test_units_out_of_range_are_refused_in_one_line(balls: Path, tmp_path: Path) -> None:
    for units in ("0", "-3", "1e9"):
        done = tessera("shards", "scans", "--raw", balls, "--out", tmp_path / "out", f"--units-per-metre={units}",
                       status=2)  # fmt: skip
        assert "--units-per-metre" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_fit_beside_a_mesh_is_used_and_says_its_scale(once: Once, balls: Path, tmp_path: Path) -> None:
    demo, raw = thuman2_demo(once), tmp_path / "raw"
    shutil.copytree(demo / "scans" / "0001", raw / "person")
    shutil.copy(demo / "fits" / "0001" / "smplx_param.pkl", raw / "person")
    shutil.copy(balls / "one.obj", raw / "ball.obj")
    summary = run("scans", raw, tmp_path / "out", body_models=body_models(once), **QUICK)
    assert sorted(rejects(tmp_path / "out")) == ["ball"] and summary.lost_units == 1
    record = subject(tmp_path / "out", "person-0001")
    fit = pickle.loads((raw / "person" / "smplx_param.pkl").read_bytes())
    assert np.allclose(record["world_from_scan"][:3, :3] * float(fit["scale"]), np.eye(3), atol=1e-9)
    assert record.columns["body_model"].startswith("stand-in") and record.columns["gender"] == "male"
    assert 0.001 < record.columns["fit_distance"] < 0.06 and record["body_vertices"].shape == (2, 10475, 3)
    seen = Dataset(tmp_path / "out").table("views")["person-0001-000"]
    both = (seen["body_normal_f"] != 0).any(-1) & seen["mask"].astype(bool)
    assert both.sum() > 0.5 * (seen["body_normal_f"] != 0).any(-1).sum() > 50


@pytest.mark.parametrize("name", ["athena_open", "hermes", "penelope"])
def test_signs_of_real_scans_are_those_of_exact_winding_numbers(shared: Path, name: str, tmp_path: Path) -> None:
    igl = pytest.importorskip("igl")
    path = shared / "scans" / f"{name}.ply"
    if not path.is_file():
        pytest.skip(f"{name}.ply is not here")
    (tmp_path / "raw").mkdir()
    shutil.copy(path, tmp_path / "raw" / path.name)
    assert run("scans", tmp_path / "raw", tmp_path / "out", normalise="height", **POINTS | {"views": 1}).status == 0
    record = subject(tmp_path / "out", name)
    opened = name == "athena_open"
    assert record.columns["sdf_method"] == ("winding" if opened else "pseudonormal")
    scan = trimesh.load(path, process=False)
    vertices = trimesh.transform_points(scan.vertices, record["world_from_scan"])
    some = np.random.default_rng(0).choice(len(record["points"]), 8_000, replace=False)
    points = record["points"][some].astype(np.float64)
    winding = igl.winding_number(np.asfortranarray(vertices), np.asfortranarray(scan.faces.astype(np.int64)),
                                 np.asfortranarray(points))  # fmt: skip
    wrong = (record["sdf"][some] < 0) != (winding > 0.5)
    assert wrong.sum() <= (8 if opened else 0)


def write_scan(
    path: Path, vertices: np.ndarray, faces: np.ndarray, picture: Path, colour: tuple[int, int, int]
) -> None:
    """An OBJ of one texture of one colour, as both layouts of RenderPeople have it: no material says its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in vertices] + ["vt 0.5 0.5\n"]
    path.write_text("".join(lines + [f"f {a}/1 {b}/1 {c}/1\n" for a, b, c in faces + 1]))
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(picture, quality=95)


def test_renderpeople_as_pifu_lays_it_out(tmp_path: Path) -> None:
    raw, shape = tmp_path / "raw", ball(100, 3)
    for name, colour in (("rp_ann", (200, 30, 30)), ("rp_bob", (30, 30, 200)), ("rp_bare", (0, 0, 0))):
        folder = raw / f"{name}_OBJ"
        write_scan(folder / f"{name}_100k.obj", shape.vertices, shape.faces, folder / f"tex/{name}_dif_2k.jpg", colour)
    (raw / "rp_bare_OBJ/tex/rp_bare_dif_2k.jpg").unlink()
    (raw / "val.txt").write_text("rp_bob\n")
    run("renderpeople", raw, tmp_path / "out", **POINTS | {"without": "body_points,scan_surface"})
    found = rejects(tmp_path / "out")
    assert sorted(found) == ["rp_bare"] and "texture" in found["rp_bare"].error
    data = Dataset(tmp_path / "out")
    for name, split, channel in (("rp_ann", "train", 0), ("rp_bob", "val", 2)):
        assert [*data.table("subjects", split).keys()] == [name]
        record = subject(tmp_path / "out", name)
        assert float(record["height"]) == pytest.approx(np.ptp(shape.vertices[:, 1]) / 100, abs=1e-5)
        assert record.columns["body_model"] == "" and "body_face" not in record
        colours = record["surface_rgb"].astype(int)
        assert (colours.argmax(1) == channel).all() and np.abs(colours[:, channel] - 200).max() < 12
        image, mask = (data.table("views")[f"{name}-000"][field] for field in ("image", "mask"))
        assert image[mask.astype(bool)].sum(0).argmax() == channel


@pytest.fixture(scope="module")
def smpl(once: Once) -> BodyModel:
    return load_model(model_path(smpl_models(once), "neutral", "smpl"))


def smpl_person(model: BodyModel, scale: float, move: np.ndarray) -> tuple[dict, np.ndarray, np.ndarray]:
    """Parameters, the body in raw units, and a scan that lies a centimetre off it."""
    rng = np.random.default_rng(7)
    given = {"betas": rng.normal(size=10), "global_orient": np.array([0, 0.3, 0]),
             "body_pose": 0.15 * rng.normal(size=69)}  # fmt: skip
    posed = model.pose(given).vertices
    normals = trimesh.Trimesh(posed, model.faces, process=False).vertex_normals
    return given, posed * scale + move, (posed + 0.01 * normals) * scale + move


def check_body(record: Record, gender: str, body: np.ndarray) -> None:
    """The stored fit is the body that the scan was made about."""
    assert record.columns["gender"] == gender and record.columns["body_model"].startswith("stand-in")
    assert "SMPL" in record.columns["body_model"] and "SMPL-X" not in record.columns["body_model"]
    world = trimesh.transform_points(body, record["world_from_scan"])
    assert record["body_vertices"].shape == (2, 6890, 3) and record["joints"].shape == (2, 24, 3)
    assert np.abs(record["body_vertices"][0] - world).max() < 1e-5
    assert 0.004 < record.columns["fit_distance"] < 0.02
    assert np.abs(record["body_vertices"][1] - world).max() > 1e-3


@pytest.mark.parametrize("normalise", ["fit", "height"])
def test_renderpeople_as_pamir_lays_it_out(once: Once, smpl: BodyModel, tmp_path: Path, normalise: str) -> None:
    raw, move = tmp_path / "raw", np.array([0.1, -0.4, 0.05])
    given, body, scan = smpl_person(smpl, 0.37, move)
    folder = raw / "mesh_data" / "rp_cat"
    write_scan(folder / "rp_cat.obj", scan, smpl.faces, folder / "rp_cat.jpg", (30, 200, 30))
    pose = np.concatenate([given["global_orient"], given["body_pose"]])
    fit = {"betas": given["betas"][None], "global_orient": given["global_orient"][None], "body_pose": pose[None],
           "body_scale": np.array([0.37]), "global_body_translation": move[None],
           "tessera_stand_in": smpl.stand_in}  # fmt: skip
    (folder / "smpl").mkdir()
    (folder / "smpl" / "smpl_param.pkl").write_bytes(pickle.dumps(fit, protocol=2))
    options = QUICK | {"normalise": normalise} | ({"height": 1.65} if normalise == "height" else {})
    summary = run("renderpeople", raw, tmp_path / "out", body_models=smpl_models(once), **options)
    assert summary.status == 0 and not summary.rejects
    tall = 1.65 if normalise == "height" else np.ptp(scan[:, 1]) / 0.37
    assert float(subject(tmp_path / "out", "rp_cat")["height"]) == pytest.approx(tall, abs=1e-5)
    check_body(subject(tmp_path / "out", "rp_cat"), "neutral", body)
    assert Dataset(tmp_path / "out").catalog.joint_sets.keys() == {"smpl24"}
    with np.load(tmp_path / "out" / "assets" / "body.npz", allow_pickle=False) as asset:
        assert np.array_equal(asset["faces"], smpl.faces) and asset["canonical"].shape == (6890, 3)


def test_cape_is_all_to_test_on_with_the_gender_of_each_subject(once: Once, smpl: BodyModel, tmp_path: Path) -> None:
    raw, move = tmp_path / "raw" / "cape", np.array([0.2, 0.9, 0.0])
    given, body, scan = smpl_person(smpl, 1.0, move)
    (raw / "scans").mkdir(parents=True)
    (raw / "smpl").mkdir()
    pose = np.concatenate([given["global_orient"], given["body_pose"]])
    for name in ("00032-short-walk-000010", "00134-long-sit-000020", "77777-who-000030"):
        trimesh.Trimesh(scan, smpl.faces, process=False).export(raw / "scans" / f"{name}.obj")
        np.savez(raw / "smpl" / f"{name}.npz", betas=given["betas"], pose=pose, transl=move,
                 tessera_stand_in=np.array(smpl.stand_in))  # fmt: skip
    run("cape", tmp_path / "raw", tmp_path / "out", body_models=smpl_models(once),
        **QUICK | {"views": 3})  # fmt: skip
    found = rejects(tmp_path / "out")
    assert sorted(found) == ["77777-who-000030"] and "gender" in found["77777-who-000030"].error
    data = Dataset(tmp_path / "out")
    assert len(data.table("views", "test")) == len(data.table("views")) == 6
    assert [round(view.columns["yaw"]) for view in data.table("views")][:3] == [0, 120, 240]
    check_body(subject(tmp_path / "out", "00032-short-walk-000010"), "male", body)
    check_body(subject(tmp_path / "out", "00134-long-sit-000020"), "female", body)


def test_a_fit_of_smpl_x_in_a_run_of_smpl_is_a_reject_that_names_both(once: Once, tmp_path: Path) -> None:
    demo = thuman2_demo(once)
    raw = some_subjects(demo, tmp_path / "demo", ["0001"])
    shutil.copytree(raw / "scans" / "0001", tmp_path / "raw" / "0001")
    shutil.copy(raw / "fits" / "0001" / "smplx_param.pkl", tmp_path / "raw" / "0001")
    run("scans", tmp_path / "raw", tmp_path / "out", body="smpl", body_models=smpl_models(once), **QUICK)
    (reject,) = rejects(tmp_path / "out").values()
    assert "smplx" in reject.error.lower().replace("-", "") and "SMPL" in reject.error
