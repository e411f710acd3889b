"""A tar of random bytes with the entry that a catalog would have of it, and random reads of it."""

import hashlib
import os
from pathlib import Path

import numpy as np
from tessera.datasets.caching.files import CachedFiles
from tessera.datasets.caching.parts import CacheOptions
from tessera.datasets.entries import ShardEntry

QUICK = (0.001, 0.001, 0.001, 0.001)
SMALL = CacheOptions(chunk=4096, waits=QUICK)


def fill(root: Path, size: int) -> tuple[Path, ShardEntry, bytes]:
    """(folder, entry, bytes of the tar)."""
    data = np.random.default_rng(5).bytes(size)
    index = b"no parquet, but that is none of the cache's business"
    (root / "train").mkdir(parents=True)
    (root / "train" / "frames-000000.tar").write_bytes(data)
    (root / "train" / "frames-000000.parquet").write_bytes(index)
    entry = ShardEntry(
        "frames", "train", 0, 0, "train/frames-000000.parquet", hashlib.sha256(index).hexdigest(),
        "train/frames-000000.tar", size, hashlib.sha256(data).hexdigest(), 1, ("u",),
    )  # fmt: skip
    return root, entry, data


def random_read(files: CachedFiles, entry: ShardEntry, data: bytes, rng: np.random.Generator) -> None:
    """A span of up to five chunks of 4 KiB, more often from the front of the tar, checked."""
    size = int(rng.integers(1, 20_000))
    offset = int((len(data) - size) * rng.uniform() ** 2)
    out = bytearray(size)
    files.read(entry, offset, memoryview(out))
    assert out == data[offset : offset + size]


def disk_bytes(folder: Path) -> int:
    """Bytes of all files that a cache folder holds, those being written included."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            if name not in (".usage", ".evicting"):
                try:
                    total += os.stat(os.path.join(above, name)).st_size
                except FileNotFoundError:  # evicted or renamed meanwhile
                    continue
    return total


def whole(files, shard):
    """All bytes of a tar."""
    out = bytearray(shard.bytes)
    files.read(shard, 0, memoryview(out))
    return out
