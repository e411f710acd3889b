"""Each fault of the THuman2 demo, and some more: labels of damaged scans that can be used, and rejects that say why."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import trimesh
from tessera.datasets import Dataset, Record
from tessera.pipelines.demo.thuman2 import produce
from tessera.pipelines.native import import_open3d

from .scan_runs import Once, rejects, run, some_subjects, subjects, tessera, thuman2_demo

FAULTY = tuple(f"{number:04d}" for number in range(6, 12))
OPTIONS = ("--views", 1, "--size", 128, "--variants", 0, "--without", "body_points,scan_surface")
BARE = {"views": 1, "size": 64, "variants": 0, "without": "points,surface,body_points,scan_surface,image"}


@pytest.fixture(scope="module")
def demo(once: Once) -> Path:
    return thuman2_demo(once)


@pytest.fixture(scope="module")
def faults(demo: Path) -> dict[str, str]:
    """Subject of each kind of fault."""
    found = {entry["kind"]: entry["subject"] for entry in json.loads((demo / "faults.json").read_text())}
    assert sorted(found.values()) == sorted(FAULTY)
    return found


@pytest.fixture(scope="module")
def out(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All six, in one run that ends with 1, for three of six are more than may be rejected, and after its report."""
    root = tmp_path_factory.mktemp("faults")
    some_subjects(demo, root / "raw", FAULTY)
    (root / "here").mkdir()
    command = ("shards", "thuman2", "--raw", root / "raw", "--out", root / "out", "--workers", 0, "--body-models",
               demo / "body_models", *OPTIONS)  # fmt: skip
    done = tessera(*command, status=1, cwd=root / "here")
    assert "complete" in done.stdout and "--max-reject" in done.stdout and "3 left out" in done.stdout
    assert "nothing to do" in tessera(*command, "--max-reject", 0.6, cwd=root / "here").stdout
    return root / "out"


@pytest.fixture(scope="module")
def unbroken(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scans of the open mesh and of the flipped faces as they were before they were spoilt."""
    root = tmp_path_factory.mktemp("unbroken")
    shutil.copytree(demo / "body_models", root / "body_models")
    for number in (6, 7):
        produce._one((root, "small", 0, number))
    return root


def scan(root: Path, name: str) -> trimesh.Trimesh:
    return trimesh.load(root / "scans" / name / f"{name}.obj", process=False)


def subject(out: Path, name: str) -> Record:
    return Dataset(out).table("subjects")[name]


class Oracle:
    """Distances to a closed mesh of raw units from points of its record's world, by Open3D."""

    def __init__(self, mesh: trimesh.Trimesh, record: Record) -> None:
        vertices = trimesh.transform_points(mesh.vertices, record["world_from_scan"])
        self.scene = import_open3d().t.geometry.RaycastingScene()
        self.scene.add_triangles(vertices.astype(np.float32), np.asarray(mesh.faces, np.uint32))

    def signed(self, points: np.ndarray) -> np.ndarray:
        return self.scene.compute_signed_distance(points.astype(np.float32), nsamples=3).numpy()

    def distance(self, points: np.ndarray) -> np.ndarray:
        return self.scene.compute_distance(points.astype(np.float32)).numpy()


def test_the_run_goes_on_and_only_what_cannot_be_used_is_left_out(out: Path, faults: dict[str, str]) -> None:
    gone = {faults["wrong-scale fit"], faults["hostile pickle"], faults["missing texture"]}
    assert set(rejects(out)) == gone and set(subjects(out)) == set(FAULTY) - gone
    assert Dataset(out).catalog.state == "complete"


def test_open_mesh_has_the_signs_of_the_unbroken_scan(out: Path, unbroken: Path, faults: dict[str, str]) -> None:
    record = subject(out, faults["open mesh"])
    assert record.columns["sdf_method"] == "winding" and record.columns["open_edges"] > 10
    assert 0 <= record.columns["sdf_doubt"] < 0.01
    whole = scan(unbroken, faults["open mesh"])
    truth = Oracle(whole, record).signed(record["points"])
    wrong = ((record["sdf"] < 0) != (truth < 0)) & (np.abs(truth) > 2e-4)
    assert wrong.mean() < 1e-3
    crown = trimesh.transform_points(whole.vertices[whole.vertices[:, 1].argmax()][None], record["world_from_scan"])
    gap = np.linalg.norm(record["points"] - crown, axis=1)
    assert (gap > 0.15).mean() > 0.8 and not wrong[gap > 0.15].any()  # the hole reaches some 7 cm from the crown
    elsewhere = np.abs(truth) < gap - 0.1  # what is closest is still there
    assert elsewhere.mean() > 0.9 and np.abs(record["sdf"] - truth)[elsewhere].max() < 1e-3


def test_flipped_faces_give_the_distances_and_normals_of_unflipped_ones(
    out: Path, unbroken: Path, faults: dict[str, str]
) -> None:
    record = subject(out, faults["flipped faces"])
    whole = scan(unbroken, faults["flipped faces"])
    oracle = Oracle(whole, record)
    assert abs(record.columns["turned_faces"] - len(whole.faces) / 9) < 3 and record.columns["open_edges"] == 0
    truth = oracle.signed(record["points"])
    assert np.abs(record["sdf"] - truth).max() < 1e-3
    assert not (((record["sdf"] < 0) != (truth < 0)) & (np.abs(truth) > 2e-4)).any()
    outside = (record["sdf"] > 0.002) & (record["sdf"] < 0.02)
    towards = -0.5 * truth[outside, None] * record["surface_normal"][outside]
    steps = record["points"].astype(np.float64)[outside] + towards
    nearer = oracle.distance(steps)
    assert (nearer < truth[outside]).mean() > 0.999  # against the normal is towards the scan
    view = Dataset(out).table("views")[f"{faults['flipped faces']}-000"]
    seen = view["mask"].astype(bool)
    assert (view["normal_f"][seen][:, 2] < 0.05).mean() > 0.995 and (view["normal_b"][seen][:, 2] > -0.05).mean() > 0.98


def test_a_stray_component_is_counted_and_is_a_part_of_the_scan(out: Path, demo: Path, faults: dict[str, str]) -> None:
    record = subject(out, faults["stray component"])
    assert record.columns["parts"] == 2 and record.columns["open_edges"] == 0
    assert record.columns["sdf_method"] == "pseudonormal" or record.columns["sdf_doubt"] < 1e-3
    truth = Oracle(scan(demo, faults["stray component"]), record).signed(record["points"])
    assert np.abs(record["sdf"] - truth).max() < 1e-3
    assert not (((record["sdf"] < 0) != (truth < 0)) & (np.abs(truth) > 2e-4)).any()
    assert subject(out, faults["flipped faces"]).columns["parts"] == 1


def test_a_missing_texture_is_a_reject_that_names_it(out: Path, faults: dict[str, str]) -> None:
    reject = rejects(out)[faults["missing texture"]]
    assert reject.path.endswith("material0.jpeg") or reject.path.endswith("material0.mtl")
    assert "is missing: no texture; --untextured grey keeps such scans" in reject.error and reject.path in reject.error


def test_a_scan_without_its_texture_is_kept_in_grey_where_that_is_wanted(
    demo: Path, faults: dict[str, str], tmp_path: Path
) -> None:
    options = {"views": 1, "size": 64, "variants": 0, "untextured": "grey", "only": faults["missing texture"]}
    assert run("thuman2", demo, tmp_path / "out", **options).complete
    record = subject(tmp_path / "out", faults["missing texture"])
    assert len(np.unique(record["surface_rgb"], axis=0)) == 1
    assert "is missing: no texture" in record.columns["notes"]
    truth = Oracle(scan(demo, faults["missing texture"]), record).signed(record["points"])
    assert np.abs(record["sdf"] - truth).max() < 1e-3
    view = Dataset(tmp_path / "out").table("views")[f"{faults['missing texture']}-000"]
    assert view["image"][view["mask"].astype(bool)].std() > 2  # shaded nevertheless


def test_a_fit_of_the_wrong_scale_is_rejected_with_its_distance(out: Path, faults: dict[str, str]) -> None:
    reject = rejects(out)[faults["wrong-scale fit"]]
    centimetres = float(reject.error.split(" cm")[0].split()[-1])
    assert "fit" in reject.error and 6 < centimetres < 60
    assert reject.key == "" and reject.stage == "read"


def test_paths_of_rejects_are_paths_in_raw(out: Path) -> None:
    for reject in rejects(out).values():
        path = out.parent / "raw" / reject.path
        assert path.exists() or (path.parent.is_dir() and "is missing" in reject.error), reject


def test_a_hostile_pickle_runs_nothing_and_its_reject_names_what_it_wanted(
    out: Path, demo: Path, faults: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = faults["hostile pickle"]
    reject = rejects(out)[name]
    assert "mkdir" in reject.error and f"fits/{name}/smplx_param.pkl" in f"{reject.path} {reject.error}"
    assert not list((out.parent / "here").iterdir()) and not Path("/hostile_pickle_ran").exists()
    assert not list(out.parent.rglob("hostile_pickle_ran"))
    monkeypatch.chdir(tmp_path)
    pickle.loads((demo / "fits" / name / "smplx_param.pkl").read_bytes())  # and it would have run
    assert (tmp_path / "hostile_pickle_ran").is_dir()


def test_strict_stops_at_the_first_of_them(demo: Path, faults: dict[str, str], tmp_path: Path) -> None:
    raw = some_subjects(demo, tmp_path / "raw", [faults["hostile pickle"]])
    done = tessera("shards", "thuman2", "--raw", raw, "--out", tmp_path / "out", "--workers", 0, "--strict",
                   "--body-models", demo / "body_models", "--views", 1, "--size", 64, status=1)  # fmt: skip
    assert faults["hostile pickle"] in done.stderr and "mkdir" in done.stderr


def test_a_mended_fit_is_built_by_the_same_command(demo: Path, faults: dict[str, str], tmp_path: Path) -> None:
    name = faults["wrong-scale fit"]
    raw = some_subjects(demo, tmp_path / "raw", [name])
    options = BARE | {"body_models": demo / "body_models"}
    assert run("thuman2", raw, tmp_path / "out", **options).lost_units == 1
    path = raw / "fits" / name / "smplx_param.pkl"
    fit = pickle.loads(path.read_bytes())
    fit["scale"] = fit["scale"] / 1.5
    path.write_bytes(pickle.dumps(fit, protocol=3))
    summary = run("thuman2", raw, tmp_path / "out", **options)
    assert summary.complete and not summary.rejects and subjects(tmp_path / "out") == [name]


def break_mesh(path: Path, fit: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])  # no face is left, or half a line


def break_number(path: Path, fit: Path) -> None:
    path.write_text(path.read_text().replace("v ", "v nan ", 1))


def break_index(path: Path, fit: Path) -> None:
    path.write_text(path.read_text() + "f 1 2 99999999\n")


def break_picture(path: Path, fit: Path) -> None:
    path.with_name("material0.jpeg").write_bytes(b"\xff\xd8\xff\xe0 no picture")


def break_pickle(path: Path, fit: Path) -> None:
    fit.write_bytes(fit.read_bytes()[:200])


def break_fit(path: Path, fit: Path) -> None:
    values = pickle.loads(fit.read_bytes())
    values["body_pose"] = values["body_pose"] * np.float32("nan")
    fit.write_bytes(pickle.dumps(values, protocol=3))


def break_shape(path: Path, fit: Path) -> None:
    values = pickle.loads(fit.read_bytes())
    values["left_hand_pose"] = values["left_hand_pose"][:, :7]
    fit.write_bytes(pickle.dumps(values, protocol=3))


def lose_fit(path: Path, fit: Path) -> None:
    fit.unlink()


def lose_scan(path: Path, fit: Path) -> None:
    path.unlink()


def climb_out(path: Path, fit: Path) -> None:
    path.write_text(path.read_text().replace("mtllib material0.mtl", "mtllib ../../../../etc/passwd", 1))


DAMAGE = {
    "0000": (break_mesh, "0000.obj", ""), "0001": (break_number, "0001.obj", "line 2"),
    "0002": (break_index, "0002.obj", "line"), "0003": (break_picture, "material0.jpeg", ""),
    "0004": (break_pickle, "smplx_param.pkl", ""), "0005": (break_fit, "smplx_param.pkl", "body_pose"),
    "0006": (break_shape, "smplx_param.pkl", "left_hand_pose"), "0007": (lose_fit, "0007.obj", "without a fit"),
    "0008": (lose_scan, "smplx_param.pkl", "without a scan"), "0009": (climb_out, "0009.obj", "outside"),
}  # fmt: skip


def test_each_other_damage_is_a_reject_that_says_what_and_where(demo: Path, tmp_path: Path) -> None:
    source, raw = some_subjects(demo, tmp_path / "demo", ["0000"]), tmp_path / "raw"
    for name, (damage, _, _) in {**DAMAGE, "0010": (None, "", "")}.items():
        shutil.copytree(source / "scans" / "0000", raw / "scans" / name)
        shutil.copytree(source / "fits" / "0000", raw / "fits" / name)
        (raw / "scans" / name / "0000.obj").rename(raw / "scans" / name / f"{name}.obj")
        if damage is not None:
            damage(raw / "scans" / name / f"{name}.obj", raw / "fits" / name / "smplx_param.pkl")
    summary = run("thuman2", raw, tmp_path / "out", body_models=demo / "body_models", **BARE)
    assert summary.complete and subjects(tmp_path / "out") == ["0010"]
    found = rejects(tmp_path / "out")
    assert sorted(found) == sorted(DAMAGE)
    for name, (_, file, word) in DAMAGE.items():
        told = f"{found[name].path}: {found[name].error}"
        assert file in told and word in told, told
        assert len(found[name].error) > 10 and "\n" not in found[name].error and str(tmp_path) not in told
