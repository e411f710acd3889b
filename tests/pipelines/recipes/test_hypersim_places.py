"""The released archives, an object store, and unpacked folders give the same data set."""

import os
import shutil
from pathlib import Path

import pytest
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.raw import open_raw
from tessera.pipelines.raw_archives import _archive
from tessera.pipelines.readers.hypersim.layout import scene_folders
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.run import Summary, run_recipe
from tessera.pipelines.settings import RunSettings

from ..conftest import file_hashes
from ..places import change_entry, pack, rename_member, upload

SCENES = ("ai_900_001", "ai_900_002")
ON = {"camera", "image", "distance"}


@pytest.fixture(scope="module")
def raw(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes of the demo."""
    copy = tmp_path_factory.mktemp("places") / "raw"
    copy.mkdir()
    for table in demo.glob("*.csv"):
        shutil.copy(table, copy)
    for scene in SCENES:
        shutil.copytree(demo / scene, copy / scene, copy_function=os.link)
    return copy


def run(raw: Path | str, out: Path) -> Summary:
    recipe = load_recipe("hypersim")
    labels = {label.name for table in recipe.tables.values() for label in table.labels}
    options = recipe.options(size="96x128", without=",".join(sorted(labels - ON)))
    return run_recipe(recipe, options, raw, RunSettings(out=out, workers=0, quiet=True, max_reject=1.0))


@pytest.fixture(scope="module")
def built(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    assert run(raw, out).status == 0
    return out


@pytest.mark.parametrize("kind", ["zips", "zips in scenes", "s3", "zips on s3"])
def test_the_same_data_set_from_every_place(raw: Path, built: Path, tmp_path: Path, kind: str, bucket: str) -> None:
    source: Path | str = pack(raw, tmp_path / "packed") if "zips" in kind else raw
    if kind == "zips in scenes":
        (tmp_path / "packed/scenes").mkdir()
        for scene in SCENES:
            (tmp_path / "packed" / f"{scene}.zip").rename(tmp_path / "packed/scenes" / f"{scene}.zip")
    if "s3" in kind:
        source = upload(Path(source), f"{bucket}/hypersim")
    again = tmp_path / "again"
    assert run(source, again).status == 0
    if kind != "zips in scenes":  # there the paths of rejects and fingerprints are those in scenes/
        assert file_hashes(again) == file_hashes(built)
        copy = shutil.copytree(built, tmp_path / "copy")
        assert run(source, copy).built_groups == 0, "what was made from folders is up to date"
    tars = {name: digest for name, digest in file_hashes(built).items() if name.endswith(".tar")}
    assert tars and tars.items() <= file_hashes(again).items()


def test_planning_opens_each_archive_once(raw: Path, tmp_path: Path) -> None:
    packed = open_raw(pack(raw, tmp_path / "packed"))
    before = _archive.cache_info().misses
    assert list(scene_folders(packed)) == list(SCENES) and _archive.cache_info().misses == before
    recipe = load_recipe("hypersim")
    recipe.plan(packed, recipe.options(size="96x128"))
    assert _archive.cache_info().misses == before + len(SCENES)


def truncate(archive: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:-1000])


def swap(archive: Path) -> None:
    member = b"ai_900_001/_detail/metadata_cameras.csv"
    rename_member(archive, member, b"../" * 5 + member[15:])


def link(archive: Path) -> None:
    change_entry(archive, "ai_900_001/_detail/metadata_scene.csv", 38, "<L", 0o120777 << 16)


@pytest.mark.parametrize("harm", [truncate, swap, link])
def test_a_bad_archive_costs_its_scene(raw: Path, tmp_path: Path, harm: object) -> None:
    packed = pack(raw, tmp_path / "packed")
    harm(packed / "ai_900_001.zip")
    summary = run(packed, tmp_path / "out")
    assert summary.records > 0 and summary.lost_units == 1
    (reject,) = read_rejects(tmp_path / "out")
    assert (reject.unit, reject.key, reject.stage) == ("ai_900_001", "", "archive")
    assert reject.error.startswith("ai_900_001.zip: ") and reject.error.isprintable()
    os.remove(packed / "ai_900_001.zip")
    shutil.copy(pack(raw, tmp_path / "good") / "ai_900_001.zip", packed)
    assert run(packed, tmp_path / "out").lost_units == 0, "once it is mended, the scene is built"
