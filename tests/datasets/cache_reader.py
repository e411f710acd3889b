"""Another process that reads a cached tar: started with a pickle (files, entry, path of the tar, seed) on its input."""

import pickle
import sys
from pathlib import Path

import numpy as np
from tessera.datasets.caching.files import CachedFiles
from tessera.datasets.entries import ShardEntry


def read_all(files: CachedFiles, entry: ShardEntry, tar: Path) -> None:
    """Every byte, some of them prefetched."""
    files.prefetch(entry, [(entry.bytes // 2, 1000)])
    out = bytearray(entry.bytes)
    files.read(entry, 0, memoryview(out))
    assert out == tar.read_bytes() and files.counters()["bytes_read"] == entry.bytes
    files.close()


def main() -> None:
    """Random reads where there is a seed, else everything."""
    files, entry, tar, seed = pickle.load(sys.stdin.buffer)
    if seed is None:
        read_all(files, entry, tar)
        return
    data, rng = tar.read_bytes(), np.random.default_rng(seed)
    for _ in range(250):
        size = int(rng.integers(1, 20_000))
        offset = int(rng.integers(0, len(data) - size))
        out = bytearray(size)
        files.read(entry, offset, memoryview(out))
        assert out == data[offset : offset + size]
    files.close()


if __name__ == "__main__":
    main()
