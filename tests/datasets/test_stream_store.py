"""Streams and mixtures on URLs give what the folder gives: files, an HTTP server, an S3 server."""

import gc
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tessera.datasets import Field, Mix, Reference, Schema, Stream
from tessera.datasets.caching.parts import CacheOptions
from torch.utils.data import DataLoader

from .proxy import Proxy, serving
from .stream_damage import at_most
from .stream_data import Rows, numbers, same_batch, write_set
from .test_cache import upload

KINDS = ("file", "http", "s3")
RECORDS, BATCH, STEPS = 24, 5, 5  # the last step has one repeat
WAITS = (0.001,) * 20  # the chance that one request fails so often, where every third does, is nil
CHUNK = 2048
UPLOADED: dict[Path, str] = {}  # to the S3 server of this process

VIEWS = Schema(
    (Field("number", "int64", (), "npz"), Field("depth", "float32", ("height", "width"), "blosc")),
    {"height": 12, "width": 16},
    references=(Reference("subject", "subjects"),),
)
SUBJECTS = Schema(
    (
        Field("points", "float32", ("points", 3), "npy"),
        Field("sdf", "float32", ("points",), "npy"),
        Field("points_strata", "int64", (3,), "npz", options={"strata": ["near", "far"]}),
    ),
    {"points": None},
)
MOTIONS = Schema((Field("pose", "float32", ("frames", 3), "npy"),), {"frames": None})
ASKED: dict[str, dict[str, Any]] = {
    "views": {
        "table": "views", "fields": ["number", "depth", "subject", "subject.points", "subject.sdf"],
        "sample": {"subject.points": {"near": 9, "far": 4}},
    },
    "motions": {"table": "motions", "window": 4, "stride": 3},
}  # fmt: skip


def scans_set(root: Path) -> Path:
    """Three shards each of 24 views, of the 6 subjects that these name, and of 6 motions."""
    rng = np.random.default_rng(7)
    views, subjects, motions = [], [], []
    for group in range(3):
        units = [f"s{2 * group}", f"s{2 * group + 1}"]
        views.append([
            (f"{unit}-{i:04d}", {"number": np.int64(8 * group + 4 * at + i), "depth": rng.random((12, 16), "f4")},
             {"subject": unit})
            for at, unit in enumerate(units) for i in range(4)
        ])  # fmt: skip
        pools = [(int(count), rng.random((int(count), 3), "f4")) for count in rng.integers(100, 400, 2)]
        subjects.append([
            (unit, {"points": points, "sdf": points[:, 0], "points_strata": np.array([0, count // 3, count])}, {})
            for unit, (count, points) in zip(units, pools, strict=True)
        ])  # fmt: skip
        motions.append([(unit, {"pose": rng.random((5 + 9 * group + i, 3), "f4")}, {}) for i, unit in enumerate(units)])
    tables = {"views": (VIEWS, views), "subjects": (SUBJECTS, subjects), "motions": (MOTIONS, motions)}
    return write_set(root, {name: Rows(schema, {"train": rows}) for name, (schema, rows) in tables.items()})


@contextmanager
def store(kind: str, root: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Proxy | None]]:
    """The URL of a folder that a store of this kind serves, and the proxy before it; there is none before files."""
    if kind == "file":
        yield f"file://{root}", None
    elif kind == "http":
        with serving(root) as proxy:
            yield proxy.url, proxy
    else:
        if root not in UPLOADED:
            url = f"{request.getfixturevalue('bucket')}/some/set"
            upload(root, url)
            UPLOADED[root] = url
        url = UPLOADED[root]
        with serving(request.getfixturevalue("s3")) as proxy:
            request.getfixturevalue("monkeypatch").setenv("AWS_ENDPOINT_URL", proxy.url)
            yield url, proxy


def quick_and_clean(monkeypatch: pytest.MonkeyPatch, seconds: float = 30, **options: Any) -> Iterator[None]:
    """Streams have caches of small chunks that are tried again at once; no thread is left, nothing hangs."""
    options = {"chunk": CHUNK, "waits": WAITS} | options
    monkeypatch.setattr("tessera.datasets.cache.CacheOptions", partial(CacheOptions, **options))
    with at_most(seconds):
        yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("tessera")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from quick_and_clean(monkeypatch)


@pytest.fixture(autouse=True, scope="module")
def settled() -> Iterator[None]:
    """What pytest and torch have in memory is not searched whenever a stream closes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scans_set(tmp_path_factory.mktemp("scans") / "set")


def asked(root: str | Path, what: str = "views", **options: Any) -> Stream:
    return Stream(root, **{"batch_size": BATCH, "seed": 3, "threads": 2, **ASKED[what], **options})


def part(root: Path) -> int:
    """Bytes of a cache that holds all indexes (which are kept in any case), and a few of the chunks."""
    return 12 * CHUNK + sum(path.stat().st_size for path in root.rglob("*") if path.suffix in (".parquet", ".json"))


def epoch_of(root: Path, what: str = "views", epoch: int = 0, **options: Any) -> list[dict[str, Any]]:
    """What the folder gives."""
    with asked(root, what, threads=0, **options) as stream:
        stream.set_epoch(epoch)
        return list(stream)


def same(found: Iterable[dict[str, Any]], expected: Iterable[dict[str, Any]]) -> None:
    """Both are the same batches, and as many."""
    for one, other in zip(found, expected, strict=True):
        same_batch(one, other)


@pytest.mark.parametrize("what, threads", [("views", 0), ("views", 3), ("motions", 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_epochs_are_those_of_the_folder_and_the_second_comes_from_the_cache(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, what: str, threads: int
) -> None:
    expected = [epoch_of(scans, what, epoch) for epoch in range(2)]
    with store(kind, scans, request) as (url, proxy):
        with asked(url, what, threads=threads, cache_dir=tmp_path / "cache") as stream:
            same(stream, expected[0])
            first, seen = stream.stats().cache, len(proxy.seen) if proxy else 0
            same(stream, expected[1])
            second = stream.stats().cache
        assert len(expected[0]) == len(stream) > 3 and not expected[0][0]["repeat"].any()
        assert first["requests"] >= 7 and 0 == first["retries"] == first["uncached"] == first["evicted"]
        changed = {name for name, count in second.items() if count != first[name]}
        assert changed == {"hits", "bytes_read"}, "every chunk was there, and nothing was asked for again"
        if proxy:
            assert len(proxy.seen) == seen == first["requests"]


@pytest.mark.parametrize("kind", KINDS)
def test_another_stream_of_the_day_fetches_only_the_catalog(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    with store(kind, scans, request) as (url, _):
        for requests in (None, 1):
            with asked(f"{url}/", cache_dir=tmp_path / "cache") as stream:
                same(stream, epoch_of(scans))
                assert requests in (None, stream.stats().cache["requests"])


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_leads_from_the_folder_to_the_store_and_back(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, what: str
) -> None:
    expected = epoch_of(scans, what, epoch=1)
    with store(kind, scans, request) as (url, _):
        first, second = asked(scans, what), asked(url, what, cache_dir=tmp_path / "cache", threads=3)
        third = asked(url, what, cache_dir=tmp_path / "cache", threads=0)
        first.set_epoch(1)
        found, state = [], first.state_dict()
        for stream in (first, second, third):
            with stream:
                stream.load_state_dict(state)
                batches = iter(stream)
                found += [next(batches) for _ in range(2 if stream is not third else len(expected) - 4)]
                state = stream.state_dict()
                batches.close()
        same(found, expected)
        assert (state["epoch"], state["position"]) == (2, 0)


def test_a_cache_smaller_than_the_data_set_is_enough(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with store("http", scans, request) as (url, _):
        with asked(url, cache_dir=tmp_path / "cache", cache_bytes=part(scans), threads=3) as stream:
            for epoch in range(2):
                same(stream, epoch_of(scans, epoch=epoch))
            counts = stream.stats().cache
        assert counts["evicted"] > 16 and counts["hits"] > 0


def test_records_by_key(scans: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    keys = ["s5-0002", "s0-0001"]
    with store("http", scans, request) as (url, _), asked(url, cache_dir=tmp_path / "cache") as stream:
        same_batch(stream.get(keys), asked(scans).get(keys))


# --------------------------------------------------------------------- mixtures


@pytest.mark.parametrize("kind, by", [*((kind, "record") for kind in KINDS), ("http", "batch")])
def test_a_mixture_of_a_folder_and_a_store_is_that_of_two_folders(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, by: str
) -> None:
    def mix(second: str | Path, **options: Any) -> Mix:
        other = asked(second, cache_dir=tmp_path / "cache", seed=8)
        return Mix([(asked(scans), 1), (other, 2)], by=by, batch_size=7, **options)

    with store(kind, scans, request) as (url, _), mix(scans, threads=0) as plain, mix(url, threads=3) as mixed:
        expected = [list(plain), list(plain)]
        same(mixed, expected[0])
        batches = iter(mixed)
        same([next(batches), next(batches)], expected[1][:2])
        state = mixed.state_dict()
        batches.close()
        with mix(url, threads=1) as resumed:
            resumed.load_state_dict(state)
            same(resumed, expected[1][2:])
            assert resumed.report() == plain.report() and resumed.stats().cache["hits"] > 0


# --------------------------------------------------------------------- other processes


def forked(work: Callable[[], None]) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


def end_well(*processes: multiprocessing.Process) -> None:
    for process in processes:
        process.join(15)
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    assert not alive and not any(process.exitcode for process in processes)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("kind, start", [("file", "fork"), ("http", "fork"), ("s3", "fork"), ("s3", "spawn")])
def test_workers_of_a_data_loader_give_every_record_once(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, start: str
) -> None:
    """Their parent has read already: connections, threads and open files are there when they start."""
    with store(kind, scans, request) as (url, _), asked(url, cache_dir=tmp_path / "cache") as stream:
        assert len(next(iter(stream))["key"]) == BATCH
        loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context=start)
        given = list(loader)
        same(given, epoch_of(scans, epoch=1))
        assert len(given) == STEPS and sorted(numbers(given)) == list(range(RECORDS))
        stream.set_epoch(2)
        same(stream, epoch_of(scans, epoch=2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_stream_goes_on_where_it_stood(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    with store(kind, scans, request) as (url, _), asked(url, cache_dir=tmp_path / "cache") as stream:
        batches = iter(stream)
        next(batches), next(batches)
        stream.load_state_dict(stream.state_dict())
        with pickle.loads(pickle.dumps(stream)) as copy:
            same(copy, epoch_of(scans)[2:])
        batches.close()


@pytest.mark.parametrize("kind, whole", [("http", False), ("s3", True)])
def test_processes_share_a_cache(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest, kind: str, whole: bool
) -> None:
    """Also where there is room for a part of the data set only, and each deletes what the other reads."""
    limit = 1 << 30 if whole else part(scans)
    with store(kind, scans, request) as (url, _):

        def read(epochs: range) -> None:
            with asked(url, cache_dir=tmp_path / "cache", cache_bytes=limit) as stream:
                for epoch in epochs:
                    stream.set_epoch(epoch)
                    same(stream, epoch_of(scans, epoch=epoch))

        end_well(*[forked(partial(read, range(first, first + 2))) for first in (0, 1)])
        with asked(url, cache_dir=tmp_path / "cache", cache_bytes=limit) as stream:
            same(stream, epoch_of(scans))


def test_a_process_that_is_forked_while_a_thread_has_the_cache_locked(
    scans: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It has the file open that is locked, and must not keep the lock: not for itself, and not from all others."""
    with store("http", scans, request) as (url, _), asked(url, cache_dir=tmp_path / "cache") as stream:
        next(iter(stream))

        def read() -> None:
            stream.set_epoch(2)
            same(stream, epoch_of(scans, epoch=2))
            stream.close()

        with stream._files._process.get().folder._room._sum():
            process = forked(read)
        end_well(process)
        same(stream, epoch_of(scans, epoch=1))
