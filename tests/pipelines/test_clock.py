"""The machine's clock goes back, or raw files come from the future: only what really changed is built."""

import os
import time
from pathlib import Path

import pytest
from tessera.pipelines import journal
from tessera.pipelines.journal import read_journals

from .conftest import Toy

YEAR = 365 * 86400.0
SMALL = {"shard_mb": 1}


def set_clock(monkeypatch: pytest.MonkeyPatch, offset: float) -> None:
    """Runs are named and logged as if it were `offset` seconds later; files that are written are dated so, too."""
    now, names, replace = time.time, time.strftime, os.replace

    def dated(source: Path, target: Path) -> None:
        os.utime(source, (now() + offset, now() + offset))
        replace(source, target)

    class Clock:
        @staticmethod
        def time() -> float:
            return now() + offset

        @staticmethod
        def strftime(form: str) -> str:
            return names(form, time.localtime(now() + offset))

    monkeypatch.setattr(journal, "time", Clock)
    monkeypatch.setattr(os, "replace", dated)


@pytest.fixture
def future(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Twelve units in six groups, built by a machine whose clock is ten years ahead, as the raw files' dates are."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    for path in toy.raw.iterdir():
        os.utime(path, (time.time() + 12 * YEAR,) * 2)
    with monkeypatch.context() as patch:
        set_clock(patch, 10 * YEAR)
        toy.run(**SMALL)
    assert min(path.stat().st_mtime for path in toy.out.glob("train/*")) > time.time() + 9 * YEAR
    return toy


def test_nothing_is_to_do_after_the_clock_went_back(future: Toy) -> None:
    summary = future.run(**SMALL)
    assert (summary.built_groups, summary.records, summary.complete) == (0, 48, True) and 0 <= summary.seconds < 60
    assert future.hashes() == future.fresh(**SMALL)


def test_a_change_that_is_older_than_what_was_built_is_seen(future: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Newer than` would miss it: the same size, and a date before the shard's and before the old file's."""
    path = future.raw / "u07.txt"
    path.write_text(" ".join(reversed(path.read_text().split())))
    os.utime(path, (0, 0))
    with monkeypatch.context() as patch:
        set_clock(patch, -10 * YEAR)
        summary = future.run(**SMALL)
    assert summary.built_groups == 1 and summary.built_records - summary.reused_records == 4
    assert future.run(**SMALL).built_groups == 0
    assert future.hashes() == future.fresh(**SMALL)


def test_runs_are_told_apart_and_all_counted_whatever_their_dates(future: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    future.unit("u12", "one more unit")
    with monkeypatch.context() as patch:
        set_clock(patch, -10 * YEAR)
        future.run(**SMALL)
    assert len(read_journals(future.out, "start")) == 2 and len(read_journals(future.out, "group")) == 7


def test_temporary_files_from_the_future_are_swept(future: Toy) -> None:
    dead = future.out / "train/.numbers-000000.tar.20990101T000000-abcdef01.tmp"
    dead.write_text("half")
    os.utime(dead, (time.time() + 20 * YEAR,) * 2)
    future.run(**SMALL)
    assert not list(future.out.rglob("*.tmp"))
