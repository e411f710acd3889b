"""Semantics and intrinsic images that are added to finished Hypersim shards equal those made with them."""

import json
import shutil
from pathlib import Path

import pytest
from tessera.datasets import Dataset, verify
from tessera.pipelines.add_label import add_label
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.settings import RunSettings

from ..sidecars import agree, contents
from .conftest import build

SIZE = "96x128"
BASE = {"size": SIZE, "without": "octree,normal,neighbours,points,probes,octree_seen"}
SERIAL = RunSettings(workers=0, quiet=True)


@pytest.fixture(scope="module")
def base(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards without either label; not to be changed."""
    return build(demo, tmp_path_factory.mktemp("base") / "out", **BASE).root


@pytest.fixture(scope="module")
def added(demo: Path, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to which both were added."""
    out = tmp_path_factory.mktemp("added") / "out"
    shutil.copytree(base, out)
    for label in ("semantic", "intrinsic"):
        assert add_label(out, label, demo, SERIAL).complete
    return out


def test_they_equal_labels_that_were_there_from_the_start(demo: Path, added: Path, tmp_path: Path) -> None:
    build(demo, tmp_path / "whole", **BASE, with_="semantic,intrinsic")
    agree(added, tmp_path / "whole")
    assert [found for _, found in verify(added) if found] == []
    frame = next(iter(Dataset(added).table("frames")))
    assert frame["semantic"].dtype == "int8" and frame["albedo"].shape == (96, 128, 3)


def test_labels_that_need_the_whole_scene_and_one_of_the_picture(demo: Path, tmp_path: Path) -> None:
    """`neighbours` adds references, `octree_seen` needs all distances of the scene, `image` all its colours."""
    labels, without = ("octree_seen", "image", "neighbours"), "normal,points,probes"
    build(demo, tmp_path / "whole", size=SIZE, without=without)
    build(demo, tmp_path / "out", size=SIZE, without=",".join((without, *labels)))
    for label in labels:
        assert add_label(tmp_path / "out", label, demo, SERIAL).complete
    agree(tmp_path / "out", tmp_path / "whole")
    assert [found for _, found in verify(tmp_path / "out") if found] == []


def test_only_the_files_that_a_label_needs_are_read(added: Path) -> None:
    """The point of adding it: colour, depth and normals are 90 % of the raw bytes."""
    for path in (added / "runs" / "notes").glob("*.semantic.json"):
        units = json.loads(path.read_text())["units"]
        names = {Path(name).name.split(".", 2)[-1] for unit in units.values() for name in unit["files"]}
        assert names, "no file was noted"
        assert not {name for name in names if name.startswith(("color", "depth", "normal", "diffuse", "residual"))}


def test_a_changed_semantic_file_concerns_its_label_alone(demo: Path, added: Path, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(demo, raw, symlinks=True)
    shutil.copytree(added, out)
    path = next(iter(sorted(raw.glob("*/images/*_geometry_hdf5/*.semantic.hdf5"))))
    path.write_bytes(path.read_bytes()[:200])
    before = contents(out)["frames"]
    summary = add_label(out, "semantic", raw, RunSettings(workers=0, quiet=True, max_reject=1.0))
    assert summary.sidecar_groups == 1
    (reject,) = read_rejects(out)
    assert reject.stage == "semantic: read" and reject.path.endswith(path.name)
    after = contents(out)["frames"]
    assert [key for key in before if before[key] != after[key]] == [reject.key]
    assert {*before[reject.key]} - {*after[reject.key]} == {"semantic", "instance"}
    assert add_label(out, "intrinsic", raw, SERIAL).sidecar_groups == 0


def test_frames_that_the_labels_own_list_leaves_out(demo: Path, base: Path, tmp_path: Path) -> None:
    """With `semantic`, a run leaves out the scenes that are known to have none; added to others, it is absent there."""
    out, exclude = tmp_path / "out", tmp_path / "exclude.txt"
    shutil.copytree(base, out)
    lost = next(iter(Dataset(out).table("frames"))).unit
    exclude.write_text(f"{lost}\n")
    add_label(out, "semantic", demo, SERIAL, {"exclude": exclude})
    without = {record.unit for record in Dataset(out).table("frames") if "semantic" not in record}
    assert without == {lost}
    assert {(x.unit, x.stage) for x in read_rejects(out) if "semantic" in x.stage} == {(lost, "semantic: plan")}
