"""Shards of a label that is added to a data set: written beside those that are there, joined, and checked."""

import json
from dataclasses import replace

import numpy as np
import pytest
from tessera.datasets import Catalog, Column, Dataset, Field, FormatError, Reference, Schema, SchemaError, verify
from tessera.datasets.catalog import scan_sidecar
from tessera.datasets.entries import Sidecar
from tessera.datasets.index import index_bytes, read_facts, read_rows
from tessera.datasets.sidecar_writer import SidecarWriter, read_base

from .conftest import FRAMES, UNITS

STRICT = Schema(
    (
        Field("heat", "float32", ("height", "width"), "blosc"),
        Field("weight", "float32", ("points",), "npy"),
        Field("mark", "int64", (), "npz", optional=True),
    ),
    {"height": 6, "width": 8, "points": None},
    (Column("warm", "bool"),),
    (Reference("next", "frames"),),
)
LABEL = replace(STRICT, fields=tuple(replace(entry, optional=True) for entry in STRICT.fields))


def values(toy, key):
    """The label of one record; every third has none."""
    if int(key[-1]) == 2:
        return None
    points = len(toy.values["frames"][key]["points"])
    found = {"heat": np.full((6, 8), int(key[-1]), np.float32), "weight": np.arange(points, dtype=np.float32)}
    return found | ({"mark": np.int64(7)} if int(key[-1]) else {})


def write(toy, split, group, units, order=sorted):
    base = read_base(toy.root / split, "frames", group, FRAMES)
    with SidecarWriter(
        toy.root / split, "frames", split, group, label="warmth", schema=LABEL, strict=STRICT, base=base, run="run"
    ) as writer:
        for unit in units:
            writer.begin(unit)
            for key in order(writer.keys(unit)):
                found = values(toy, key)
                if found is None:
                    writer.leave(key)
                else:
                    writer.add(key, found, {"warm": key.endswith("1"), "next": key})
        return writer.commit(dict.fromkeys(units, "f"), [], {"labels": {"warmth": 1}})


def listed(toy, state="complete"):
    """Write the catalog with what lies there of the label."""
    catalog = replace(Catalog.read(toy.root), sidecars={"warmth": Sidecar(1, state, {"frames": LABEL})})
    catalog = catalog.with_sidecars({"warmth": scan_sidecar(toy.root, catalog, "warmth")})
    catalog.write(toy.root, "run")
    return catalog


@pytest.fixture
def warm(toy):
    for (split, group), units in UNITS.items():
        write(toy, split, group, units)
    listed(toy)
    return toy


def problems(toy):
    return {name: found for name, found in verify(toy.root) if found}


def test_fields_and_columns_are_those_of_one_record(warm):
    table = warm.table()
    assert problems(warm) == {}
    for record in table:
        written = values(warm, record.key) or {}
        assert {"heat", "weight", "mark"} & {*record} == {*written}
        for name, array in written.items():
            np.testing.assert_array_equal(record[name], array)
            np.testing.assert_array_equal(table[record.key][name], array)
        np.testing.assert_array_equal(record["points"], warm.values["frames"][record.key]["points"])
        assert record.columns["warm"] == (record.key.endswith("1") if written else None)
        assert record.columns["next"] == (record.key if written else None)
        assert record.columns["camera"] == warm.scalars["frames"][record.key]["camera"]
        assert record.stored_bytes().keys() == {*record}
    assert table.tar_bytes() == sum(path.stat().st_size for path in warm.root.glob("*/frames-*.tar"))
    assert set(table.index().column_names) >= {"heat.offset", "warm", "next", "distance.offset"}
    assert "heat" not in warm.table("scenes").schema.by_name


def test_a_group_of_several_shards_has_a_sidecar_for_each(warm):
    names = {path.name for path in (warm.root / "train").glob("frames-000000*.tar")}
    ours = {name for name in names if ".warmth." in name}
    assert len(ours) > 1 and {name.replace(".warmth", "") for name in ours} == names - ours


def test_records_may_be_given_in_any_order(warm, tmp_path):
    before = {path.name: path.read_bytes() for path in warm.root.rglob("*.warmth.*")}
    for (split, group), units in UNITS.items():
        write(warm, split, group, units, order=lambda keys: sorted(keys, reverse=True))
    assert {path.name: path.read_bytes() for path in warm.root.rglob("*.warmth.*")} == before


def test_a_unit_that_is_rolled_back_can_be_left(toy):
    base = read_base(toy.root / "train", "frames", 1, FRAMES)
    with SidecarWriter(
        toy.root / "train", "frames", "train", 1, label="warmth", schema=LABEL, strict=STRICT, base=base, run="run"
    ) as writer:
        writer.begin("s2")
        writer.add("s2-0000", values(toy, "s2-0000"), {"warm": True, "next": None})
        assert not writer.wants("s2-0000") and writer.wants("s2-0001")
        writer.rollback()
        assert writer.wants("s2-0000")
        writer.expect(frozenset())
        writer.commit({"s2": "f"}, [], {})
    listed(toy, "building")
    assert all("heat" not in record for record in toy.table() if record.unit == "s2")


def test_it_must_hold_the_records_that_are_there(toy):
    base = read_base(toy.root / "train", "frames", 1, FRAMES)
    with SidecarWriter(
        toy.root / "train", "frames", "train", 1, label="warmth", schema=LABEL, strict=STRICT, base=base, run="run"
    ) as writer:
        writer.begin("s2")
        writer.leave("s2-0000")
        with pytest.raises(SchemaError, match="not the records of frames-000001"):
            writer.commit({"s2": "f"}, [], {})
    assert not list(toy.root.rglob("*warmth*"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heat": None}, "field 'heat' is missing"),
        ({"weight": np.zeros(99, np.float32)}, "dimension 'points': 99, the record's own fields have"),
        ({"other": np.zeros(1)}, "field 'other' is not in the schema"),
    ],
)
def test_a_label_that_does_not_keep_its_schema(toy, change, said):
    base = read_base(toy.root / "train", "frames", 1, FRAMES)
    with SidecarWriter(
        toy.root / "train", "frames", "train", 1, label="warmth", schema=LABEL, strict=STRICT, base=base, run="run"
    ) as writer:
        writer.begin("s2")
        with pytest.raises(SchemaError, match=said):
            writer.add("s2-0000", values(toy, "s2-0000") | change, {"warm": True, "next": None})


def test_shards_that_were_written_anew_have_no_label_until_it_is_made_for_them(warm):
    """Never the label of other records than one reads."""
    warm.group("train", 1, ("s2",), limit=1)
    warm.catalog("building", sidecars={"warmth": Sidecar(1, "building", {"frames": LABEL})})
    assert {record.unit for record in warm.table() if "heat" not in record and record.key[-1] != "2"} == {"s2"}


def test_a_sidecar_of_other_records_is_refused(warm):
    """`dataset.json` may say that it belongs there."""
    index = warm.root / "train" / "frames-000001.warmth.parquet"
    rows = read_rows(index).to_pylist()
    rows[0]["key"], rows[1]["key"] = rows[1]["key"], rows[0]["key"]
    index.write_bytes(index_bytes(LABEL, rows, read_facts(index)))
    with pytest.raises(FormatError, match="other records than train/frames-000001"):
        list(warm.table())
    assert "other records than train/frames-000001.parquet" in problems(warm)["train/frames-000001.warmth.parquet"]


@pytest.mark.parametrize("where", [0, 700, -1])
def test_a_flipped_byte_is_found(warm, where):
    path = warm.root / "train" / "frames-000001.warmth.tar"
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    assert problems(warm) == {"train/frames-000001.warmth.parquet": ["tar: sha256 differs from its index"]}


def test_what_verify_says_of_lost_and_stray_files(warm):
    (warm.root / "val" / "frames-000000.warmth.tar").unlink()
    (warm.root / "train" / "frames-000001.warmth.parquet").rename(warm.root / "train" / "frames-000009.warmth.parquet")
    found = problems(warm)
    assert found["val/frames-000000.warmth.parquet"] == ["tar is missing"]
    assert "train/frames-000009.warmth.parquet is not in dataset.json" in found["dataset.json"]
    assert "train/frames-000001.warmth.tar has no index: it was never committed" in found["dataset.json"]


def test_a_lost_entry_is_a_problem(warm):
    catalog = Catalog.read(warm.root)
    catalog.with_sidecars({"warmth": catalog.sidecars["warmth"].shards[1:]}).write(warm.root, "run")
    (said,) = [text for text in problems(warm)["dataset.json"] if "label" in text]
    assert said.startswith("label warmth is building, ")


def test_references_of_the_label_are_checked(warm):
    index = warm.root / "train" / "frames-000001.warmth.parquet"
    rows = read_rows(index).to_pylist()
    rows[0]["next"] = "nowhere"
    index.write_bytes(index_bytes(LABEL, rows, read_facts(index)))
    listed(warm)
    assert problems(warm) == {"dataset.json": ["1 references point to no record of table frames, first nowhere"]}


def test_the_catalog_comes_back_and_says_nothing_where_nothing_was_added(warm, built):
    catalog = Catalog.read(warm.root)
    assert Catalog.read(warm.root).to_bytes() == catalog.to_bytes()
    assert "sidecars" not in (built.root / "dataset.json").read_text()


@pytest.mark.parametrize(
    "sidecar",
    [
        {"version": "1"}, {"state": "done"}, {"tables": {"nowhere": LABEL.to_json()}}, {"tables": []},
        {"tables": {"frames": FRAMES.to_json()}}, {"shards": [{"index": "../x"}]},
    ],
)  # fmt: skip
def test_a_damaged_entry_of_the_catalog_is_named(warm, sidecar):
    path = warm.root / "dataset.json"
    whole = json.loads(path.read_text())
    whole["sidecars"]["warmth"] |= sidecar
    path.write_text(json.dumps(whole))
    with pytest.raises(FormatError, match=r"dataset\.json"):
        Dataset(warm.root)


@pytest.mark.parametrize("name", ["../x", "A", "x.y", ""])
def test_a_label_name_that_leads_elsewhere_is_refused(warm, name):
    path = warm.root / "dataset.json"
    whole = json.loads(path.read_text())
    whole["sidecars"][name] = whole["sidecars"].pop("warmth")
    path.write_text(json.dumps(whole))
    with pytest.raises(FormatError, match=r"dataset\.json"):
        Dataset(warm.root)


def test_paths_that_leave_the_folder_are_refused(warm):
    catalog = Catalog.read(warm.root)
    shards = catalog.sidecars["warmth"].shards
    catalog.with_sidecars({"warmth": (replace(shards[0], tar="../../x.tar"),)}).write(warm.root, "run")
    with pytest.raises(FormatError, match="leaves the data set's folder"):
        Dataset(warm.root)
