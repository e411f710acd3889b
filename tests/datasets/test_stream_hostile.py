"""Streams of strangers' data sets: no memory by a header's word, no crash, no hang, no code, no control characters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tessera.datasets import Catalog, Field, Schema, ShardWriter, Stream, TesseraError
from tessera.datasets.catalog import scan_shards
from tessera.datasets.index import index_bytes, read_facts, read_rows

from .stream_damage import LONGEST, at_most, edited, refused, rewrite
from .trap import Trap, nothing_ran  # noqa: F401

KEY = "s2-0002"
SIZES = [-1, -(1 << 63), 1 << 31, 1 << 40, (1 << 48) + 1, 1 << 62, (1 << 63) - 1]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("field, dimension", [("points", "points"), ("bits", "leaves")])
@pytest.mark.parametrize("options", [{}, {"sample": 9}, {"window": 5}, {"window": 5, "stride": 1}])
def test_dimensions_that_no_record_has(toy: Any, size: int, field: str, dimension: str, options: dict) -> None:
    rewrite(toy, lambda row: row.update({f"dim.{dimension}": size}) if row["key"] == KEY else None)
    given = {"sample": {field: 9}} if "sample" in options else options
    refused(toy.root, "frames-000001", fields=[field], **given)


@pytest.mark.parametrize("size", [1 << 40, 1 << 62])
def test_dimensions_whose_product_overflows(tmp_path: Path, size: int) -> None:
    schema = Schema((Field("a", "float32", ("n", "m"), "npy"), Field("b", "float32", ("n", "m"), "blosc"),
                     Field("c", "uint8", ("n", 0), "npy")), {"n": None, "m": None})  # fmt: skip
    with ShardWriter(tmp_path / "train", "frames", "train", 0, schema, run="run") as writer:
        writer.begin("u")
        for number in range(4):
            array = np.ones((2, 3), np.float32)
            writer.add(f"u-{number:04d}", {"a": array, "b": array, "c": np.ones((2, 0), np.uint8)}, {})
        facts = writer.commit({"u": "f"}, [], {})
    index = tmp_path / "train" / "frames-000000.parquet"
    rows = read_rows(index).to_pylist()
    for row in rows:
        row.update({"dim.n": size, "dim.m": (1 << 64) // size})
    index.write_bytes(index_bytes(schema, rows, facts[0]))
    blank = Catalog("x", "x", "building", {}, {}, {}, 1, {"train": 1}, 1 << 30, {"frames": schema}, "0.1")
    blank.with_shards(scan_shards(tmp_path, blank), 0, "complete").write(tmp_path, "run")
    for name in ("a", "b", "c"):
        refused(tmp_path, "frames-000000", fields=[name])
    refused(tmp_path, "frames-000000", fields=["a"], sample={"n": 5})


@pytest.mark.parametrize("height", [0, 1 << 26, 1 << 40, 1 << 62])
@pytest.mark.parametrize("field", ["ids", "image", "distance", "normal"])
def test_pictures_of_a_size_that_only_the_schema_knows(toy: Any, height: int, field: str) -> None:
    edited(toy.root, lambda values: values["tables"]["frames"]["dimensions"].update(height=height))
    refused(toy.root, "", fields=[field])


def test_a_field_that_no_record_has_takes_no_memory(toy: Any) -> None:
    nothing = {"image.offset": None, "image.size": None, "image.crc": None}
    for index in (toy.root / "train").glob("frames-*.parquet"):
        rewrite(toy, lambda row: row.update(nothing), index)
    edited(toy.root, lambda values: values["tables"]["frames"]["dimensions"].update(height=1 << 45))
    refused(toy.root, "image", fields=["image"])


@pytest.mark.parametrize("records", [1 << 40, 1 << 48])
def test_counts_of_records_that_no_index_has(toy: Any, records: int) -> None:
    edited(toy.root, lambda values: [shard.update(records=records) for shard in values["shards"]])
    refused(toy.root, "rows, dataset.json says")


def test_sizes_of_tars_that_no_disk_has(toy: Any) -> None:
    """A field may then be said to be as large."""
    edited(toy.root, lambda values: [shard.update(bytes=1 << 47) for shard in values["shards"]])
    big = {"meta.size": 1 << 46, "meta.crc": [0] * 4}
    for size in (1 << 30, 1 << 46):
        rows = read_rows(toy.index()).to_pylist()
        for row in rows:
            row.update(big | {"meta.size": size, "meta.crc": [0] * min(size >> 18, 1 << 12), "meta.offset": 0})
        toy.index().write_bytes(index_bytes(toy.dataset.catalog.tables["frames"], rows, read_facts(toy.index())))
        refused(toy.root, "frames-00000", fields=["meta"])


# ---- strata

STRATA = Schema(
    (Field("points", "float32", ("points", 3), "npy"), Field("points_strata", "int64", (4,), "npz", optional=True,
                                                              options={"strata": ["near", "far", "else"]})),
    {"points": None},
)  # fmt: skip


def pools(root: Path, bounds: Any) -> None:
    """Six records whose pools have 30 points and these bounds; None leaves them out."""
    with ShardWriter(root / "train", "frames", "train", 0, STRATA, run="run") as writer:
        writer.begin("u")
        for number in range(6):
            values: dict[str, Any] = {"points": np.full((30, 3), number, np.float32)}
            values |= {} if bounds is None else {"points_strata": np.array(bounds, np.int64)}
            writer.add(f"u-{number:04d}", values, {})
        writer.commit({"u": "f"}, [], {})
    blank = Catalog("x", "x", "building", {}, {}, {}, 1, {"train": 1}, 1 << 30, {"frames": STRATA}, "0.1")
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "run")


TOP = (1 << 63) - 1
BOUNDS = [
    [0, 10, 20, 31], [0, 10, 5, 30], [1, 10, 20, 30], [0, 0, 0, 0], [-5, 10, 20, 30], [0, 10, 20, 1 << 40],
    [0, 1, 1 << 31, 1 << 32], [0, TOP, -2, 5], [0, 1, TOP, TOP], [0, -TOP - 1, TOP, 30], [0, 10, 20, -1], None,
]  # fmt: skip


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("request_", [5000, {"near": 3, "else": 40}, {1: 1}])
def test_strata_that_are_none(tmp_path: Path, bounds: Any, request_: Any) -> None:
    pools(tmp_path, bounds)
    if request_ == {1: 1} and bounds == BOUNDS[0]:
        pytest.skip("nobody asked for the stratum that is too long")
    refused(tmp_path, r"frames-000000\.tar, record u-000", fields=["points"], sample={"points": request_})


@pytest.mark.parametrize("change", [
    {"shape": [[]]}, {"shape": []}, {"shape": [4, 4]}, {"shape": ["points"]}, {"shape": [1 << 40]}, {"shape": [0]},
    {"shape": [1]}, {"dtype": "float64"}, {"dtype": "bool"}, {"dtype": "json", "codec": "json"},
    {"options": {"strata": 7}}, {"options": {"strata": "near"}}, {"options": {"strata": [["near"], {}]}},
    {"options": {"strata": ["near"] * 99}}, {"options": {"strata": None}},
])  # fmt: skip
def test_a_schema_whose_strata_are_none(tmp_path: Path, change: dict[str, Any]) -> None:
    pools(tmp_path, [0, 10, 20, 30])
    edited(tmp_path, lambda values: values["tables"]["frames"]["fields"][1].update(change))
    for wanted in (5, {"near": 5}, {0: 5}):
        with at_most(LONGEST), pytest.raises(TesseraError):
            list(Stream(tmp_path, fields=["points"], sample={"points": wanted}, threads=0))
