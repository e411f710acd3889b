"""Small data sets for tests of streams, and what a whole epoch of a stream gave."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tessera.datasets import Catalog, Field, Schema, ShardWriter
from tessera.datasets.catalog import scan_shards

NUMBERS = Schema((Field("number", "int64", (), "npz"),))


@dataclass
class Rows:
    """Records of one table: split to group to (key, fields, scalars); the unit is what precedes the key's last dash."""

    schema: Schema
    groups: dict[str, list[list[tuple[str, dict[str, Any], dict[str, Any]]]]] = field(default_factory=dict)
    limit: int = 512 << 20


def write_set(root: Path, tables: Mapping[str, Rows], name: str = "small", state: str = "complete") -> Path:
    """A data set of these tables; all have the same splits."""
    groups = {split: len(each) for rows in tables.values() for split, each in rows.groups.items()}
    for table, rows in tables.items():
        for split, each in rows.groups.items():
            for number, records in enumerate(each):
                _write_group(root / split, table, split, number, rows, records)
    blank = Catalog(
        name=name, recipe="none", state="building", labels={}, options={}, selection={}, seed=0, groups=groups,
        shard_bytes=1 << 20, tables={table: rows.schema for table, rows in tables.items()}, code_version="0",
    )  # fmt: skip
    blank.with_shards(scan_shards(root, blank), 0, state).write(root, "run")
    return root


def _write_group(folder: Path, table: str, split: str, number: int, rows: Rows, records: list[Any]) -> None:
    units: dict[str, None] = {}
    with ShardWriter(folder, table, split, number, rows.schema, run="run", limit=rows.limit) as writer:
        for key, values, scalars in records:
            unit = key.rpartition("-")[0] or key
            if unit not in units:
                units[unit] = None
                writer.begin(unit)
            writer.add(key, values, scalars)
        writer.commit(dict.fromkeys(units, "f"), [], {"labels": {}})


def numbers_set(root: Path, count: int, groups: int = 3, name: str = "small") -> Path:
    """A data set of `count` records that hold their own number, in a few shards."""
    parts = np.array_split(np.arange(count), groups)
    listed: list[list[tuple[str, dict[str, Any], dict[str, Any]]]] = [
        [(f"g{group}-{i:04d}", {"number": np.int64(i)}, {}) for i in part.tolist()] for group, part in enumerate(parts)
    ]
    return write_set(root, {"things": Rows(NUMBERS, {"train": listed})}, name)


def numbers(batches: Iterable[dict[str, Any]], *, repeats: bool = False) -> list[int]:
    """The field `number` of all records in batches; of those only that are no repeats."""
    return [
        value
        for batch in batches
        for value, repeat in zip(batch["number"].tolist(), batch["repeat"].tolist(), strict=True)
        if repeats or not repeat
    ]


def by_key(batches: Iterable[dict[str, Any]], *names: str) -> dict[str, tuple[Any, ...]]:
    """Rows of fields that all records have in one shape, by key; repeats must give the same as their originals."""
    found: dict[str, tuple[Any, ...]] = {}
    for batch in batches:
        for row, key in enumerate(batch["key"]):
            values = tuple(batch[name][row].numpy().copy() for name in names)
            if key in found:
                for old, new in zip(found[key], values, strict=True):
                    np.testing.assert_array_equal(old, new)
            found[key] = values
    return found


def same_batch(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Assert that two batches are equal: names, dtypes, shapes, bits."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, torch.Tensor):
            assert (value.dtype, value.shape) == (other[name].dtype, other[name].shape), name
            np.testing.assert_array_equal(value.numpy(), other[name].numpy(), err_msg=name)
        else:
            assert value == other[name], name


def angles(numbers):
    """A unit vector that tells the number, apart by more than octahedral codes are."""
    turn = numbers / 256 * 2 * np.pi
    return np.stack([np.cos(turn), np.sin(turn), 0 * turn], -1).astype(np.float32)
