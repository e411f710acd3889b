"""Helpers for tests of labels that are added to a finished data set."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tessera.datasets import Dataset, Record, verify
from tessera.pipelines.add_label import add_label
from tessera.pipelines.run import Summary
from tessera.pipelines.settings import RunSettings

from .conftest import Toy, file_hashes


def add(toy: Toy, label: str, out: Path | None = None, **settings: Any) -> Summary:
    """`tessera add-label` in this process."""
    return add_label(out or toy.out, label, toy.raw, RunSettings(**{"workers": 0, "quiet": True, **settings}))


def content(record: Record) -> dict[str, Any]:
    """Fields bit by bit, and columns."""
    found: dict[str, Any] = {f"column {name}": value for name, value in record.columns.items()}
    for name in record:
        value = record[name]
        found[name] = (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value
    return found


def contents(out: Path, *tables: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Table to key to content, in order; records that are looked up by key are the same as those iterated over."""
    dataset = Dataset(out)
    found = {}
    for name in tables or dataset.catalog.tables:
        table = dataset.table(name)
        found[name] = {record.key: content(record) for record in table}
        assert list(found[name]) == list(table.keys())
        for key in list(found[name])[::5]:
            assert content(table[key]) == found[name][key]
    return found


def agree(ours: Path, theirs: Path, *tables: str) -> None:
    """Two data sets hold the same records in the same order, field by field and bit by bit."""
    mine, other = contents(ours, *tables), contents(theirs, *tables)
    assert {name: list(records) for name, records in mine.items()} == {n: list(records) for n, records in other.items()}
    assert mine == other
    for name in mine:
        schemas = [Dataset(out).table(name).schema for out in (ours, theirs)]
        assert {x.name for x in schemas[0].fields} == {x.name for x in schemas[1].fields}
        assert {*schemas[0].columns} == {*schemas[1].columns} and {*schemas[0].references} == {*schemas[1].references}
        assert schemas[0].dimensions == schemas[1].dimensions


def clean(out: Path) -> None:
    """Nothing is wrong, and no run left anything behind."""
    assert [(name, found) for name, found in verify(out) if found] == []
    assert not list(out.rglob("*.tmp"))


def anew(toy: Toy, label: str, **settings: Any) -> dict[str, str]:
    """Hashes of a data set built from nothing, to which the label is added then."""
    out = toy.root / "anew"
    shutil.rmtree(out, ignore_errors=True)
    toy.run(out, **settings)
    add(toy, label, out, max_reject=1.0)
    return file_hashes(out)
