"""The cache on disks that are full, or cannot be written to: bytes are served all the same, nothing broken stays."""

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from tessera.datasets.caching.files import CachedFiles

from .cache_data import SMALL, disk_bytes, whole


def _namespace() -> str:
    """Why no file system can be mounted here; empty where it can."""
    if shutil.which("unshare") is None:
        return "there is no `unshare` here"
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"nothing can be mounted here: {done.stderr.strip()}"


DISK = """
import subprocess, sys, warnings
from pathlib import Path
from tessera.datasets.caching.files import CachedFiles
from tessera.datasets.caching.parts import CacheOptions
from tessera.datasets.errors import UsageError
from tests.datasets.cache_data import fill
root, shard, data = fill(Path(sys.argv[1]), 3_000_000)
disk = Path(sys.argv[2])
mount = lambda options: subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(disk)], check=True)
mount("size=1m")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    files = CachedFiles(f"file://{root}", disk, CacheOptions(chunk=65536))
    for _ in range(3):
        out = bytearray(3_000_000)
        files.read(shard, 0, memoryview(out))
        assert out == data
counts = files.counters()
assert counts["uncached"] > 60 and counts["hits"] > 10, counts
assert len(said) == 1 and str(disk) in str(said[0].message) and "No space left" in str(said[0].message), said
assert not list((disk / ".partial").iterdir())
assert all(x.stat().st_size == int(x.name.split("-")[1]) for x in disk.rglob("*-*") if x.is_file())
mount("remount,size=64m")
files.read(shard, 0, memoryview(out)), files.read(shard, 0, memoryview(out))
assert files.counters()["hits"] > counts["hits"] + 45
files.close()
mount("remount,ro")
files = CachedFiles(f"file://{root}", disk, CacheOptions(chunk=65536))
try:
    files.read(shard, 0, memoryview(out))
except UsageError as error:
    print(error)
"""


def test_a_disk_that_is_full_or_cannot_be_written_to(tmp_path):
    if why := _namespace():
        pytest.skip(why)
    (tmp_path / "disk").mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", DISK]
    folder = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [*command, str(tmp_path / "store"), str(tmp_path / "disk")], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    assert f"cache_dir {tmp_path / 'disk'}: Read-only file system" in done.stdout


def test_a_full_disk_is_told_once(big, tmp_path, monkeypatch):
    root, shard, data = big
    files = CachedFiles(f"file://{root}", tmp_path / "cache", SMALL)
    files.read(shard, 0, memoryview(bytearray(10)))

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert whole(files, shard) == data and whole(files, shard) == data
    monkeypatch.undo()
    assert len(said) == 1 and files.counters()["uncached"] == 2 * 73
    assert not list((tmp_path / "cache" / ".partial").iterdir()) and disk_bytes(tmp_path / "cache") == 4096
    assert int.from_bytes((tmp_path / "cache" / ".usage").read_bytes(), "little") == 4096
    files.close()
