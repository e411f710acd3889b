"""Bad input to the Hypersim recipe: a clear error, or a row in rejects.parquet, and everything else delivered."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tessera.datasets import Dataset, RawDataError, UsageError
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.readers.hypersim import scene
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

from .conftest import JOINT

SCENE, KEY = "ai_900_001", "ai_900_001-cam_00-0001"
GEOMETRY = f"{SCENE}/images/scene_cam_00_geometry_hdf5/frame.0001"
FINAL = f"{SCENE}/images/scene_cam_00_final_hdf5/frame.0001"


@pytest.fixture
def raw(demo: Path, tmp_path: Path) -> Path:
    """One scene of the demo, by hard links: replace files, never write into them."""
    copy = tmp_path / "raw"
    copy.mkdir()
    for table in demo.glob("*.csv"):
        shutil.copy(table, copy)
    shutil.copytree(demo / SCENE, copy / SCENE, copy_function=os.link)
    return copy


def replace(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def write_array(path: Path, array: np.ndarray) -> None:
    path.unlink()
    with h5py.File(path, "w") as file:
        file.create_dataset("dataset", data=array, compression="gzip", chunks=True)


def change_rows(path: Path, change: Callable[[dict[str, str]], dict[str, str] | None]) -> None:
    with path.open(newline="") as stream:
        reader = csv.DictReader(stream)
        rows = [changed for row in reader if (changed := change(row)) is not None]
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, reader.fieldnames or [])
        writer.writeheader()
        writer.writerows(rows)


def run(raw: Path, out: Path, **options: object) -> tuple[Dataset, list[Reject]]:
    recipe = load_recipe("hypersim")
    settings = RunSettings(out=out, workers=0, quiet=True)
    run_recipe(recipe, recipe.options(size="96x128", **options), raw, settings)
    return Dataset(out), read_rejects(out)


def only_reject(raw: Path, out: Path, records: int = 5) -> Reject:
    dataset, rejects = run(raw, out)
    assert len(dataset.table("frames")) == records
    assert len(rejects) == 1
    assert not rejects[0].path.startswith("/") and str(raw) not in rejects[0].error
    return rejects[0]


@pytest.mark.parametrize("modality", ["color", "depth_meters", "normal_cam", "render_entity_id"])
def test_truncated_hdf5_costs_its_frame(raw: Path, tmp_path: Path, modality: str) -> None:
    path = raw / f"{FINAL if modality == 'color' else GEOMETRY}.{modality}.hdf5"
    replace(path, path.read_bytes()[: path.stat().st_size * 2 // 3])
    reject = only_reject(raw, tmp_path / "out")
    assert reject.key == KEY and reject.stage == "read" and reject.path.endswith(f"{modality}.hdf5")
    assert "truncated" in reject.error


def test_wrong_dtype_is_named(raw: Path, tmp_path: Path) -> None:
    write_array(raw / f"{GEOMETRY}.depth_meters.hdf5", np.ones((192, 256), np.float32))
    reject = only_reject(raw, tmp_path / "out")
    assert "float32" in reject.error and "float16" in reject.error


def test_wrong_shape_is_named(raw: Path, tmp_path: Path) -> None:
    write_array(raw / f"{FINAL}.color.hdf5", np.ones((96, 128, 3), np.float16))
    reject = only_reject(raw, tmp_path / "out")
    assert reject.key == KEY and "96" in reject.error


def test_nan_pose_costs_its_frame(raw: Path, tmp_path: Path) -> None:
    path = raw / SCENE / "_detail" / "cam_00" / "camera_keyframe_positions.hdf5"
    with h5py.File(path) as file:
        positions = file["dataset"][()]
    positions[1, 0] = np.nan
    path.unlink()
    with h5py.File(path, "w") as file:
        file["dataset"] = positions
    reject = only_reject(raw, tmp_path / "out")
    assert reject.key == KEY and "pose of frame 1 is not finite" in reject.error


def test_orientation_that_is_no_rotation(raw: Path, tmp_path: Path) -> None:
    path = raw / SCENE / "_detail" / "cam_00" / "camera_keyframe_orientations.hdf5"
    with h5py.File(path) as file:
        rotations = file["dataset"][()]
    rotations[1] *= 1.01
    path.unlink()
    with h5py.File(path, "w") as file:
        file["dataset"] = rotations
    assert "no rotation" in only_reject(raw, tmp_path / "out").error


def test_missing_poses_cost_their_camera(raw: Path, tmp_path: Path) -> None:
    (raw / SCENE / "_detail" / "cam_00" / "camera_keyframe_positions.hdf5").unlink()
    dataset, rejects = run(raw, tmp_path / "out")
    assert {record.columns["camera"] for record in dataset.table("frames")} == {"cam_01"}
    assert {reject.key for reject in rejects} == {f"{SCENE}-cam_00-{i:04d}" for i in range(3)}
    assert all("no such file" in reject.error for reject in rejects)


def test_missing_row_of_the_camera_table(raw: Path, tmp_path: Path) -> None:
    change_rows(raw / "metadata_camera_parameters.csv", lambda row: None if row["scene_name"] == SCENE else row)
    _, rejects = run(raw, tmp_path / "out")
    assert [(reject.unit, reject.stage) for reject in rejects] == [(SCENE, "metadata")]
    assert "no row" in rejects[0].error


def test_missing_file_is_a_missing_field(raw: Path, tmp_path: Path) -> None:
    """Trap (#7): geometry of one frame was never released."""
    (raw / f"{GEOMETRY}.normal_cam.hdf5").unlink()
    (raw / f"{GEOMETRY}.normal_world.hdf5").unlink()
    dataset, rejects = run(raw, tmp_path / "out")
    record = dataset.table("frames")[KEY]
    assert not rejects and "normal" not in record and "distance" in record
    assert not has_flag(record["flags"], PixelFlag.NORMAL_VALID).any()


def test_world_normals_stand_in_for_camera_normals(raw: Path, tmp_path: Path) -> None:
    whole, _ = run(raw, tmp_path / "whole")
    (raw / f"{GEOMETRY}.normal_cam.hdf5").unlink()
    part, _ = run(raw, tmp_path / "part")
    a, b = whole.table("frames")[KEY]["normal"], part.table("frames")[KEY]["normal"]
    lit = np.linalg.norm(a, axis=-1) > 0
    cosine = np.clip((a * b).sum(axis=-1)[lit], -1, 1)
    assert np.degrees(np.arccos(cosine)).max() < 0.2


def test_frame_without_colour_or_depth_is_left_out(raw: Path, tmp_path: Path) -> None:
    (raw / f"{GEOMETRY}.depth_meters.hdf5").unlink()
    (raw / f"{FINAL}.color.hdf5").unlink()
    assert "neither colour nor depth" in only_reject(raw, tmp_path / "out").error


def test_constant_depth_is_left_out(raw: Path, tmp_path: Path) -> None:
    """Trap (Marigold #162, implicit-depth's test): one value fills much of the frame."""
    path = raw / f"{GEOMETRY}.depth_meters.hdf5"
    with h5py.File(path) as file:
        depth = file["dataset"][()]
    depth[:100] = 3.0
    write_array(path, depth)
    assert "one distance fills" in only_reject(raw, tmp_path / "out").error


def test_infinite_colour_is_clamped_and_counted(raw: Path, tmp_path: Path) -> None:
    path = raw / f"{FINAL}.color.hdf5"
    with h5py.File(path) as file:
        colour = file["dataset"][()]
    colour[10, 10] = np.inf
    colour[20, 20, 0] = np.nan
    write_array(path, colour)
    dataset, rejects = run(raw, tmp_path / "out")
    record = dataset.table("frames")[KEY]
    assert not rejects and record.columns["nonfinite"] == 4
    assert np.isfinite(record["hdr"]).all() and record["hdr"].max() > 10_000


def test_a_rejected_frame_does_not_change_the_exposure_of_the_others(raw: Path, tmp_path: Path) -> None:
    """Found by review: a frame of constant 1000 made its whole trajectory black."""
    path = raw / f"{FINAL}.color.hdf5"
    replace(path, path.read_bytes()[:1000])
    without, _ = run(raw, tmp_path / "without")
    write_array(path, np.full((192, 256, 3), 1000, np.float16))
    broken, rejects = run(raw, tmp_path / "broken")
    assert [reject.key for reject in rejects] == [KEY] and "one luminance fills" in rejects[0].error
    for record in broken.table("frames"):
        assert record["tone_scale"] == without.table("frames")[record.key]["tone_scale"]


def test_pictures_that_are_not_kept_are_read_again(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded however long a trajectory is; the records are the same."""
    kept, _ = run(raw, tmp_path / "kept")
    monkeypatch.setattr(scene, "KEPT_BYTES", 96 * 128 * 6)  # one picture
    again, _ = run(raw, tmp_path / "again")
    assert [s.sha256 for s in kept.catalog.shards] == [s.sha256 for s in again.catalog.shards]


def test_a_modality_that_no_label_needs_is_not_read(raw: Path, tmp_path: Path) -> None:
    replace(raw / f"{FINAL}.color.hdf5", b"")
    replace(raw / f"{GEOMETRY}.normal_cam.hdf5", b"")
    dataset, rejects = run(raw, tmp_path / "out", without=f"image,hdr,octree,normal,flags,{JOINT}")
    assert not rejects and set(dataset.table("frames")[KEY]) == {
        "intrinsics", "world_from_camera", "raw_cam_from_uv", "distance",
    }  # fmt: skip


def test_square_brackets_in_a_raw_file_are_no_markup(raw: Path, tmp_path: Path) -> None:
    """Found by review: the summary ended in a traceback, and `tessera info` for ever after."""
    replace(
        raw / SCENE / "_detail" / "metadata_scene.csv", b"parameter_name,parameter_value\nmeters_per_asset_unit,[/x]\n"
    )
    out = tmp_path / "out"
    shards = ["shards", "hypersim", "--raw", str(raw), "--out", str(out), "--workers", "0"]
    for arguments in (shards, ["info", str(out)]):
        done = subprocess.run([sys.executable, "-m", "tessera", *arguments], capture_output=True, text=True, cwd="/")
        assert "Traceback" not in done.stderr and "[/x]" in done.stdout


def test_one_exposure_for_a_trajectory(raw: Path, tmp_path: Path) -> None:
    dataset, _ = run(raw, tmp_path / "out")
    scales: dict[str, set[float]] = {}
    own = set()
    for record in dataset.table("frames"):
        scales.setdefault(record.columns["camera"], set()).add(float(record["tone_scale"]))
        own.add(float(record["frame_tone_scale"]))
    assert all(len(values) == 1 for values in scales.values()) and len(own) == 6


def test_trap_scene_scale_differs_from_the_camera_table(raw: Path, tmp_path: Path) -> None:
    path = raw / SCENE / "_detail" / "metadata_scene.csv"
    replace(path, b"parameter_name,parameter_value\nmeters_per_asset_unit,0.02\n")
    _, rejects = run(raw, tmp_path / "out")
    assert [(reject.unit, reject.key) for reject in rejects] == [(SCENE, "")] and "0.02" in rejects[0].error


@pytest.mark.parametrize("table", ["metadata_camera_parameters.csv", "metadata_images_split_scene_v1.csv"])
def test_missing_table_says_where_it_comes_from(raw: Path, tmp_path: Path, table: str) -> None:
    (raw / table).unlink()
    with pytest.raises(RawDataError, match=r"apple/ml-hypersim.*--(camera|split)-csv"):
        run(raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_can_be_named(raw: Path, tmp_path: Path) -> None:
    (raw / "metadata_camera_parameters.csv").rename(tmp_path / "lenses.csv")
    dataset, rejects = run(raw, tmp_path / "out", camera_csv=tmp_path / "lenses.csv")
    assert len(dataset.table("frames")) == 6 and not rejects
    assert "lenses" not in json.dumps(dataset.catalog.options)


def test_empty_raw_says_what_is_expected(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(RawDataError, match=r"no Hypersim scene.*ai_VVV_NNN"):
        run(tmp_path / "raw", tmp_path / "out")


def test_unreadable_folder_is_named(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def scandir(path: str | Path = ".") -> object:  # permissions do not stop root, so refuse here
        if str(path).endswith("scene_cam_00_geometry_hdf5"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(RawDataError, match="cannot be listed"):
        run(raw, tmp_path / "out")


def test_raw_equal_to_out(raw: Path) -> None:
    with pytest.raises(UsageError, match="never written to"):
        run(raw, raw)


@pytest.mark.parametrize(
    "options", [{"size": "384"}, {"size": "4x4"}, {"scenes": ","}, {"splits": "dev"}, {"without": "nonsense"},
                {"octree_depth": 11}, {"exclude_lists": "nonsense"}, {"boundary_tau": -1.0}, {"max_constant": -5.0},
                {"without": "camera,image,hdr,distance,flags,normal,octree,neighbours,points,probes,octree_seen"},
                {"octree_depth": 9}]
)  # fmt: skip
def test_bad_options_are_named(raw: Path, tmp_path: Path, options: dict[str, object]) -> None:
    recipe = load_recipe("hypersim")
    with pytest.raises(UsageError):
        run_recipe(recipe, recipe.options(**options), raw, RunSettings(out=tmp_path / "out", workers=0, quiet=True))
    assert not (tmp_path / "out").exists()


def test_selection_by_scene_camera_and_split(demo: Path, tmp_path: Path) -> None:
    dataset, rejects = run(demo, tmp_path / "out", scenes="ai_900_00[12]", cameras="cam_01", splits="train")
    assert {(r.unit, r.columns["camera"], r.split) for r in dataset.table("frames")} == {
        ("ai_900_001", "cam_01", "train"), ("ai_900_002", "cam_01", "train"),
    }  # fmt: skip
    assert not rejects


def test_excluded_frames_are_not_planned(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text(f"{SCENE}/cam_00  # all of it\n{SCENE}/cam_01/2\n")
    dataset, rejects = run(raw, tmp_path / "out", exclude=tmp_path / "bad.txt")
    assert {record.key for record in dataset.table("frames")} == {f"{SCENE}-cam_01-0000", f"{SCENE}-cam_01-0001"}
    assert not rejects


def test_every_deliberate_fault_is_handled(faulty: Path, tmp_path: Path) -> None:
    """The demo's faults (facts 1.9): each ends in a reject, a flag, or nothing at all, as the facts say."""
    dataset, rejects = run(faulty, tmp_path / "out")
    faults = json.loads((faulty / "faults.json").read_text())
    table = dataset.table("frames")
    rejected = {reject.key for reject in rejects}
    kinds = {fault["kind"] for fault in faults}
    assert len(kinds) >= 8, kinds
    truncated = [fault for fault in faults if "truncated" in fault["kind"]]
    assert rejected == {f"{f['scene']}-{f['camera']}-{int(f['frame']):04d}" for f in truncated}
    for record in table:
        assert np.isfinite(record["hdr"]).all()
        if "normal" in record:
            length = np.linalg.norm(record["normal"], axis=-1)
            assert (np.isclose(length, 1, atol=1e-4) | (length == 0)).all()
    assert any(record.columns["flipped_share"] > 0 for record in table)
    assert any(record.columns["nonfinite"] > 0 for record in table)
    missing = [f for f in faults if f["kind"] == "missing_file"]
    keys = [f"{f['scene']}-{f['camera']}-{int(f['frame']):04d}" for f in missing]
    assert keys and all("normal" in table[key] for key in keys), "world normals stand in"
    frames = {(r.columns["scene"], r.columns["camera"]): set() for r in table}
    for record in table:
        frames[record.columns["scene"], record.columns["camera"]].add(record.columns["frame"])
    assert any(0 not in found for found in frames.values()), "a trajectory without frame 0"


def test_folders_and_files_of_any_other_name_change_nothing(raw: Path, tmp_path: Path) -> None:
    """Names that almost are scenes, cameras and frames: line breaks, escapes, other alphabets' digits, no UTF-8."""
    whole, _ = run(raw, tmp_path / "whole")
    odd = [f"{SCENE}\n", f"{SCENE}\x1b[2J", "ai_900_\u0660\u0660\u0661", f"{SCENE}{os.fsdecode(bytes([255]))}"]
    odd.append("a" * 255)
    for name in odd:
        (raw / name / "images").mkdir(parents=True)
    frame = raw / f"{FINAL}.color.hdf5"
    for name in (f"{frame.name}\n", "frame.\u0660\u0660\u0660\u0661.color.hdf5", os.fsdecode(b"frame.0001.\xff.hdf5")):
        (frame.parent / name).write_bytes(b"no HDF5")
    (raw / SCENE / "loop").symlink_to(raw / SCENE)
    (raw / "ai_900_999").symlink_to("ai_900_999")
    hostile, rejects = run(raw, tmp_path / "hostile")
    assert not rejects and hostile.catalog.shards == whole.catalog.shards
