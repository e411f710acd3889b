"""Deliberate faults lie where `faults.json` says, nowhere else; runs are repeatable and leave nothing half-done."""

import hashlib
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from tessera.datasets.errors import UsageError
from tessera.pipelines.demo.hypersim import generate, produce

from .conftest import Raw, View

KINDS = {"withheld_frame", "missing_first_frame", "camera_without_folder", "back_facing_normals", "zero_normal",
         "nan_normals", "non_unit_normals", "infinite_colour", "infinite_position", "truncated_file",
         "missing_file"}  # fmt: skip
MOVED = {("ai_900_002", "cam_00"), ("ai_900_003", "cam_01")}


@pytest.fixture(scope="module")
def entries(faulty: Raw) -> list[dict]:
    return json.loads((faulty.root / "faults.json").read_text())


def view_of(faulty: Raw, entry: dict) -> View:
    return next(
        v for v in faulty.views() if (v.scene, v.camera, v.frame) == (entry["scene"], entry["camera"], entry["frame"])
    )


def patch(entry: dict) -> tuple[slice, slice]:
    return slice(*entry["rows"]), slice(*entry["columns"])


def test_all_kinds_of_fault_are_listed(entries: list[dict]) -> None:
    assert {entry["kind"] for entry in entries} == KINDS
    assert len({json.dumps(entry) for entry in entries}) == len(entries)


def test_sound_data_have_no_fault_list(raw: Raw) -> None:
    assert not (raw.root / "faults.json").exists()


def test_withheld_frames_have_poses_but_no_images(faulty: Raw, entries: list[dict]) -> None:
    """Issue 58: poses go on counting where images are missing; a trajectory may lack frame 0."""
    rows = faulty.rows("metadata_images_split_scene_v1.csv")
    withheld = [r for r in rows if r["included_in_public_release"] != "True"]
    listed = [e for e in entries if e["kind"] in ("withheld_frame", "missing_first_frame")]
    assert {(r["scene_name"], r["camera_name"], int(r["frame_id"])) for r in withheld} == {
        (e["scene"], e["camera"], e["frame"]) for e in listed
    }
    for row in withheld:
        assert (
            row["included_in_public_release"] == "False" and row["exclude_reason"] and row["split_partition_name"] == ""
        )
        scene, camera, frame = row["scene_name"], row["camera_name"], int(row["frame_id"])
        assert not list((faulty.root / scene / "images").glob(f"scene_{camera}_*/frame.{frame:04d}.*"))
        assert len(faulty.detail(scene, f"{camera}/camera_keyframe_positions.hdf5")) == 4
    assert 0 in {int(r["frame_id"]) for r in withheld}


def test_listed_camera_without_folder(faulty: Raw, entries: list[dict]) -> None:
    """Issue 67: metadata_cameras.csv may name a camera that was never rendered."""
    entry = next(e for e in entries if e["kind"] == "camera_without_folder")
    assert {r["camera_name"] for r in faulty.rows(entry["file"])} == {"cam_00", "cam_01", entry["camera"]}
    assert not (faulty.root / entry["scene"] / "_detail" / entry["camera"]).exists()


@pytest.mark.parametrize("kind", ["back_facing_normals", "zero_normal", "nan_normals", "non_unit_normals"])
def test_bad_normals(faulty: Raw, entries: list[dict], kind: str) -> None:
    """Issues 26 and 104: flipped, zero, missing and over-long normals on foreground pixels."""
    for entry in [e for e in entries if e["kind"] == kind]:
        view = view_of(faulty, entry)
        name = entry["file"].split(".")[-2]
        normal = view[name]
        ids = view["render_entity_id"]
        rows, cols = patch(entry)
        assert (ids[rows, cols] > 0).all()
        length = np.linalg.norm(normal, axis=-1)
        rays = view.rays() if name == "normal_cam" else view.rays() @ view.turn.T
        bad = {
            "back_facing_normals": (normal * rays).sum(axis=-1) > 2e-3,
            "zero_normal": length == 0,
            "nan_normals": np.isnan(length) & (ids > 0),
            "non_unit_normals": length > 1.4,
        }[kind]
        inside = np.zeros_like(bad)
        inside[rows, cols] = True
        assert bad[rows, cols].all() and not bad[~inside].any()


def test_infinite_values(faulty: Raw, entries: list[dict]) -> None:
    for kind in ("infinite_colour", "infinite_position"):
        entry = next(e for e in entries if e["kind"] == kind)
        values = view_of(faulty, entry)[entry["file"].split(".")[-2]]
        rows, cols = patch(entry)
        assert np.isinf(values[rows, cols]).any(axis=-1).all()
        assert np.isinf(values).any(axis=-1).sum() == (rows.stop - rows.start) * (cols.stop - cols.start)


def test_truncated_and_missing_files(faulty: Raw, raw: Raw, entries: list[dict]) -> None:
    cut = next(e for e in entries if e["kind"] == "truncated_file")
    whole = (raw.root / cut["file"]).read_bytes()
    part = (faulty.root / cut["file"]).read_bytes()
    assert 2048 < len(part) < len(whole) and whole.startswith(part)
    with pytest.raises(OSError):
        h5py.File(faulty.root / cut["file"])
    gone = next(e for e in entries if e["kind"] == "missing_file")
    assert (raw.root / gone["file"]).exists() and not (faulty.root / gone["file"]).exists()


def test_other_files_have_the_same_bytes_whatever_the_workers(faulty: Raw, raw: Raw, entries: list[dict]) -> None:
    """One process and two give the same bytes; only what is listed, its previews and the longer paths differ."""
    touched = {entry["file"] for entry in entries} | {"metadata_images_split_scene_v1.csv"}
    stems = {(e["scene"], e["camera"], e["frame"]) for e in entries}
    same = 0
    for path in sorted(p for p in raw.root.rglob("*") if p.is_file()):
        name = path.relative_to(raw.root).as_posix()
        scene = name.split("/")[0]
        if name in touched or any(scene == s and c in name for s, c in MOVED):
            continue
        if "preview" in name and any(s == scene and c in name and f"frame.{f or 0:04d}" in name for s, c, f in stems):
            continue
        assert (
            hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256((faulty.root / name).read_bytes()).digest()
        ), name
        same += 1
    assert same > 500
    for name in ("color", "normal_bump_cam"):
        tail = f"frame.0000.{name}.hdf5"
        one, other = (next(r.root.glob(f"ai_900_002/images/scene_cam_00_*/{tail}")) for r in (raw, faulty))
        assert one.read_bytes() == other.read_bytes(), "a longer path starts with the same frames"


def test_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder: choose another"):
        generate(tmp_path, scale="small")
    with pytest.raises(UsageError, match="not an empty folder"):
        generate(tmp_path / "note.txt", scale="small")
    assert [p.name for p in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("bad", [{"scale": "huge"}, {"workers": 0}, {"seed": -1}])
def test_refuses_senseless_arguments(tmp_path: Path, bad: dict) -> None:
    with pytest.raises(UsageError):
        generate(tmp_path / "raw", **bad)
    assert not any(tmp_path.iterdir())


def test_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: produce.Job, index: int) -> str:
        (job.root / "half.csv").write_text("unfinished")
        raise OSError("no space left")

    monkeypatch.setattr(produce, "light_scene", fail)
    with pytest.raises(OSError, match="no space"):
        generate(tmp_path / "raw", scale="small")
    assert not any(tmp_path.iterdir())
