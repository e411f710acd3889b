"""`rejects.parquet` and the messages in it."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tessera.datasets import FormatError, RawDataError
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import COLUMNS, normalise, read_rejects, write_rejects

ROWS = [
    Reject("b", "b-1", "b.txt", "read", "bad line"),
    Reject("b", "", "b.txt", "read", "truncated"),
    Reject("a", "a-1", "a.txt", "normal", "ValueError: no"),
]


def test_rejects_are_sorted_and_the_same_whatever_their_order(tmp_path: Path) -> None:
    for name, rows in (("one", ROWS), ("two", ROWS[::-1])):
        (tmp_path / name).mkdir()
        write_rejects(tmp_path / name, rows, "run")
    assert (tmp_path / "one/rejects.parquet").read_bytes() == (tmp_path / "two/rejects.parquet").read_bytes()
    assert read_rejects(tmp_path / "one") == [ROWS[2], ROWS[1], ROWS[0]]
    assert pq.read_table(tmp_path / "one/rejects.parquet").column_names == COLUMNS
    assert COLUMNS == ["unit", "key", "path", "stage", "error"]


def test_the_same_rejects_are_not_written_again(tmp_path: Path) -> None:
    write_rejects(tmp_path, ROWS, "one")
    before = (tmp_path / "rejects.parquet").stat()
    write_rejects(tmp_path, ROWS, "two")
    after = (tmp_path / "rejects.parquet").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_no_rejects_at_all(tmp_path: Path) -> None:
    assert read_rejects(tmp_path) == []
    write_rejects(tmp_path, [], "run")
    assert read_rejects(tmp_path) == []


def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    table = pa.table({name: [""] for name in COLUMNS})
    table = table.replace_schema_metadata({b"tessera": json.dumps({"format_version": 99})})
    pq.write_table(table, tmp_path / "rejects.parquet")
    with pytest.raises(FormatError, match=r"format version 99 is newer"):
        read_rejects(tmp_path)


def test_messages_hold_no_path_of_this_machine_and_no_address(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    error = ValueError(f"cannot read '{raw}/a/b.txt' into {out}/x with {object()!r}\nsecond line")
    assert normalise(error, raw, out) == "ValueError: cannot read 'a/b.txt' into x with <object object at 0x...>"
    absent = OSError(2, "No such folder", str(raw))
    assert normalise(absent, raw, out) == "FileNotFoundError: [Errno 2] No such folder: 'RAW'"
    assert normalise(RawDataError("a.txt: truncated"), raw, out) == "a.txt: truncated"
    assert normalise(KeyError(), raw, out) == "KeyError: no message"
