"""Streams on stores that fail, die, damage or hang, and on full disks: whole epochs or an error that says why, soon."""

import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from tessera.datasets import FormatError, Mix, Stream, TesseraError
from tessera.datasets.caching.parts import CacheOptions
from tessera.datasets.errors import StoreError
from tessera.datasets.index import read_rows

from .stream_damage import at_most, flip
from .stream_data import numbers, numbers_set
from .test_cache_disk import _namespace
from .test_stream_store import BATCH, RECORDS, STEPS, asked, epoch_of, quick_and_clean, same, scans_set, store
from .test_stream_store import settled as settled  # a fixture

SOON = 12.0  # seconds; a request that hangs takes 30 or more


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("tessera.datasets.loading.pump.PATIENCE", 0.2, raising=False)
    yield from quick_and_clean(monkeypatch)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scans_set(tmp_path_factory.mktemp("scans") / "set")


# --------------------------------------------------------------------- failing now and then, and for good


@pytest.mark.parametrize(
    "kind, fault", [("http", "503"), ("http", "drop"), ("http", "short"), ("s3", "503"), ("s3", "short")]
)
def test_a_store_that_fails_every_third_request_gives_whole_epochs(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, fault: str
) -> None:
    with store(kind, scans, request) as (url, proxy):
        proxy.verdict = lambda number, path: fault if number % 3 == 0 else ""
        with asked(url, cache_dir=tmp_path / "cache", on_error="skip") as stream:
            same(stream, epoch_of(scans))
            stats = stream.stats()
        assert stats.skipped == 0 and stats.steps == STEPS
        assert stats.cache["retries"] > 3 or fault == "drop"  # aiohttp itself asks again where a connection is gone


@pytest.mark.parametrize(
    "kind, fault, policy",
    [("http", "drop", "raise"), ("http", "drop", "skip"), ("http", "403", "skip"), ("s3", "503", "skip")],
)
def test_a_store_that_dies_is_told_and_a_saved_state_goes_on(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, fault: str, policy: str
) -> None:
    """A store that is down is no damaged record: skipping would end in an epoch of a few records, silently."""
    options: dict[str, Any] = {"batch_size": 2, "on_error": policy, "prefetch": 1, "threads": 1}
    expected, found = epoch_of(scans, batch_size=2), []
    with store(kind, scans, request) as (url, proxy):
        with asked(url, cache_dir=tmp_path / "cache", **options) as stream:
            with pytest.raises(StoreError, match=rf"{url}/train/(views|subjects)-00000\d\.(tar|parquet): .*attempt"):
                for batch in stream:
                    found.append(batch)
                    state = stream.state_dict()
                    proxy.verdict = lambda number, path: fault
            assert 0 < len(found) < len(expected) and stream.stats().skipped == 0
        proxy.verdict = lambda number, path: ""
        with asked(url, cache_dir=tmp_path / "cache", **options) as stream:
            stream.load_state_dict(state)
            found += list(stream)
    same(found, expected)
    assert sorted(numbers(found)) == list(range(RECORDS))


@pytest.mark.parametrize("path", [".tar", ".parquet"])
def test_a_store_that_is_down_is_not_asked_for_each_record_of_a_batch(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """With the usual waits, or where requests hang, a batch would take minutes or hours to say so."""
    monkeypatch.setattr("tessera.datasets.cache.CacheOptions", partial(CacheOptions, threads=0, waits=(0.001,)))
    with store("http", scans, request) as (url, proxy):
        with asked(url, cache_dir=tmp_path / "cache", batch_size=RECORDS, threads=1) as stream:
            proxy.verdict = lambda number, asked_for: "503" if asked_for.endswith(path) else ""
            with pytest.raises(StoreError, match="cannot be read after 2 attempts"):
                next(iter(stream))
        assert sum(asked_for.endswith(path) for asked_for, _ in proxy.seen) < RECORDS


def test_a_store_that_answers_no_more_is_told(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that the user's configuration gives it, for each attempt."""
    import aiohttp

    patient = aiohttp.ClientTimeout(total=None, sock_connect=1, sock_read=0.3)
    monkeypatch.setitem(fsspec.config.conf, "http", {"client_kwargs": {"timeout": patient}})
    monkeypatch.setattr("tessera.datasets.cache.CacheOptions", partial(CacheOptions, waits=(0.01,)))
    with hanging("http", scans, request, ".tar") as (url, _, hung):
        with (
            asked(url, fields=["number"], sample=None, batch_size=1, threads=1, cache_dir=tmp_path / "cache") as stream,
            pytest.raises(StoreError, match=rf"{url}/train/.*\.tar: cannot be read after 2 attempts"),
        ):
            list(stream)
        assert hung.is_set()


# --------------------------------------------------------------------- full disks


DISK = """
import subprocess, sys, warnings
from functools import partial
from pathlib import Path
from tessera.datasets import Stream, cache
from tests.datasets.stream_data import same_batch
from tests.datasets.stream_many import many_shards
cache.CacheOptions = partial(cache.CacheOptions, chunk=65536)
root, disk = many_shards(Path(sys.argv[1]), 12, 4), Path(sys.argv[2])
expected = list(Stream(root, batch_size=5, threads=0))
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)], check=True)
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    with Stream(f"file://{root}", batch_size=5, cache_dir=disk, threads=2) as stream:
        for one, other in zip(stream, expected, strict=True):
            same_batch(one, other)
assert stream.stats().cache["uncached"] > 9, stream.stats()
assert len(said) == 1 and str(disk) in str(said[0].message) and "No space left" in str(said[0].message), said
assert not list((disk / ".partial").iterdir())
"""


def test_an_epoch_is_whole_where_the_cache_s_disk_is_full(tmp_path: Path) -> None:
    """Chunks of the first shards fill it; the indexes of the others must be kept all the same."""
    if why := _namespace():
        pytest.skip(why)
    (tmp_path / "disk").mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", DISK]
    folder = Path(__file__).resolve().parents[2]
    paths = [str(tmp_path / "store"), str(tmp_path / "disk")]
    done = subprocess.run([*command, *paths], capture_output=True, text=True, cwd=folder, timeout=60)
    assert done.returncode == 0, done.stderr


def test_an_epoch_is_whole_where_no_chunk_can_be_kept(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.replace

    def refuse(old: str, new: str) -> None:
        if not new.endswith((".parquet", ".json")):
            raise OSError(28, "No space left on device")
        real(old, new)

    with store("file", scans, request) as (url, _), asked(url, cache_dir=tmp_path / "cache") as stream:
        monkeypatch.setattr(os, "replace", refuse)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            same(stream, epoch_of(scans))
        assert stream.stats().cache["hits"] == 0 < stream.stats().cache["uncached"] and len(said) == 1


# --------------------------------------------------------------------- damage


def spoil(root: Path, table: str, group: int, key: str, field: str) -> str:
    """Flip a bit of a field in the tar; what its error says."""
    tar = root / "train" / f"{table}-{group:06d}.tar"
    row = next(row for row in read_rows(tar.with_suffix(".parquet")).to_pylist() if row["key"] == key)
    flip(tar, row[f"{field}.offset"] + row[f"{field}.size"] // 2)
    return rf"train/{tar.stem}\.tar, record {key}, field {field}: checksum differs"


DEPTH, NUMBER, SDF = ("views", 1, "s2-0002", "depth"), ("views", 2, "s5-0003", "number"), ("subjects", 0, "s1", "sdf")


@pytest.mark.parametrize("kind, what", [("file", DEPTH), ("file", NUMBER), ("file", SDF), ("http", SDF), ("s3", DEPTH)])
def test_a_damaged_object(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, what: tuple[str, int, str, str]
) -> None:
    bad = {what[2]} if what[0] == "views" else {f"{what[2]}-{i:04d}" for i in range(4)}
    healthy = epoch_of(scans)
    shutil.copytree(scans, tmp_path / "set")
    match = spoil(tmp_path / "set", *what)
    due = next(step for step, batch in enumerate(healthy) if bad & set(batch["key"]))
    with store(kind, tmp_path / "set", request) as (url, _):
        found = []
        with asked(url, cache_dir=tmp_path / "cache") as stream:
            with pytest.raises(FormatError, match=match) as caught:
                found.extend(batch for batch in stream)
            assert not isinstance(caught.value, StoreError)
            same(found, healthy[:due])
        with asked(url, cache_dir=tmp_path / "cache", on_error="skip") as stream:
            batches, stats = list(stream), stream.stats()
    assert len(batches) == STEPS and stats.skipped >= len(bad) == len(stats.skipped_errors)
    assert all(text.startswith(f"train/{what[0]}") for text in stats.skipped_errors)
    for batch, other in zip(batches, healthy, strict=True):
        flags = [key in bad or bool(repeat) for key, repeat in zip(other["key"], other["repeat"], strict=True)]
        assert batch["repeat"].tolist() == flags and not bad & set(batch["key"]) and len(batch["key"]) == BATCH
    assert sorted({*numbers(batches)}) == sorted(numbers(batches)) and len(numbers(batches)) == RECORDS - len(bad)


def test_damage_in_the_cache_is_fetched_again(scans: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with store("http", scans, request) as (url, proxy):
        for damaged in (False, True):
            for path in (tmp_path / "cache").rglob("*-*") if damaged else ():
                flip(path, path.stat().st_size // 2)
            before = len(proxy.seen)
            with asked(url, cache_dir=tmp_path / "cache") as stream:
                same(stream, epoch_of(scans))
        assert len(proxy.seen) - before > 1, "not only the catalog"


# --------------------------------------------------------------------- requests that hang


@contextmanager
def hanging(
    kind: str, root: Path, request: pytest.FixtureRequest, path: str
) -> Iterator[tuple[str, Callable[[], None], threading.Event]]:
    """A store that never answers requests for paths that end so: its URL, what heals it, and whether it was asked."""
    hung, over = threading.Event(), threading.Event()

    def verdict(number: int, asked_for: str) -> str:
        if not asked_for.partition("?")[0].endswith(path) or over.is_set():
            return ""
        hung.set()
        over.wait(60)
        return "drop"

    with store(kind, root, request) as (url, proxy):
        assert proxy is not None
        proxy.verdict = verdict
        try:
            yield url, over.set, hung
        finally:
            over.set()


TAR, INDEX = "things-000001.tar", "things-000001.parquet"
EACH, PREFETCH = 8, 1  # records of a shard; of the second one, the tar is read for batch 4, the index by batch 3


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers_set(tmp_path_factory.mktemp("counted") / "set", 3 * EACH)


def in_order(root: str | Path, cache: Path) -> Stream:
    options: dict[str, Any] = {"order": "sequential", "batch_size": 2, "threads": 1, "prefetch": PREFETCH}
    return Stream(root, fields=["number"], cache_dir=cache, **options)


def loader_of(url: str, local: Path, tmp_path: Path, mixed: bool) -> Stream | Mix:
    stream = in_order(url, tmp_path / "cache")
    if not mixed:
        return stream
    return Mix([(stream, 1), (in_order(local, tmp_path), 1)], batch_size=2, threads=1, prefetch=PREFETCH)


def until_it_hangs(loader: Stream | Mix, path: str, hung: threading.Event) -> Any:
    """What is left of an epoch, when all batches have come that come, and a request hangs."""
    batches = iter(loader)
    for _ in range((EACH if isinstance(loader, Mix) else EACH // 2) - PREFETCH * (path == INDEX)):
        next(batches)
    assert hung.wait(10)
    return batches


def usable_again(loader: Stream | Mix) -> None:
    assert sorted({*numbers(loader)}) == list(range(3 * EACH))
    loader.close()


@contextmanager
def caught(
    kind: str, counted: Path, request: pytest.FixtureRequest, path: str, tmp_path: Path, mixed: bool
) -> Iterator[tuple[Stream | Mix, Any]]:
    """A loader whose thread waits for a request that hangs, and its iterator; afterwards it must be usable again."""
    with hanging(kind, counted, request, path) as (url, heal, hung):
        loader = loader_of(url, counted, tmp_path, mixed)
        try:
            yield loader, until_it_hangs(loader, path, hung)
        finally:
            heal()
        usable_again(loader)


HANGING = [("http", TAR, False), ("http", INDEX, False), ("s3", TAR, False), ("http", TAR, True)]


@pytest.mark.parametrize("kind, path, mixed", HANGING)
def test_closing_ends_requests_that_hang(
    counted: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, path: str, mixed: bool
) -> None:
    with caught(kind, counted, request, path, tmp_path, mixed) as (loader, batches):
        with at_most(SOON):
            loader.close()
        with pytest.raises(TesseraError, match="closed while it was read"):
            next(batches)


@pytest.mark.parametrize("kind, path, mixed", HANGING)
def test_leaving_the_loop_ends_requests_that_hang(
    counted: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, path: str, mixed: bool
) -> None:
    with caught(kind, counted, request, path, tmp_path, mixed) as (_, batches), at_most(SOON):
        batches.close()  # what `break` does


@pytest.mark.parametrize("mixed", [False, True])
def test_closing_wakes_a_thread_that_waits_for_a_batch(
    counted: Path, tmp_path: Path, request: pytest.FixtureRequest, mixed: bool
) -> None:
    with hanging("http", counted, request, TAR) as (url, heal, hung):
        loader, caught = loader_of(url, counted, tmp_path, mixed), []

        def read() -> None:
            try:
                list(loader)
            except TesseraError as error:
                caught.append(str(error))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            assert hung.wait(10)
            with at_most(SOON):
                loader.close()
                reader.join()
        finally:
            heal()
        assert len(caught) == 1 and "closed while it was read" in caught[0]
        usable_again(loader)


PROGRAM = """
import sys
from tests.datasets.test_stream_store_faults import Path, loader_of
loader = loader_of(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4] == "True")
batches = iter(loader)
for _ in range(int(sys.argv[5])):
    next(batches)
sys.stdin.read()
"""


@pytest.mark.parametrize("path, mixed", [(INDEX, False), (TAR, True)])
def test_the_interpreter_ends_while_requests_hang(
    counted: Path, tmp_path: Path, request: pytest.FixtureRequest, path: str, mixed: bool
) -> None:
    with hanging("http", counted, request, path) as (url, _, hung):
        steps = (EACH if mixed else EACH // 2) - PREFETCH * (path == INDEX)
        command = [sys.executable, "-c", PROGRAM, url, str(counted), str(tmp_path), str(mixed), str(steps)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).resolve().parents[2]
        ) as process:
            try:
                assert hung.wait(25)
                _, said = process.communicate("", timeout=SOON)
            finally:
                process.kill()
        assert (process.returncode, said) == (0, "")
