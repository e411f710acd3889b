"""How the tests damage a data set under a stream, and what a stream must do then."""

import json
import logging
import os
import re
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tessera.datasets import FormatError, Stream, TesseraError
from tessera.datasets.index import arrow_schema, index_bytes, read_facts, read_rows
from tessera.datasets.members import checksums

FIELDS = ("image", "ids", "distance", "normal", "hdr", "points", "sdf", "pose", "scale", "bits", "meta")
LONGEST = 20  # seconds; a stream that takes longer hangs


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Interrupt what is done inside when it hangs."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no end after {seconds} s: it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def rewrite(toy: Any, change: Callable[[dict[str, Any]], Any], index: Path | None = None) -> None:
    """Rows of an index of frames after `change`, and `dataset.json` with its new hash."""
    path = index or toy.index()
    rows = read_rows(path).to_pylist()
    for row in rows:
        change(row)
    path.write_bytes(index_bytes(toy.dataset.catalog.tables["frames"], rows, read_facts(path)))
    toy.catalog()


def place(toy: Any, key: str, field: str) -> tuple[int, int]:
    """Offset and size of a field of one record of group 1."""
    row = next(row for row in read_rows(toy.index()).to_pylist() if row["key"] == key)
    return row[f"{field}.offset"], row[f"{field}.size"]


def replace(toy: Any, key: str, field: str, data: bytes) -> None:
    """Other bytes in the place of a field (not more than it has), with the right checksums."""
    offset, size = place(toy, key, field)
    assert len(data) <= size, "choose a smaller one"
    with toy.tar().open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)
    new = {f"{field}.size": len(data), f"{field}.crc": list(checksums(data, fine=True))}
    rewrite(toy, lambda row: row.update(new) if row["key"] == key else None)


def flip(path: Path, at: int, bit: int = 0) -> None:
    """One bit of a file."""
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ (1 << bit)]))


def put_in_place(path: Path, what: str) -> None:
    """Something else where a file was."""
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to(path.name)


def copied(toy: Any, to: Path) -> Any:
    """A copy of a data set."""
    shutil.copytree(toy.root, to)
    return type(toy)(to, toy.values, toy.scalars)


def frames(root: Path, **options: Any) -> Stream:
    """A stream of the frames of the training split, 12 records, by default all fields in batches of 3."""
    given = {"table": "frames", "split": "train", "fields": FIELDS, "batch_size": 3, "seed": 5, "threads": 2} | options
    return Stream(root, **given)


def sequence(root: Path, **options: Any) -> list[list[str]]:
    """Keys of each batch of an epoch."""
    with frames(root, fields=["scale"], **options) as stream:
        return [batch["key"] for batch in stream]


def raises_where_due(root: Path, healthy: list[list[str]], bad: set[str], match: str, **options: Any) -> None:
    """The batches before the bad record come as ever, then the error; twice, for the stream can be used again."""
    due = next(step for step, keys in enumerate(healthy) if bad & set(keys))
    with at_most(LONGEST), frames(root, **options) as stream:
        for _ in range(2):
            stream.set_epoch(1)
            stream.set_epoch(0)
            given = []
            with pytest.raises(FormatError, match=match):
                for batch in stream:
                    given.append(batch["key"])
            assert given == healthy[:due]
            stream.close()


def skips(
    root: Path, healthy: list[list[str]], bad: set[str], match: str, caplog: pytest.LogCaptureFixture, **options: Any
) -> None:
    """Every step of the epoch comes; bad records are replaced in their slots; each is named once."""
    caplog.clear()
    with at_most(LONGEST), caplog.at_level(logging.WARNING), frames(root, on_error="skip", **options) as stream:
        for _ in range(2):
            stream.set_epoch(1)
            stream.set_epoch(0)
            batches = list(stream)
            assert len(batches) == len(healthy) == len(stream)
            for batch, keys in zip(batches, healthy, strict=True):
                gone = torch.tensor([key in bad for key in keys])
                assert torch.equal(batch["repeat"], gone)
                assert [new == old for new, old in zip(batch["key"], keys, strict=True)] == (~gone).tolist()
                assert not bad & set(batch["key"])
        stats = stream.stats()
        assert stats.skipped >= 2 * len(bad) and len(stats.skipped_errors) == len(bad)
        assert all(re.search(match, text) for text in stats.skipped_errors)
    warned = [record for record in caplog.records if record.name == "tessera.stream"]
    assert len(warned) == len(bad), "one warning a record"


def columns_of(toy: Any) -> list[str]:
    """Columns of the index of frames."""
    return arrow_schema(toy.dataset.catalog.tables["frames"]).names


MUCH = 64 << 20  # bytes; the data sets that `refused` is for have 30 KB


def refused(root: Path, match: str = "", **options: Any) -> None:
    """Both policies end with an error or with skipped records, soon, and take no memory to speak of."""
    for policy in ("raise", "skip"):
        tracemalloc.start()
        try:
            with at_most(LONGEST):
                try:
                    with frames(root, on_error=policy, threads=0, **options) as stream:
                        for _ in stream:  # `list` takes memory by the stream's length
                            pass
                    assert policy == "skip" and stream.stats().skipped
                except TesseraError as error:
                    assert re.search(match, str(error)), error
            assert tracemalloc.get_traced_memory()[1] < MUCH
        finally:
            tracemalloc.stop()


def edited(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """`dataset.json` after `change`."""
    path = root / "dataset.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
