"""Indexes: rows that say where everything lies, facts of the shard, and refusal of what is not ours."""

import json
from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tessera.datasets import Column, Field, Reference, Schema
from tessera.datasets.errors import FormatError, SchemaError
from tessera.datasets.index import (
    METADATA,
    ShardFacts,
    Source,
    arrow_schema,
    check_version,
    index_bytes,
    index_row,
    read_facts,
    read_rows,
    shift_offsets,
)
from tessera.datasets.members import FORMAT_VERSION, Placed

SCHEMA = Schema(
    (Field("points", "float32", ("n", 3), "npy"), Field("bits", "uint8", (2,), "npz", optional=True)),
    {"n": None},
    (Column("name", "string"), Column("i", "int64"), Column("x", "float64"), Column("ok", "bool")),
    (Reference("scene", "scenes"), Reference("near", "frames", many=True)),
)
SCALARS = {"name": "ä", "i": 3, "x": 0.5, "ok": True, "scene": "s", "near": ["a", "b"]}
FACTS = ShardFacts(
    "t", "train", 3, 0, 1, "t-000003.tar", 2048, "ab", (Source("u", "f", 2),), ({"unit": "v", "error": "bad"},),
    made_from={"labels": {"pose": 1}},
)  # fmt: skip


def row(key="u-0", scalars=SCALARS, **changes):
    places = {"points": Placed(640, 24, (1, 2)), "bits": Placed(1300, 2, (4_000_000_000,))}
    return index_row(SCHEMA, key, "u", 1536, places, {"n": 2}, scalars | changes)


def without(field, key="u-1"):
    values = index_row(SCHEMA, key, "u", 1536, {"points": Placed(640, 0, ())}, {"n": 0}, SCALARS)
    assert values[f"{field}.offset"] is None
    return values


@pytest.fixture
def index(tmp_path):
    path = tmp_path / "t-000003.parquet"
    path.write_bytes(index_bytes(SCHEMA, [row(), without("bits")], FACTS))
    return path


def test_rows_and_facts_come_back(index):
    rows = read_rows(index)
    assert rows.schema.equals(arrow_schema(SCHEMA))
    assert rows.to_pylist() == [row(), without("bits")]
    assert read_facts(index) == FACTS


def test_some_columns_alone(index):
    assert read_rows(index, ["key", "dim.n"]).to_pydict() == {"key": ["u-0", "u-1"], "dim.n": [2, 0]}


def test_same_rows_same_bytes(index):
    assert index_bytes(SCHEMA, [row(), without("bits")], FACTS) == index.read_bytes()
    assert index_bytes(SCHEMA, [row(), without("bits")], replace(FACTS, group=4)) != index.read_bytes()


def test_metadata_is_json_with_the_format_version(index):
    metadata = json.loads(pq.read_schema(index).metadata[METADATA])
    assert metadata["format_version"] == FORMAT_VERSION and metadata["tar_sha256"] == "ab"


def test_shifting_moves_every_offset_there_is():
    moved = without("bits")
    shift_offsets(SCHEMA, moved, 1000)
    assert (moved["record.offset"], moved["points.offset"], moved["bits.offset"]) == (1000, 1640, None)
    assert (moved["record.size"], moved["points.size"]) == (1536, 0)
    shift_offsets(SCHEMA, moved, -1000)
    assert moved == without("bits")


@pytest.mark.parametrize(
    "change",
    [{"i": 1.0}, {"i": True}, {"i": "1"}, {"i": 1 << 63}, {"i": -(1 << 63) - 1}, {"i": np.int32(3)}, {"x": True},
     {"x": "1"}, {"x": 2**60 + 1}, {"x": 10**400}, {"ok": 1}, {"name": 3}, {"name": b"x"}, {"name": "\udc80"},
     {"scene": ["s"]}, {"scene": "\ud800"}, {"near": "a"}, {"near": ["a", 3]}, {"near": [["a"]]}, {"near": ("a",)}],
)  # fmt: skip
def test_scalars_of_a_wrong_type_or_size_are_refused_by_name(change):
    with pytest.raises(SchemaError, match=f"column '{next(iter(change))}'"):
        row(**change)


def test_missing_and_unknown_scalars_are_refused_by_name():
    with pytest.raises(SchemaError, match="column 'colour' is not in the schema"):
        row(colour=3)
    with pytest.raises(SchemaError, match="column 'scene'"):
        row(scalars={name: value for name, value in SCALARS.items() if name != "scene"})


def test_scalars_that_every_index_can_hold(tmp_path):
    edges = [{"i": -(1 << 63)}, {"i": (1 << 63) - 1}, {"x": 3}, {"x": np.float64(2.5)}, {"x": float("nan")},
             {"near": []}, dict.fromkeys(SCALARS)]  # fmt: skip
    rows = [row(f"u-{number}", **edge) for number, edge in enumerate(edges)]
    (tmp_path / "x.parquet").write_bytes(index_bytes(SCHEMA, rows, FACTS))
    for edge, found in zip(edges, read_rows(tmp_path / "x.parquet").to_pylist(), strict=True):
        for name, value in edge.items():
            assert found[name] == value or value != value


def rewritten(index, **changes):
    """The index with other facts; None deletes one."""
    values = {name: value for name, value in (asdict(FACTS) | changes).items() if value is not None}
    table = pq.read_table(index).replace_schema_metadata({METADATA: json.dumps(values)})
    pq.write_table(table, index)
    return index


def test_a_newer_index_is_refused_by_path_and_versions(index):
    with pytest.raises(FormatError) as caught:
        read_facts(rewritten(index, format_version=FORMAT_VERSION + 6, new_fact="x"))
    text = str(caught.value)
    assert str(index) in text and str(FORMAT_VERSION + 6) in text and f"({FORMAT_VERSION})" in text
    assert "upgrade" in text


@pytest.mark.parametrize("version", [0, -1, "1", None, 1.0, [1]])
def test_versions_that_never_were(version, tmp_path):
    with pytest.raises(FormatError, match="none of Tessera's"):
        check_version(version, tmp_path / "x")


@pytest.mark.parametrize(
    "changes", [{"group": "3"}, {"tar": 5}, {"sources": [{"unit": "u"}]}, {"sources": 3}, {"sources": None},
                {"rejects": None}, {"colour": 1}, {"sources": [3]}, {"tar_bytes": 1.5}, {"split": None}],
)  # fmt: skip
def test_facts_of_wrong_types(index, changes):
    with pytest.raises(FormatError, match=r"t-000003\.parquet"):
        read_facts(rewritten(index, **changes))


@pytest.mark.parametrize("metadata", [b"", b"{", b"[]", b"3", b"null", b"[" * 100_000, b"\xff"])
def test_metadata_that_are_not_ours(index, metadata):
    pq.write_table(pq.read_table(index).replace_schema_metadata({METADATA: metadata}), index)
    with pytest.raises(FormatError, match=r"t-000003\.parquet"):
        read_facts(index)


def test_parquet_files_of_others(tmp_path):
    pq.write_table(pa.table({"key": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(FormatError, match=r"x.parquet.*not a whole index of Tessera's"):
        read_facts(tmp_path / "x.parquet")


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -1, -8, -500])
def test_truncated_indexes(index, keep):
    index.write_bytes(index.read_bytes()[:keep])
    for read in (read_facts, read_rows):
        with pytest.raises(FormatError, match=r"t-000003\.parquet"):
            read(index)


@pytest.mark.parametrize("read", [read_facts, read_rows])
def test_missing_indexes(tmp_path, read):
    with pytest.raises(FormatError, match=r"x\.parquet"):
        read(tmp_path / "x.parquet")
