"""Stores and disks that fail: reads are right or say what is wrong, in bounded time, and leave nothing half-written."""

import dataclasses
import hashlib
import json
import os
import threading
import time

import numpy as np
import pytest
from tessera.datasets import FormatError
from tessera.datasets.cache import open_remote
from tessera.datasets.caching.files import CachedFiles
from tessera.datasets.caching.parts import CacheOptions
from tessera.datasets.errors import StoreError, UsageError

from .cache_data import QUICK, SMALL, disk_bytes, random_read, whole
from .proxy import serving


def check_counted(counts: dict[str, int], seen: int, fault: str) -> None:
    """Every attempt counts, but for a few that aiohttp makes itself where a connection that it kept is gone."""
    if fault == "drop":
        assert seen * 2 // 3 <= counts["requests"] <= seen and counts["retries"] <= seen // 3
    else:
        assert counts["requests"] == seen and counts["retries"] == seen // 3 > 3


@pytest.mark.parametrize("fault", ["500", "503", "429", "drop", "short"])
def test_every_third_request_fails(big, tmp_path, fault):
    root, shard, data = big
    with serving(root) as server:
        server.verdict = lambda number, path: fault if number % 3 == 0 else ""
        files = CachedFiles(server.url, tmp_path / "cache", SMALL)
        rng = np.random.default_rng(3)
        files.prefetch(shard, [(200_000, 10_000), (0, 10), (100_000, 10)])
        for _ in range(60):
            random_read(files, shard, data, rng)
        files.close()
        counts = files.counters()
        check_counted(counts, len(server.seen), fault)


@pytest.mark.parametrize("fault", ["503", "drop", "short"])
def test_an_s3_server_that_fails_every_third_request(built, s3, bucket, tmp_path, monkeypatch, fault):
    from .test_cache import upload

    upload(built.root, f"{bucket}/set")
    with serving(s3) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        proxy.verdict = lambda number, path: fault if number % 3 == 0 else ""
        catalog, files = open_remote(f"{bucket}/set", tmp_path / "cache", chunk=4096, waits=QUICK)
        for entry in catalog.shards:
            assert files.index(entry).read_bytes() == (built.root / entry.index).read_bytes()
            assert whole(files, entry) == (built.root / str(entry.tar)).read_bytes()
        files.close()
        counts = files.counters()
        check_counted(counts, len(proxy.seen), fault)


def test_a_store_that_is_down_is_named_soon(big, tmp_path):
    _, shard, _ = big
    files = CachedFiles("http://127.0.0.1:9/some/set", tmp_path / "cache", CacheOptions(waits=(0.01, 0.02)))
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"http://127.0.0.1:9/some/set/train/frames-000000.tar: .* after 3 attempts"):
        whole(files, shard)
    assert time.monotonic() - began < 20
    assert files.counters()["requests"] == 3 and files.counters()["retries"] == 2
    files.close()


def test_an_s3_store_that_is_down_is_named_soon(s3, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    with pytest.raises(StoreError, match=r"s3://bucket/set/dataset.json: .* after 2 attempts .*AWS_ENDPOINT_URL"):
        open_remote("s3://bucket/set", tmp_path / "cache", waits=(0.01,))


def test_all_who_wait_for_a_fetch_learn_that_it_failed(big, tmp_path):
    root, shard, _ = big
    with serving(root) as server:
        server.verdict = lambda number, path: time.sleep(0.2) or "500"
        files = CachedFiles(server.url, tmp_path / "cache", CacheOptions(waits=()))
        errors = []

        def read():
            try:
                whole(files, shard)
            except StoreError as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(6)]
        [thread.start() for thread in threads]
        [thread.join(20) for thread in threads]
        assert len({id(error) for error in errors}) == 6 and all("frames-000000.tar" in str(x) for x in errors)
        server.verdict = lambda number, path: ""
        assert whole(files, shard) == big[2]  # and nothing of it stays
        files.close()


def test_closing_ends_waits(big, tmp_path):
    root, shard, _ = big
    with serving(root) as server:
        server.verdict = lambda number, path: "500"
        files = CachedFiles(server.url, tmp_path / "cache", CacheOptions(waits=(60.0,)))
        failed = []

        def read():
            try:
                whole(files, shard)
            except StoreError as error:
                failed.append(str(error))

        thread = threading.Thread(target=read)
        thread.start()
        while not server.seen:
            time.sleep(0.01)
        time.sleep(0.1)
        files.close()
        thread.join(10)
        assert len(failed) == 1 and "closed" in failed[0]


@pytest.mark.parametrize("status, says", [("404", "is not there"), ("403", "credentials"), ("401", "credentials")])
def test_a_refusal_is_not_tried_again(big, tmp_path, status, says):
    root, shard, _ = big
    with serving(root) as server:
        server.verdict = lambda number, path: status
        files = CachedFiles(server.url, tmp_path / "cache", SMALL)
        with pytest.raises(FormatError, match=f"{server.url}/train/frames-000000.tar.*{says}") as caught:
            files.read(shard, 0, memoryview(bytearray(10)))
        assert len(server.seen) == 1
        assert isinstance(caught.value, StoreError) == (status != "404")
        files.close()


@pytest.mark.parametrize("kept", [0, 4096, 150_000, 299_999])
def test_a_truncated_tar_is_named(big, tmp_path, kept):
    root, shard, data = big
    (root / shard.tar).write_bytes(data[:kept])
    for url in (f"file://{root}", None):
        with serving(root) as server:
            files = CachedFiles(url or server.url, tmp_path / f"cache{url is None}", SMALL)
            with pytest.raises(FormatError, match=r"train/frames-000000\.tar: truncated") as caught:
                whole(files, shard)
            assert not isinstance(caught.value, StoreError)
            files.close()


def test_bytes_beyond_the_tar_are_refused(big, tmp_path):
    root, shard, _ = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    for offset, size in [(-1, 5), (299_999, 2), (300_001, 0), (10**15, 1)]:
        with pytest.raises(FormatError, match="has no bytes"):
            files.read(shard, offset, memoryview(bytearray(size)))
    files.close()


def test_trap_a_server_without_byte_ranges_sends_whole_files(big, tmp_path):
    """Python's own `http.server` does."""
    root, shard, _ = big
    with serving(root, ranges=False) as server:
        files = CachedFiles(server.url, tmp_path / "cache", SMALL)
        with pytest.raises(StoreError, match="knows no byte ranges"):
            files.read(shard, 0, memoryview(bytearray(10)))
        assert len(server.seen) == 1
        assert files.index(shard).read_bytes() == (root / shard.index).read_bytes()
        files.close()


def test_an_index_that_is_another_is_refused_and_not_kept(big, tmp_path):
    root, shard, _ = big
    good = (root / shard.index).read_bytes()
    (root / shard.index).write_bytes(good[:-1] + b"X")
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    for _ in range(2):
        with pytest.raises(FormatError, match=r"store/train/frames-000000.parquet: is not the index"):
            files.index(shard)
    (root / shard.index).write_bytes(good)
    path = files.index(shard)
    path.write_bytes(b"damaged")
    assert files.index(shard).read_bytes() == good
    files.close()


def test_damaged_chunks_are_forgotten_and_fetched_again(big, tmp_path):
    root, shard, data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    whole(files, shard)
    for number in (0, 1, 4):
        path = next((tmp_path / "cache").rglob(f"{4096 * number}-4096"))
        path.write_bytes(bytes(4096))
    assert whole(files, shard) != data
    assert files.forget(shard, 4000, 200)  # chunks 0 and 1
    assert files.forget(shard, 4 * 4096, 1)
    assert whole(files, shard) == data
    files.close()


def test_bytes_that_are_damaged_in_the_store_are_not_fetched_for_ever(big, tmp_path):
    root, shard, data = big
    (root / shard.tar).write_bytes(bytes(300_000))
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    tries = 0
    while whole(files, shard) != data and files.forget(shard, 0, 300_000):
        tries += 1
        assert tries < 10
    assert tries > 0
    files.close()


@pytest.mark.parametrize("size", [0, 1, 4095, 4097])
def test_a_chunk_of_another_size_is_fetched_again(big, tmp_path, size):
    root, shard, data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    whole(files, shard)
    files.close()
    next((tmp_path / "cache").rglob("8192-4096")).write_bytes(bytes(size))
    assert whole(files, shard) == data and files.counters()["misses"] == 74 + 1
    files.close()


def test_a_rebuilt_shard_is_another(big, tmp_path):
    root, shard, data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    whole(files, shard)
    other = data[::-1]
    (root / shard.tar).write_bytes(other)
    assert whole(files, shard) == data
    assert whole(files, dataclasses.replace(shard, sha256=hashlib.sha256(other).hexdigest())) == other
    files.close()


def test_a_folder_of_two_chunk_sizes_gives_right_bytes(big, tmp_path):
    root, shard, data = big
    for chunk in (4096, 1000, 8192):
        files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(chunk=chunk))
        assert whole(files, shard) == data
        files.close()


def test_half_written_files_of_the_dead_go(big, tmp_path):
    root, shard, _data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(50_000, 4096))
    files.read(shard, 0, memoryview(bytearray(10)))
    partial = tmp_path / "cache" / ".partial"
    old, new = partial / "aa", partial / "bb"
    for path in (old, new):
        path.write_bytes(bytes(10_000))
    os.utime(old, (1, 1))
    for _ in range(3):
        whole(files, shard)
    files.close()
    assert not old.exists() and new.exists()


def test_a_wrong_sum_of_bytes_is_put_right(big, tmp_path):
    root, shard, _ = big
    for wrong in (b"", b"\xff" * 7, b"\xff" * 8, bytes(8)):
        files = CachedFiles(f"file://{root}", tmp_path / "cache", CacheOptions(100_000, 4096))
        whole(files, shard)
        (tmp_path / "cache" / ".usage").write_bytes(wrong)
        whole(files, shard)
        whole(files, shard)
        files.close()
        if wrong != bytes(8) and wrong:
            assert disk_bytes(tmp_path / "cache") <= 100_000


@pytest.mark.parametrize("place", ["file/cache", "missing/cache", "file"])
def test_a_folder_that_cannot_be_is_named(built, tmp_path, place):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=rf"cache_dir {tmp_path / place}: "):
        open_remote(f"file://{built.root}", tmp_path / place)
    assert not (tmp_path / "missing").exists()


def test_the_default_folder_is_made_with_its_parents(built, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    _, files = open_remote(f"file://{built.root}")
    assert files.folder == tmp_path / "home" / "cache" / "tessera" and files.folder.is_dir()
    files.close()


@pytest.mark.parametrize("url, says", [("nosuch://x/y", "nosuch"), ("simplecache::s3://x/y", "chain")])
def test_urls_that_nobody_knows(tmp_path, url, says):
    with pytest.raises(UsageError, match=says):
        open_remote(url, tmp_path / "cache")


def test_a_password_in_a_url_is_not_shown(tmp_path):
    with pytest.raises(StoreError) as caught:
        open_remote("http://me:secret@127.0.0.1:9/set", tmp_path / "cache", waits=())
    assert "http://127.0.0.1:9/set" in str(caught.value) and "secret" not in str(caught.value)


def test_no_data_set_there(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"file://.*/empty/dataset.json: is not there"):
        open_remote(f"file://{tmp_path}/empty", tmp_path / "cache")


def test_a_data_set_that_is_building_is_refused(toy, tmp_path):
    toy.catalog("building")
    with pytest.raises(FormatError, match=r"set/dataset.json: this data set is still being built"):
        open_remote(f"file://{toy.root}", tmp_path / "cache")


def test_a_damaged_catalog_is_named_by_its_url(toy, tmp_path):
    values = json.loads((toy.root / "dataset.json").read_text())
    for change in ({"shards": 5}, {"format_version": 99}):
        (toy.root / "dataset.json").write_text(json.dumps(values | change))
        with pytest.raises(FormatError) as caught:
            open_remote(f"file://{toy.root}", tmp_path / "cache")
        assert f"file://{toy.root}/dataset.json: " in str(caught.value) and "cache" not in str(caught.value)
