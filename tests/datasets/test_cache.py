"""Remote data sets read through a cache folder: the same bytes as the local ones, in no more space than allowed."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tessera.datasets import Catalog, FormatError
from tessera.datasets.cache import open_remote
from tessera.datasets.caching.files import CachedFiles
from tessera.datasets.caching.parts import CacheOptions
from tessera.datasets.entries import ShardEntry
from tessera.datasets.errors import UsageError

from .cache_data import disk_bytes, fill, random_read
from .cache_reader import read_all
from .proxy import serving


@pytest.fixture
def big(tmp_path):
    """(folder of one tar of random bytes, its entry, the bytes)."""
    return fill(tmp_path / "store", 300_000)


def upload(root: Path, url: str) -> None:
    files, to = fsspec.core.url_to_fs(url, skip_instance_cache=True)
    for path in (path for path in root.rglob("*") if path.is_file()):
        files.pipe_file(f"{to}/{path.relative_to(root).as_posix()}", path.read_bytes())


def check_same(root: Path, url: str, cache: Path) -> None:
    """Catalog, indexes and every byte of every tar."""
    catalog, files = open_remote(url, cache, chunk=4096)
    try:
        assert catalog == Catalog.read(root) and len(catalog.shards) > 3
        for shard in catalog.shards:
            assert files.index(shard).read_bytes() == (root / shard.index).read_bytes()
            assert files.index(shard).name == Path(shard.index).name
            out = bytearray(shard.bytes)
            for _ in range(2):
                files.read(shard, 0, memoryview(out))
                assert out == (root / str(shard.tar)).read_bytes()
        counts = files.counters()
        assert counts["bytes_read"] == 2 * sum(shard.bytes for shard in catalog.shards)
        assert counts["hits"] == counts["misses"] > 0 == counts["retries"] == counts["evicted"]
    finally:
        files.close()


def test_s3_gives_the_bytes_of_the_folder(built, bucket, tmp_path):
    upload(built.root, f"{bucket}/some/set")
    check_same(built.root, f"{bucket}/some/set/", tmp_path / "cache")


def test_http_gives_the_bytes_of_the_folder(built, tmp_path):
    with serving(built.root) as server:
        check_same(built.root, server.url, tmp_path / "cache")


def test_memory_gives_the_bytes_of_the_folder(built, tmp_path):
    upload(built.root, "memory://cache-test/set")
    check_same(built.root, "memory://cache-test/set", tmp_path / "cache")


def test_a_second_process_of_the_day_fetches_only_the_catalog(built, tmp_path):
    with serving(built.root) as server:
        check_same(built.root, server.url, tmp_path / "cache")
        before = len(server.seen)
        catalog, files = open_remote(server.url, tmp_path / "cache", chunk=4096)
        shard = catalog.shards[0]
        files.index(shard)
        files.read(shard, 5, memoryview(bytearray(9000)))
        files.close()
        assert [path for path, _ in server.seen[before:]] == ["/dataset.json"]


@pytest.mark.parametrize(
    "offset, size", [(0, 1), (4095, 2), (4096, 4096), (1, 299_999), (299_999, 1), (7, 0), (300_000, 0)]
)
def test_any_span(big, tmp_path, offset, size):
    root, shard, data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(chunk=4096))
    for _ in range(2):
        out = bytearray(size)
        files.read(shard, offset, memoryview(out))
        assert out == data[offset : offset + size]
    files.close()


def test_adjacent_chunks_are_one_request_of_bounded_size(big, tmp_path, monkeypatch):
    root, shard, _data = big
    monkeypatch.setattr("tessera.datasets.caching.fetch.MOST_REQUEST", 40_960)
    with serving(root) as server:
        files = CachedFiles(server.url, tmp_path / "cache", CacheOptions(chunk=4096))
        files.read(shard, 5000, memoryview(bytearray(10)))  # chunk 1
        files.read(shard, 0, memoryview(bytearray(100_000)))  # chunks 0 and 2 to 24
        files.close()
        assert [span for _, span in server.seen] == [
            "bytes=4096-8191", "bytes=0-4095", "bytes=8192-49151", "bytes=49152-90111", "bytes=90112-102399"
        ]  # fmt: skip


@pytest.mark.parametrize("limit", [0, 5000, 8192, 40_000, 120_000, 10**9])
def test_space_stays_bounded_and_bytes_right(big, tmp_path, limit):
    root, shard, data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(limit, 4096, threads=0))
    rng = np.random.default_rng(limit)
    for _ in range(120):
        random_read(files, shard, data, rng)
        assert disk_bytes(tmp_path / "cache") <= limit
    assert bool(files.counters()["evicted"]) == (4096 <= limit < 300_000)
    assert bool(files.counters()["uncached"]) == (limit < 4096)
    assert disk_bytes(tmp_path / "cache") > 0.5 * min(limit, 250_000) - 4096
    files.close()


def test_what_was_used_last_stays(big, tmp_path):
    root, shard, _ = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(40 * 4096, 4096, threads=0))
    out = memoryview(bytearray(10))
    for number in range(60):
        files.read(shard, 4096 * number, out)
        if number >= 5:
            files.read(shard, 4096 * 5, out)  # used between all others
            os.utime(next((tmp_path / "cache").rglob("20480-4096")))  # what a later use would do
    before = files.counters()
    files.read(shard, 4096 * 5, out)
    files.read(shard, 4096 * 59, out)
    files.read(shard, 4096 * 6, out)
    after = files.counters()
    assert before["evicted"] and (after["hits"] - before["hits"], after["misses"] - before["misses"]) == (2, 1)
    files.close()


def test_a_use_stamps_a_chunk(big, tmp_path, monkeypatch):
    root, shard, _ = big
    monkeypatch.setattr("tessera.datasets.caching.folder.STAMP", 0.0)
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(chunk=4096))
    files.read(shard, 0, memoryview(bytearray(10)))
    path = next((tmp_path / "cache").rglob("0-4096"))
    os.utime(path, (1, 1))
    files.read(shard, 0, memoryview(bytearray(10)))
    assert path.stat().st_mtime > 1e9
    files.close()


def test_other_files_in_the_folder_are_left_alone(big, tmp_path):
    root, shard, data = big
    mine = [tmp_path / "cache" / name for name in ("thesis.txt", "ab/0-5", "0-5", f"cd/{'e' * 64}/notes.txt")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(5000))
        os.utime(path, (1, 1))
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(20_000, 4096))
    rng = np.random.default_rng(1)
    for _ in range(50):
        random_read(files, shard, data, rng)
    files.close()
    assert files.counters()["evicted"] and all(path.exists() for path in mine)


def start(*what: object) -> subprocess.Popen:
    script = str(Path(__file__).with_name("cache_reader.py"))
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(pickle.dumps(what))
    process.stdin.close()
    return process


def test_two_processes_share_a_folder_within_the_limit(big, tmp_path):
    root, shard, _data = big
    limit = 60_000
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(limit, 4096))
    processes = [start(files, shard, root / shard.tar, seed) for seed in (1, 2)]
    most = 0
    while any(process.poll() is None for process in processes):
        most = max(most, disk_bytes(tmp_path / "cache"))
        time.sleep(0.002)
    assert [process.stderr.read() for process in processes] == [b"", b""]
    assert 30_000 < most <= limit + 8192  # a listing may see a file under its old and its new name
    assert disk_bytes(tmp_path / "cache") <= limit


def test_many_threads_fetch_a_chunk_once(big, tmp_path):
    root, shard, data = big
    with serving(root) as server:
        server.verdict = lambda number, path: time.sleep(0.05) or ""
        files = CachedFiles(server.url, tmp_path / "cache", CacheOptions(chunk=100_000))
        outs = [bytearray(300_000) for _ in range(8)]
        threads = [threading.Thread(target=files.read, args=(shard, 0, memoryview(out))) for out in outs]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        files.close()
        assert all(out == data for out in outs) and len(server.seen) == 1


def test_prefetched_bytes_are_not_waited_for(big, tmp_path):
    root, shard, _data = big
    with serving(root) as server:
        server.verdict = lambda number, path: time.sleep(0.2) or ""
        files = CachedFiles(server.url, tmp_path / "cache", CacheOptions(chunk=4096))
        spans = [(8192 * n, 10) for n in range(16)]
        files.prefetch(shard, [*spans, (-5, 10), (299_999, 2), (10**9, 1), (3, 0)])
        while len(server.seen) < 16 or files.counters()["bytes_fetched"] < 16 * 4096:
            time.sleep(0.01)
        files.close()  # waits for what is on its way
        for offset, size in spans:
            files.read(shard, offset, memoryview(bytearray(size)))
        assert files.counters()["hits"] == 16 and len(server.seen) == 16
        files.close()


def test_prefetch_does_not_fetch_what_cannot_be_kept(big, tmp_path):
    root, shard, _data = big
    with serving(root) as server:
        files = CachedFiles(server.url, tmp_path / "cache", CacheOptions(0, 4096))
        files.read(shard, 0, memoryview(bytearray(10)))
        for _ in range(5):
            files.prefetch(shard, [(4096 * n, 10) for n in range(20)])
        time.sleep(0.1)
        files.close()
        assert len(server.seen) == 1


def forked(files: CachedFiles, shard: ShardEntry, tar: Path) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=read_all, args=(files, shard, tar))
    process.start()
    return process


def check_ends_well(process: multiprocessing.Process) -> None:
    process.join(30)
    hangs = process.is_alive()
    process.kill()
    assert not hangs and process.exitcode == 0


def test_a_forked_and_a_pickled_copy_read_on(big, tmp_path, bucket):
    root, shard, data = big
    upload(root, bucket)
    files = CachedFiles(bucket, tmp_path / "cache", CacheOptions(chunk=4096))
    files.prefetch(shard, [(0, 50_000)])  # connections, threads and files are there when it forks
    files.read(shard, 0, memoryview(bytearray(10)))
    files.read(shard, 0, memoryview(bytearray(10)))
    check_ends_well(forked(files, shard, root / shard.tar))
    assert start(files, shard, root / shard.tar, None).stderr.read() == b""
    shutil.rmtree(tmp_path / "cache" / shard.sha256[:2])
    out = bytearray(300_000)
    files.read(shard, 0, memoryview(out))
    assert out == data
    files.close()


def test_a_fork_with_locks_held_reads_on(big, tmp_path):
    root, shard, _data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(chunk=4096))
    files.read(shard, 0, memoryview(bytearray(10)))
    parts = files._process.get()
    locks = [files._process._lock, parts.fetcher._lock, parts.prefetcher._lock, parts.folder._handles._lock]
    locks.append(files._process.counters._lock)
    for lock in locks:
        lock.acquire()
    process = forked(files, shard, root / shard.tar)
    for lock in locks:
        lock.release()
    check_ends_well(process)
    files.close()


@pytest.mark.parametrize("kind", ["s3", "http"])
def test_closing_leaves_no_thread_and_no_file_and_reading_goes_on(big, tmp_path, bucket, kind):
    root, shard, data = big
    upload(root, bucket)
    with serving(root) as server:
        url = bucket if kind == "s3" else server.url
        warm = CachedFiles(url, tmp_path / "warm")  # fsspec's own thread and epoll stay for good
        warm.read(shard, 0, memoryview(bytearray(9)))
        warm.close()
        time.sleep(0.1)
        threads, handles = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
        files = CachedFiles(url, tmp_path / "cache", CacheOptions(chunk=4096))
        for _ in range(2):
            files.prefetch(shard, [(0, 300_000)])
            out = bytearray(300_000)
            files.read(shard, 0, memoryview(out))
            assert out == data
            assert len([x for x in threading.enumerate() if x.name.startswith("tessera-prefetch")]) == 8
            files.close()
            files.close()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and (
            len(os.listdir("/proc/self/fd")) > handles or len(set(threading.enumerate()) - threads) > 0
        ):
            time.sleep(0.02)
        assert not [x for x in threading.enumerate() if x.name.startswith("tessera")]
        assert len(os.listdir("/proc/self/fd")) <= handles


def test_threads_end_where_nobody_closes(big, tmp_path):
    root, shard, _ = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache")
    files.prefetch(shard, [(0, 10)])
    del files
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(x.name.startswith("tessera") for x in threading.enumerate()):
        time.sleep(0.01)
    assert not [x for x in threading.enumerate() if x.name.startswith("tessera")]


def test_open_files_are_bounded(big, tmp_path):
    root, shard, _data = big
    before = len(os.listdir("/proc/self/fd"))
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(chunk=256, threads=0))
    for _ in range(2):
        files.read(shard, 0, memoryview(bytearray(300_000)))
    assert 200 < len(os.listdir("/proc/self/fd")) - before <= 260
    copy = pickle.loads(pickle.dumps(files))
    files.close()
    assert len(os.listdir("/proc/self/fd")) <= before
    assert (copy.url, copy.folder, copy._options) == (files.url, files.folder, files._options)


@pytest.mark.parametrize("name", ["sha256", "index_sha256"])
def test_trap_a_strangers_sha256_that_is_a_path_is_refused(big, tmp_path, name):
    root, shard, _ = big
    entry = ShardEntry(**{**vars(shard), name: "../../../etc"})
    files = CachedFiles(f"file://{root}", tmp_path / "cache")
    with pytest.raises(FormatError, match="sha256"):
        files.index(entry) if name == "index_sha256" else files.read(entry, 0, memoryview(bytearray(1)))
    files.close()


@pytest.mark.parametrize("options", [{"limit": -1}, {"chunk": 0}, {"chunk": 1 << 30}, {"threads": -1}])
def test_options_that_make_no_sense(options):
    with pytest.raises(UsageError, match="no cache"):
        CacheOptions(**options)
