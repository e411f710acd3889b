"""A data set of very many records that takes next to no disk: real indexes, and tars that are holes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ...datasets import Catalog
from ...datasets.catalog import scan_shards
from ...datasets.index import ShardFacts, Source, index_bytes, index_row, shift_offsets
from ...datasets.members import Placed, checksums
from ...datasets.shard import shard_stem
from .profiles import PROFILES, SPLIT, TABLE, Item
from .shards import schema

HEADER = 640  # bytes of a member's header and of its `.npy`'s
END = 1024


def write_huge(root: Path, shards: int = 1000, records: int = 1000) -> None:
    """Writes `shards` shards of `records` records with the pools of the profile `arrays`; all values are zero.

    Indexes and checksums are what `ShardWriter` would write; the tars have the right sizes, but are holes.
    """
    items = tuple(item for item in PROFILES["arrays"].items if item.dtype != "json")
    fields = schema(replace(PROFILES["arrays"], items=items))
    places, size = _places(items)
    blank = Catalog(
        name="huge", recipe="bench", state="building", labels={}, options={}, selection={}, seed=0,
        groups={SPLIT: shards}, shard_bytes=1 << 30, tables={TABLE: fields}, code_version="0",
    )  # fmt: skip
    (root / SPLIT).mkdir(parents=True)
    for group in range(shards):
        unit, stem = f"u{group:06d}", shard_stem(TABLE, group, 0)
        rows = [index_row(fields, f"{unit}-r{n:06d}", unit, size, places, {}, {}) for n in range(records)]
        for number, row in enumerate(rows):
            shift_offsets(fields, row, number * size)
        whole = records * size + END
        with (root / SPLIT / f"{stem}.tar").open("wb") as tar:
            tar.truncate(whole)
        facts = ShardFacts(TABLE, SPLIT, group, 0, 1, f"{stem}.tar", whole, "0" * 64, (Source(unit, "", records),))
        (root / SPLIT / f"{stem}.parquet").write_bytes(index_bytes(fields, rows, facts))
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "bench")


def _places(items: tuple[Item, ...]) -> tuple[dict[str, Placed], int]:
    """Where each field lies in a record, and the record's bytes."""
    places, at = {}, 0
    for item in items:
        size = int(np.prod(item.shape)) * np.dtype(item.dtype).itemsize
        places[item.name] = Placed(at + HEADER, size, checksums(bytes(size), fine=True))
        at += -(-(HEADER + size) // 512) * 512
    return places, at
