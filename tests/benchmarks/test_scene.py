"""The benchmark of the scene labels runs, and the plain ways agree with ours."""

import re
from pathlib import Path

import numpy as np
import pytest
from tessera.benchmarks import scene as bench
from tessera.benchmarks.scenes import compare, compare_frames, whole
from tessera.benchmarks.scenes.raw import HOUSE, ROOM, SOURCE, STAY, make_house, places
from tessera.pipelines.demo.hypersim import generate, metadata, produce
from tessera.pipelines.demo.hypersim.scenes import SCENES
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.raw import open_raw

SIZE = "96x128"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scene of it: its poses and pictures are all that is needed."""
    raw = tmp_path_factory.mktemp("demo") / "raw"
    with pytest.MonkeyPatch.context() as patch:
        for module in (produce, metadata):
            patch.setattr(module, "SCENES", SCENES[:1])
        generate(raw, scale="small")
    return raw


@pytest.fixture(scope="module")
def rows(demo: Path) -> dict[str, dict]:
    return {row["stage"]: row for row in bench.by_stage(demo, SIZE, 2, 1)}


def test_a_row_for_every_stage(rows) -> None:
    assert len(rows) == len(compare.STAGES) + len(compare_frames.STAGES)
    for row in rows.values():
        assert row["plain ms"] > 0 and row["ours ms"] > 0 and row["plain wall ms"] > 0 and row["ours wall ms"] > 0
        assert row["times faster"] == pytest.approx(row["plain ms"] / row["ours ms"])


def numbers(row: dict) -> list[float]:
    """Numbers of what is said of the agreement, in order."""
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?(?:e[+-]\d+)?", row["agreement"])]


def test_plain_ways_give_the_same(rows) -> None:
    fine, plain_fine, coarse, plain_coarse, *_ = numbers(rows["surfels"])
    assert abs(fine - plain_fine) <= 2e-4 * fine and abs(coarse - plain_coarse) <= 2e-4 * coarse
    assert re.search(r"(\S+) m, (\S+) m$", rows["surfels"]["agreement"])
    assert max(float(x) for x in re.findall(r"(\S+) m\b", rows["surfels"]["agreement"])) < 2e-3
    assert numbers(rows["cubes"])[0] < 1e-9
    assert numbers(rows["voxels"])[0] > 99.99
    assert numbers(rows["distance to the unknown"])[0] < 1e-4
    assert numbers(rows["visibility in 4 neighbours"])[0] > 99.99
    assert numbers(rows["distance of query points"])[0] == 100 and numbers(rows["distance of query points"])[1] == 0
    assert numbers(rows["octree supervision"])[0] == 100
    (pairs,) = (row for stage, row in rows.items() if stage.startswith("pairs"))
    assert numbers(pairs)[0] < 3
    masks, radiance, *_ = numbers(rows["light of 8 probes"])
    assert masks > 60 and radiance < 40


def test_a_house_of_many_frames_out_of_few(demo: Path, tmp_path: Path) -> None:
    make_house(demo, tmp_path / "raw", 3, 5)
    recipe = load_recipe("hypersim")
    (unit,) = recipe.plan(open_raw(tmp_path / "raw"), recipe.options(size=SIZE)).units
    assert unit.name == HOUSE and len(unit.records) == 15 and not unit.rejects
    source = demo / SOURCE / "images" / "scene_cam_00_geometry_hdf5" / "frame.0001.depth_meters.hdf5"
    copy = tmp_path / "raw" / HOUSE / "images" / "scene_cam_02_geometry_hdf5" / "frame.0004.depth_meters.hdf5"
    assert copy.samefile(source)  # three frames a camera: 0 1 2 0 1


def test_cameras_go_from_room_to_room() -> None:
    moved = np.concatenate([places(camera, 100, 12) for camera in range(8)])
    assert len(np.unique(np.round(moved, 3), axis=0)) == 12 * 3  # rooms, times turns in each
    assert np.ptp(moved, axis=0).round(1).tolist() == [3 * ROOM + 0.1, 2 * ROOM + 0.1, 0]
    assert (np.abs(np.diff(moved[:STAY], axis=0)) < 0.1).all()


def test_whole_scenes(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.parent)
    tables = bench.whole_scenes(Path(demo.name), 2, 4, SIZE)
    whole_rows = tables["whole scenes"]
    assert [row["frames"] for row in whole_rows] == [6, 8, 6, ""]
    for row in whole_rows:
        assert row.keys() == whole_rows[0].keys()
    for row in whole_rows[:3]:
        assert 0.1 < row["peak GB"] < 3 and 0 < row["without HDR"] < row["MB a frame"] < 1.7
    assert whole_rows[2]["peak GB"] < whole_rows[0]["peak GB"]  # each its own, not that of this process
    stages = {row["stage"]: row for row in tables["processor milliseconds a frame by stage"]}
    assert {"read", "read: fuse surface", "points", "probes", "neighbours", "octree_seen"} <= stages.keys()
    assert stages["points"]["6 frames, no scene labels"] == 0 < stages["points"]["6 frames"]
    with_, without = tables["all of Hypersim"]
    assert with_.keys() == without.keys() and without["core-hours for 74,619 frames"] > 0


def test_the_mean_scene_lies_on_the_line_between_two_sizes() -> None:
    small = whole.Ran(24, 0, 0, 0, {"read": 24 * 0.5, "read: hash": 1}, 0, {})
    large = whole.Ran(800, 0, 0, 0, {"points": 800 * 1.276}, 0, {})
    assert whole.extrapolated(small, large) == pytest.approx(0.5 + 0.001 * (163 - 24))
