"""Records come back as they were written, by key or in order, and damage is named."""

import numpy as np
import pyarrow.compute as pc
import pytest
from tessera.datasets import Catalog, ShardWriter, table
from tessera.datasets.catalog import scan_shards
from tessera.datasets.errors import FormatError, SchemaError
from tessera.datasets.index import index_bytes, read_facts, read_rows
from tessera.datasets.members import FINE_BLOCK


def assert_same(entry, found, written):
    """What is read is what was written, within the accuracy of codec and storage."""
    if entry.dtype == "json":
        assert found == written
        return
    assert found.dtype == np.dtype(entry.dtype) and found.shape == np.shape(written)
    if entry.codec == "jpg":
        assert np.abs(found.astype(int) - written).max() <= 12
    elif entry.name == "normal":
        np.testing.assert_allclose(found, written, atol=3e-4)
        np.testing.assert_array_equal(np.all(found == 0, -1), np.all(written == 0, -1))
    elif entry.name == "hdr":
        np.testing.assert_allclose(found.astype(float), written.astype(float), rtol=2**-9)
    else:
        assert found.tobytes() == np.asarray(written).tobytes()


@pytest.mark.parametrize("name", ["frames", "scenes"])
def test_every_field_of_every_record_comes_back(built, name):
    records = built.table(name)
    for key, written in built.values[name].items():
        record = records[key]
        assert (record.key, set(record), len(record)) == (key, set(written), len(written))
        for field, value in record.items():
            assert_same(records.schema.by_name[field], value, written[field])


def test_free_dimensions_differ_from_record_to_record(built):
    sizes = {key: record["points"].shape for key, record in ((r.key, r) for r in built.table())}
    assert sizes == {key: values["points"].shape for key, values in built.values["frames"].items()}
    assert len(set(sizes.values())) > 3 and (0, 3) in sizes.values()


def test_columns_and_references(built):
    frames, scenes = built.table(), built.table("scenes")
    for key, scalars in built.scalars["frames"].items():
        record = frames[key]
        assert record.columns == scalars
        assert scenes[record.columns["scene"]]["name"] == f"scene {record.unit}"
        assert [frames[other].unit for other in record.columns["neighbours"]] == [record.unit] * scalars["frame"]


def test_absent_optional_fields_are_not_in_the_record(built):
    record = built.table()["s0-0001"]
    assert "image" not in record and "image" not in set(record) and record.get("image") is None
    for name in ("image", "colour", "key"):
        with pytest.raises(KeyError, match=name):
            record[name]


def test_order_keys_length_and_membership(built):
    records = built.table()
    expected = list(built.values["frames"])
    assert [record.key for record in records] == expected == list(records.keys())
    assert len(records) == len(expected) == 16
    assert records.index()["key"].to_pylist() == expected
    assert all(key in records for key in expected)
    for absent in ("s0", "s0-", "s0-0000-1", "s9-0000", "", "s0-00", "s0-9999", 3, None):
        assert absent not in records


@pytest.mark.parametrize("key", ["s0-9999", "s9", "x", ""])
def test_absent_keys_are_named(built, key):
    with pytest.raises(KeyError, match=f"no record '{key}' in table 'frames'"):
        built.table()[key]


def test_splits(built):
    train, val = built.table(split="train"), built.table(split="val")
    assert (len(train), len(val)) == (12, 4)
    assert {record.split for record in val} == {"val"} and {record.unit for record in val} == {"s3"}
    assert "s3-0000" in val and "s3-0000" not in train
    with pytest.raises(SchemaError, match=r"no split 'test' \(splits: train, val\)"):
        built.table(split="test")
    with pytest.raises(SchemaError, match=r"no table 'views' \(tables: frames, scenes\)"):
        built.table("views")


def test_an_empty_table_still_has_its_columns(toy):
    for split, group in (("train", 0), ("train", 1), ("val", 0)):
        toy.group(split, group, ())
    toy.catalog()
    records = toy.table()
    assert (len(records), list(records), list(records.keys())) == (0, [], [])
    assert {"key", "image.offset", "camera", "dim.points"} <= set(records.index().column_names)
    assert "s0-0000" not in records


def opened(monkeypatch):
    paths = []
    real = table.read_rows
    monkeypatch.setattr(table, "read_rows", lambda path, *rest: (paths.append(path.name), real(path, *rest))[1])
    return paths


def test_a_look_up_opens_only_indexes_of_the_unit_and_each_only_once(built, monkeypatch):
    paths = opened(monkeypatch)
    records = built.table()
    assert len(records) == 16 and not paths
    for _ in range(3):
        assert records["s2-0001"].key and records["s2-0003"].key
    assert paths == ["frames-000001.parquet"]
    assert "x9-0001" not in records and "s9" not in records and len(paths) == 1
    assert records["s3-0000"].unit == "s3"
    assert paths == ["frames-000001.parquet", "frames-000000.parquet"]


def test_membership_of_a_field_reads_nothing(toy):
    toy.tar(group=1).unlink()
    record = toy.table()["s2-0000"]
    assert "image" in record and "colour" not in record and list(record)
    with pytest.raises(FormatError, match="cannot be read"):
        record["image"]


def test_arrays_stay_valid_after_close_and_cannot_write_into_the_shard(toy):
    records = toy.table()
    points = records["s0-0000"]["points"]
    records.close()
    np.testing.assert_array_equal(points, toy.values["frames"]["s0-0000"]["points"])
    assert not points.flags.writeable
    assert records["s0-0000"]["sdf"] is not None


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 16
    path.write_bytes(data)


def row_of(toy, key, group=1):
    rows = read_rows(toy.index(group=group))
    return rows.slice(pc.index(rows["key"], key).as_py(), 1).to_pylist()[0]


@pytest.mark.parametrize("field", ["image", "ids", "distance", "normal", "hdr", "pose", "scale", "bits", "meta"])
def test_a_flipped_byte_is_named_with_shard_key_and_field(toy, field):
    row = row_of(toy, "s2-0002")
    flip(toy.tar(), row[f"{field}.offset"] + row[f"{field}.size"] // 2)
    record = toy.table()["s2-0002"]
    for _ in range(2):  # also when it is read again
        with pytest.raises(FormatError) as caught:
            record[field]
        for part in (str(toy.tar()), "record s2-0002", f"field {field}", "checksum"):
            assert part in str(caught.value)
    for other in set(record) - {field}:
        assert record[other] is not None


def test_every_block_of_a_large_field_is_checked(tmp_path, frames_schema, frame, frame_scalars):
    points = np.arange(3 * 70_000, dtype=np.float32).reshape(-1, 3)
    with ShardWriter(tmp_path / "train", "frames", "train", 0, frames_schema, run="r") as writer:
        writer.begin("s0")
        writer.add("s0", frame | {"points": points, "sdf": points[:, 0].copy()}, frame_scalars)
        writer.commit({"s0": "f"}, [], {})
    blank = Catalog("t", "t", "building", {}, {}, {}, 0, {"train": 1}, 1, {"frames": frames_schema}, "0")
    blank.with_shards(scan_shards(tmp_path, blank), 0, "complete").write(tmp_path, "r")
    tar = tmp_path / "train/frames-000000.tar"
    row = read_rows(tar.with_suffix(".parquet")).to_pylist()[0]
    assert len(row["points.crc"]) == 13
    for block in (0, 1, 11, 12):
        at = row["points.offset"] + min((block + 1) * FINE_BLOCK, row["points.size"]) - 1
        flip(tar, at)
        with pytest.raises(FormatError, match=f"field points: checksum differs at byte {block * FINE_BLOCK};"):
            table.Table(tmp_path, Catalog.read(tmp_path), "frames")["s0"]["points"]
        flip(tar, at)
    assert table.Table(tmp_path, Catalog.read(tmp_path), "frames")["s0"]["points"].shape == points.shape


@pytest.mark.parametrize("keep", [0, 1000, -1, -512])
def test_a_truncated_tar_is_named(toy, keep):
    toy.tar().write_bytes(toy.tar().read_bytes()[:keep])
    with pytest.raises(FormatError, match=r"train/frames-000001\.tar"):
        toy.table()["s2-0000"]["pose"]


def test_a_missing_index_is_named(toy):
    toy.index().unlink()
    with pytest.raises(FormatError, match=r"train/frames-000001\.parquet"):
        toy.table()["s2-0000"]


def reindex(toy, change):
    rows = read_rows(toy.index()).to_pylist()
    for row in rows:
        change(row)
    toy.index().write_bytes(index_bytes(toy.dataset.catalog.tables["frames"], rows, read_facts(toy.index())))


@pytest.mark.parametrize(
    "change",
    [
        {"points.offset": 1 << 60},
        {"points.offset": -8},
        {"points.size": 1 << 60},
        {"points.size": -12},
        {"points.size": None},
        {"points.crc": None},
        {"points.crc": []},
        {"points.crc": [1, 2, 3]},
        {"points.crc": [None]},
        {"dim.points": 1 << 62},
        {"dim.points": -2},
        {"dim.points": None},
        {"dim.points": 5},
    ],
)
def test_an_index_that_does_not_fit_its_tar(toy, change):
    reindex(toy, lambda row: row.update(change))
    assert len(toy.values["frames"]["s2-0002"]["points"]) not in (0, 5)
    with pytest.raises(FormatError, match=r"frames-000001\.tar, record s2-0002, field points"):
        toy.table()["s2-0002"]["points"]


def test_an_index_with_other_columns_than_the_schema(toy, built):
    toy.index().write_bytes(built.index("scenes").read_bytes())
    with pytest.raises(FormatError, match=r"frames-000001\.parquet.*columns"):
        toy.table()["s2-0000"]
