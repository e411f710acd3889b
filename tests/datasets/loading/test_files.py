"""Local files: bytes that are wanted one after the other are asked of the disk together, and only where it is slow."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tessera.datasets import Field, Schema, Stream
from tessera.datasets.loading import files as module

from ..stream_data import Rows, write_set

SCHEMA = Schema(
    (Field("points", "float32", ("n", 3), "npy"), Field("image", "uint8", (40, 50, 3), "jpg"),
     Field("map", "float32", (64, 64), "npy")),
    {"n": 5000},
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    listed = [
        (f"g-{i}", {"points": rng.normal(size=(5000, 3)).astype(np.float32), "map": np.ones((64, 64), np.float32),
                    "image": rng.integers(0, 255, (40, 50, 3), np.uint8)}, {})
        for i in range(8)
    ]  # fmt: skip
    return write_set(tmp_path_factory.mktemp("files") / "set", {"a": Rows(SCHEMA, {"train": [listed]})})


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Spans that the system was told of."""
    spans: list[tuple[int, int]] = []

    def advise(fd: int, offset: int, size: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_WILLNEED
        spans.append((offset, size))

    monkeypatch.setattr(module.os, "posix_fadvise", advise)
    return spans


def test_a_warm_page_cache_is_told_nothing(root: Path, asked: list[tuple[int, int]]) -> None:
    assert len(list(Stream(root, batch_size=4, threads=0))) == 2
    assert not asked


def test_trap_a_hint_of_no_bytes_would_be_one_of_all(root: Path, asked: list[tuple[int, int]]) -> None:
    stream = Stream(root, batch_size=8, threads=0)
    list(stream)
    files, shard = stream._files, stream.reader.records.shards[0]
    files._waits = 9
    files.hint(shard, 512, 0)
    files.hint(shard, 512, 8)
    assert asked == [(512, 8)]


@pytest.mark.parametrize("checksums", [False, True])
def test_after_a_wait_for_the_disk_it_is_told_of_a_batch_at_once(
    root: Path, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, checksums: bool
) -> None:
    """What needs no check, and is not compressed, is begun by its first reads."""
    reads: list[tuple[int, int, int]] = []

    def not_there(fd: int, out: Any, offset: int) -> int:
        reads.append((offset, len(out), len(asked)))
        return 0

    monkeypatch.setattr(module, "_cached", not_there)
    monkeypatch.setattr(module, "NOWAIT", 0)
    stream = Stream(root, batch_size=4, threads=0, sample={"points": 100}, checksums=checksums)
    assert [batch["points"].shape for batch in stream] == [(4, 100, 3)] * 2
    assert reads[0][2] == 0, "the first read of all is met by surprise"
    places = stream.reader.records.rows(0).places
    whole = {name: set(zip(x.offset.tolist(), x.size.tolist(), strict=True)) for name, x in places.items()}
    told = set(asked)
    assert whole["image"] <= told and (whole["map"] <= told) == checksums
    parts = [(o, s) for o, s in told if any(a <= o and o + s <= a + b for a, b in whole["points"])]
    assert (len(parts) >= 4) == checksums and sum(s for _, s in parts) == checksums * 4 * 1200
    images = [number for offset, size, number in reads if (offset, size) in whole["image"]]
    assert len(images) == 8 and images[0] == images[3] < images[4] == images[7], "all of a batch before it is read"
