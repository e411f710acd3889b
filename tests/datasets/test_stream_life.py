"""How streams begin and end: no thread, file or memory is left, and a batch that was kept never changes."""

import gc
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tessera.datasets import Stream
from tessera.datasets.errors import UsageError

from .stream_damage import LONGEST, at_most
from .stream_many import files, many_shards, threads


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many_shards(tmp_path_factory.mktemp("small"), 3, 8)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    gc.collect()
    before = threading.active_count(), len(files())
    with at_most(LONGEST):
        yield
    gc.collect()
    assert (threading.active_count(), len(files())) == before


class OnPurpose(Exception):
    """Raised by these tests."""


@pytest.mark.parametrize("count", [0, 1, 3])
def test_leaving_the_loop_stops_the_threads(small: Path, count: int) -> None:
    stream = Stream(small, batch_size=2, threads=count)
    for _ in stream:
        assert len(threads()) == count
        break
    assert not threads()
    for error in (OnPurpose, KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            for _ in stream:
                raise error
        assert not threads()
    batches = iter(stream)
    next(batches)
    del batches
    assert not threads()
    iter(stream)  # never begun
    assert not threads() and len(list(stream)) == 12
    assert files(small)
    stream.close()
    assert not files(small)


@pytest.mark.parametrize("count", [0, 2])
def test_an_exception_in_a_transform_is_the_users(small: Path, count: int) -> None:
    def fails(record: dict[str, Any]) -> dict[str, Any]:
        if record["label"] == 1:
            raise OnPurpose("planted")
        return record

    for policy in ("raise", "skip"):  # a mistake in a program is no damaged record
        with Stream(small, batch_size=2, threads=count, transforms=[fails], on_error=policy) as stream:
            with pytest.raises(OnPurpose, match="planted") as caught:
                list(stream)
            assert "of record 'u1-" in caught.value.__notes__[0] and not threads()
    with Stream(small, batch_size=2, threads=count, batch_transforms=[lambda batch: 1 / 0]) as stream:
        with pytest.raises(ZeroDivisionError):
            list(stream)
        assert not threads()


def test_a_stream_closed_while_it_is_read_says_so(small: Path) -> None:
    for count in (0, 2):
        stream = Stream(small, batch_size=2, threads=count)
        with pytest.raises(UsageError, match="closed while it was read"):
            for _ in stream:
                stream.close()
        assert not threads() and not files(small) and len(list(stream)) == 12, "and it can be used again"
        stream.close()
        stream.close()


def test_closing_from_another_thread_wakes_who_waits(small: Path) -> None:
    held, closed = threading.Event(), threading.Event()

    def slow(record: dict[str, Any]) -> dict[str, Any]:
        held.set()
        closed.wait(0.5)  # 24 records: twelve seconds to close the stream in
        return record

    stream, caught = Stream(small, batch_size=2, threads=1, transforms=[slow]), []

    def read() -> None:
        try:
            list(stream)
        except UsageError as error:
            caught.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert held.wait(30)
    stream.close()
    closed.set()
    reader.join(30)
    assert not reader.is_alive() and len(caught) == 1


def test_closing_as_soon_as_a_thread_begins(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thread may be at work before the one that started it goes on."""
    start, stream = threading.Thread.start, Stream(small, batch_size=2, threads=2)

    def closes(thread: threading.Thread) -> None:
        start(thread)
        if thread.name == "tessera-stream-0":
            closer = threading.Thread(target=stream.close)
            start(closer)
            closer.join(0.1)  # it may wait for the rest of the threads to begin, and not pass by them

    monkeypatch.setattr(threading.Thread, "start", closes)
    with pytest.raises(UsageError, match="closed while it was read"):
        for _ in stream:
            time.sleep(0.2)
    stream.close()
    assert not threads() and not files(small)


def test_two_iterators_at_once_do_not_mix(small: Path) -> None:
    with Stream(small, batch_size=2, threads=2) as stream:
        one, other = iter(stream), iter(stream)
        both = [(next(one)["key"], next(other)["key"]) for _ in range(12)]
        assert sorted(key for keys, _ in both for key in keys) == sorted(key for _, keys in both for key in keys)
        assert [keys for keys, _ in both] == [keys for _, keys in both], "both began where the stream stood: epoch 0"
        assert next(one, None) is None and next(other, None) is None


def test_iterating_in_two_threads(small: Path) -> None:
    with Stream(small, batch_size=2, threads=2) as stream:
        found: list[list[str]] = [[], []]

        def read(into: list[str]) -> None:
            for batch in stream:
                assert (batch["values"][:, 0, 0].numpy() == [8 * int(k[1]) + int(k[-1]) for k in batch["key"]]).all()
                into += batch["key"]

        readers = [threading.Thread(target=read, args=(into,)) for into in found]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert [len(set(keys)) for keys in found] == [24, 24]


def test_garbage_without_close(small: Path) -> None:
    for _ in range(3):
        stream = Stream(small, batch_size=2, threads=2)
        batches = iter(stream)
        next(batches)
        loop: list[Any] = [stream, batches]
        loop.append(loop)
        del stream, batches, loop
        gc.collect()
        gc.collect()  # what the finalisers let go
        assert not threads() and not files(small)


def test_an_iterator_collected_by_its_own_thread_does_not_wait_for_itself(small: Path) -> None:
    """Garbage is collected by whichever thread asks for memory; it may be one of those that are to end."""
    cell: list[Any] = []

    def collects(record: dict[str, Any]) -> dict[str, Any]:
        if cell:
            cell.pop().close()
        return record

    stream = Stream(small, batch_size=2, threads=3, prefetch=1, transforms=[collects])
    batches = iter(stream)
    next(batches)
    pump = next(iter(stream._pumps))
    cell.append(pump)
    with pytest.raises(UsageError, match="closed while"):
        list(batches)
    stream.close()


PROGRAM = """
import sys, time
from tessera.datasets import Stream
def slow(record):
    time.sleep(0.02)
    return record
stream = Stream(sys.argv[1], batch_size=2, threads=3, transforms=[slow])
batches = iter(stream)
batch = next(batches)
if sys.argv[2] == "raise":
    raise SystemExit(3)
print("end")
"""


@pytest.mark.parametrize("how, status", [("end", 0), ("raise", 3)])
def test_the_interpreter_ends_quietly_while_threads_run(small: Path, how: str, status: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(small), how]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_data_set_that_goes_while_it_is_read_is_an_error(small: Path, tmp_path: Path) -> None:
    shutil.copytree(small, tmp_path / "set")
    with Stream(tmp_path / "set", batch_size=1, threads=1, prefetch=1, order="sequential") as stream:
        batches = iter(stream)
        next(batches)
        shutil.rmtree(tmp_path / "set")
        with pytest.raises(Exception, match=r"a-00000\d\.(tar|parquet).*No such file"):
            list(batches)
