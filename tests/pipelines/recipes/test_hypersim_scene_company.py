"""What a scene's labels must not depend on, and whom they may refer to: other scenes, limits, rejected frames.

That the number of workers changes nothing is shown, for all labels, by test_hypersim_run.py.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Dataset, Record, verify
from tessera.datasets.visibility import unpack_visibility
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

from .conftest import HALF

SCENE = "ai_900_003"
LEAN = "probes"  # a third of the time


def run(raw: Path, out: Path, limit: int | None = None, seed: int = 0, **options: object) -> Dataset:
    recipe, settings = load_recipe("hypersim"), RunSettings(out=out, workers=0, quiet=True, limit=limit, seed=seed)
    run_recipe(recipe, recipe.options(size=HALF, **options), raw, settings)
    return Dataset(out)


def assert_same(one: Record, other: Record, but: set[str] = frozenset()) -> None:
    """Every field and reference that both data sets have."""
    for name in set(one) & set(other) - but:
        np.testing.assert_array_equal(one[name], other[name], err_msg=f"{one.key} {name}")
    for name in set(one.columns) & set(other.columns):
        assert one.columns[name] == other.columns[name], (one.key, name)


def linked(demo: Path, copy: Path, *scenes: str) -> Path:
    """Some scenes of a demo, by hard links: replace files, never write into them."""
    copy.mkdir()
    for table in demo.glob("*.csv"):
        shutil.copy(table, copy)
    for scene in scenes:
        shutil.copytree(demo / scene, copy / scene, copy_function=os.link)
    return copy


@pytest.mark.parametrize("dataset", [HALF], indirect=True)
def test_a_scene_alone_has_the_same_labels_as_among_others(dataset: Dataset, demo: Path, tmp_path: Path) -> None:
    """Neither the other scenes nor the order in which groups are built leaves a trace."""
    alone = run(linked(demo, tmp_path / "raw", SCENE), tmp_path / "out")
    assert {record.unit for record in alone.table("frames")} == {SCENE}
    for record in alone.table("frames"):
        assert "points" in record and "visibility" in record and "octree_observed" in record
        assert_same(record, dataset.table("frames")[record.key])
    assert_same(alone.table("scenes")[SCENE], dataset.table("scenes")[SCENE])


@pytest.mark.parametrize("dataset", [HALF], indirect=True)
def test_another_seed_draws_other_points_in_the_same_scene(dataset: Dataset, demo: Path, tmp_path: Path) -> None:
    other = run(linked(demo, tmp_path / "raw", SCENE), tmp_path / "out", seed=1, without="probes")
    for record in other.table("frames"):
        same = dataset.table("frames")[record.key]
        assert not np.array_equal(record["points"], same["points"])
        for name in ("visibility", "octree_observed", "octree_occupied", "covisibility"):
            np.testing.assert_array_equal(record[name], same[name])
    draws = [record["points"] for record in other.table("frames")]
    assert all(not np.array_equal(draws[0], each) for each in draws[1:])


def assert_closed(dataset: Dataset) -> None:
    """Every reference leads to a record of the same scene and split; every frame is in its scene's list."""
    frames, scenes = dataset.table("frames"), dataset.table("scenes")
    keys = set(frames.keys())
    for record in frames:
        near = record.columns["neighbours"]
        assert set(near) <= keys - {record.key} and len(set(near)) == len(near)
        assert all((frames[key].unit, frames[key].split) == (record.unit, record.split) for key in near)
        assert len(near) == len(record["covisibility"] if near else [])
        if near and len(near) < 4:
            assert not unpack_visibility(record["visibility"])[len(near) :].any()
    for scene in scenes:
        listed = scene.columns["frames"]
        assert listed == [record.key for record in frames if record.unit == scene.key]
        assert scene["covisibility"].shape == (len(listed), len(listed))


def test_with_a_limit_neighbours_are_within_it(demo: Path, tmp_path: Path) -> None:
    limited = run(demo, tmp_path / "out", limit=9, without=LEAN)
    assert len(limited.table("frames")) == 9
    assert_closed(limited)
    assert sorted(len(scene.columns["frames"]) for scene in limited.table("scenes")) == [3, 6]
    assert min(len(record.columns["neighbours"]) for record in limited.table("frames")) == 2


def test_rejected_and_withheld_frames_are_in_nobodys_list(faulty: Path, tmp_path: Path) -> None:
    options = {"without": LEAN, "scenes": "ai_900_002,ai_900_003"}  # a withheld frame in each, a truncated file
    whole = run(faulty, tmp_path / "out", **options)
    rejected = {reject.key for reject in read_rejects(tmp_path / "out")}
    assert f"{SCENE}-cam_00-0002" in rejected
    assert not rejected & set(whole.table("frames").keys())
    assert_closed(whole)
    left_out = run(faulty, tmp_path / "again", **options, exclude=without_frames(tmp_path, rejected))
    assert not read_rejects(tmp_path / "again")
    for record in left_out.table("frames"):
        assert_same(record, whole.table("frames")[record.key])
    for scene in left_out.table("scenes"):
        assert_same(scene, whole.table("scenes")[scene.key])


def without_frames(folder: Path, keys: set[str]) -> Path:
    """An exclude file of records."""
    path = folder / "exclude.txt"
    path.write_text("".join("/".join((*key.split("-")[:2], str(int(key.split("-")[2])))) + "\n" for key in keys))
    return path


def test_a_frame_that_fails_after_the_scene_was_fused_leaves_no_trace(demo: Path, tmp_path: Path) -> None:
    """Files that only the second pass reads: the scene is fused again without the frame, as if it had not been."""
    raw = linked(demo, tmp_path / "raw", SCENE)
    key = f"{SCENE}-cam_01-0001"
    path = raw / SCENE / "images" / "scene_cam_01_final_hdf5" / "frame.0001.diffuse_illumination.hdf5"
    cut = path.read_bytes()[: path.stat().st_size // 2]
    path.unlink()
    path.write_bytes(cut)
    late = run(raw, tmp_path / "late", with_="intrinsic", without=LEAN)
    assert [reject.key for reject in read_rejects(tmp_path / "late")] == [key]
    assert_closed(late)
    never = run(raw, tmp_path / "never", with_="intrinsic", without=LEAN, exclude=without_frames(tmp_path, {key}))
    assert len(late.table("frames")) == len(never.table("frames")) == 5
    for record in never.table("frames"):
        assert_same(record, late.table("frames")[record.key])
    assert_same(never.table("scenes")[SCENE], late.table("scenes")[SCENE])


def test_trap_the_first_frame_fails_after_the_scene_was_fused(demo: Path, tmp_path: Path) -> None:
    """Nothing has been given before it, not even a record of the scene; yet the others' labels know the frame."""
    raw = linked(demo, tmp_path / "raw", SCENE)
    path = raw / SCENE / "images" / "scene_cam_00_final_hdf5" / "frame.0000.diffuse_illumination.hdf5"
    path.unlink()
    path.write_bytes(b"no HDF5")
    late = run(raw, tmp_path / "late", with_="intrinsic", without="points,probes,octree_seen,scene")
    rejected = [reject.key for reject in read_rejects(tmp_path / "late")]
    assert rejected == [f"{SCENE}-cam_00-0000"]
    keys = set(late.table("frames").keys())
    assert len(keys) == 5 and all(set(record.columns["neighbours"]) <= keys for record in late.table("frames"))
    assert all(problems == [] for _, problems in verify(late.root))
