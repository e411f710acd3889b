"""`verify` is silent about a clean data set and finds each way in which one can be damaged."""

import json
import shutil
from dataclasses import replace

import pytest
from tessera.datasets import FormatError, verify
from tessera.datasets.catalog import CATALOG
from tessera.datasets.index import index_bytes, read_facts, read_rows
from tessera.datasets.verify import file_sha256

INDEX, TAR = "train/frames-000001.parquet", "train/frames-000001.tar"


def problems(toy):
    """Name of the checked file to its problems, where there are any."""
    return {name: found for name, found in verify(toy.root) if found}


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_clean_data_set(built):
    found = dict(verify(built.root))
    assert len(found) == len(built.dataset.catalog.shards) + 1 and list(found)[-1] == CATALOG
    assert not any(found.values())


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("where", [0, 700, -1])
def test_a_flipped_byte_in_a_tar(toy, where):
    flip(toy.tar(), where)
    assert problems(toy) == {INDEX: ["tar: sha256 differs from its index"]}


def test_a_missing_tar(toy):
    toy.tar().unlink()
    assert problems(toy) == {INDEX: ["tar is missing"]}


@pytest.mark.parametrize("keep", [0, 1000, -1])
def test_a_truncated_tar(toy, keep):
    toy.tar().write_bytes(toy.tar().read_bytes()[:keep])
    found = problems(toy)
    assert list(found) == [INDEX] and "bytes, its index says" in found[INDEX][0]


def rewrite(toy, change=lambda rows: rows, **facts):
    """The index of `train/frames-000001` with other rows or facts."""
    rows = change(read_rows(toy.index()).to_pylist())
    told = replace(read_facts(toy.index()), **facts)
    toy.index().write_bytes(index_bytes(toy.dataset.catalog.tables["frames"], rows, told))


def moved(rows):
    rows[0]["points.offset"] += 4
    return rows


def test_an_edited_index(toy):
    rewrite(toy, moved)
    assert problems(toy) == {INDEX: ["index: sha256 differs from dataset.json"]}


@pytest.mark.parametrize("keep", [0, 4, 500, -1])
def test_a_damaged_index_is_a_problem_and_the_others_are_checked_too(toy, keep):
    toy.index().write_bytes(toy.index().read_bytes()[:keep])
    flip(toy.tar("scenes"), 100)
    found = problems(toy)
    assert str(toy.index()) in found[INDEX][0]
    assert found["train/scenes-000001.parquet"] == ["tar: sha256 differs from its index"]


def test_a_missing_index(toy):
    toy.index().unlink()
    found = problems(toy)
    assert "frames-000001.parquet" in found[INDEX][0]
    assert f"{TAR} has no index: it was never committed" in found[CATALOG]


@pytest.mark.parametrize("name", ["frames-000007.tar", "scenes-000000-1.tar"])
def test_a_stray_tar(toy, name):
    shutil.copy(toy.tar(), toy.root / "train" / name)
    assert problems(toy) == {CATALOG: [f"train/{name} has no index: it was never committed"]}


@pytest.mark.parametrize("content", [None, b"damaged"])
def test_a_stray_index(toy, content):
    path = toy.root / "train/frames-000007.parquet"
    path.write_bytes(toy.index().read_bytes() if content is None else content)
    assert problems(toy) == {CATALOG: ["train/frames-000007.parquet is not in dataset.json"]}


def test_keys_that_two_shards_hold(toy):
    toy.group("val", 0, ("s2",))
    toy.catalog()
    found = problems(toy)
    assert found["val/frames-000000.parquet"] == ["keys appear twice: s2-0000, s2-0001, s2-0002"]
    assert found["val/scenes-000000.parquet"] == ["keys appear twice: s2"]
    assert set(found) == {"val/frames-000000.parquet", "val/scenes-000000.parquet"}


def test_keys_twice_within_a_shard(toy):
    rewrite(toy, lambda rows: [rows[0], *rows[:3]])
    toy.catalog()
    assert problems(toy)[INDEX] == [
        "keys appear twice: within the shard",
        "tar and index hold different records (see members such as *.labels.npz)",
    ]


@pytest.mark.parametrize(("reference", "value"), [("scene", "s9"), ("neighbours", ["s2-0000", "s9"])])
def test_dangling_references(toy, reference, value):
    rewrite(toy, lambda rows: [rows[0] | {reference: value}, *rows[1:]])
    toy.catalog()
    table = "scenes" if reference == "scene" else "frames"
    assert problems(toy) == {CATALOG: [f"1 references point to no record of table {table}, first s9"]}


def test_an_index_that_holds_fewer_records_than_its_tar(toy):
    rewrite(toy, lambda rows: rows[:3])
    toy.catalog()
    found = problems(toy)[INDEX]
    assert found[0].startswith("index: 3 rows") and "different records" in found[1]


def test_an_index_in_another_order_than_its_tar(toy):
    rewrite(toy, lambda rows: rows[::-1])
    toy.catalog()
    assert problems(toy) == {INDEX: ["tar and index hold different records (see members such as *.labels.npz)"]}


def test_a_record_count_that_only_the_catalog_tells(toy):
    path = toy.root / CATALOG
    values = json.loads(path.read_text())
    entry = next(entry for entry in values["shards"] if entry["index"] == INDEX)
    entry["records"] += 1
    path.write_text(json.dumps(values))
    assert problems(toy)[INDEX][0].startswith("index: 4 rows")


def test_a_data_set_still_building(toy):
    toy.catalog("building")
    assert problems(toy) == {CATALOG: ["state is building: run the same `tessera shards` command again"]}


def test_shared_assets(toy):
    (toy.root / "assets").mkdir()
    path = toy.root / "assets/cameras.json"
    path.write_bytes(b"abc")
    toy.catalog(assets={"assets/cameras.json": file_sha256(path)})
    assert problems(toy) == {}
    flip(path, 0)
    assert problems(toy) == {CATALOG: ["asset assets/cameras.json: sha256 differs from dataset.json"]}
    path.unlink()
    assert problems(toy) == {CATALOG: ["asset assets/cameras.json: missing"]}


def test_no_data_set(tmp_path):
    with pytest.raises(FormatError, match=r"no dataset\.json"):
        list(verify(tmp_path))
