"""Writes a profile's data set: shards, catalog, and the byte index that peers read the same tars by."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...datasets import Catalog, Dataset, Field, Schema, ShardWriter
from ...datasets.catalog import scan_shards
from ...pipelines.keyed import keyed_rng
from . import content
from .byte_index import INDEX
from .profiles import SPLIT, TABLE, Profile

SHARDS = 8  # webdataset gives each worker whole shards
BANK = 16  # pictures that are drawn; records shift them


def schema(profile: Profile) -> Schema:
    """The table's schema; the pool's dimension is called `samples`."""
    fields = tuple(
        Field(
            item.name,
            item.dtype,
            tuple("samples" if size == profile.pool else size for size in item.shape),
            item.codec,
            options={"quality": item.quality} if item.quality else {},
        )
        for item in profile.items
    )
    return Schema(fields, {"samples": profile.pool} if profile.pool else {})


def write(profile: Profile, root: Path, seed: int, count: int | None = None, shards: int = SHARDS) -> None:
    """Writes `count` records (None: all of the profile's) in `shards` shards of equal size, and the byte index."""
    total = count or profile.records
    each = -(-total // shards)
    table, records = schema(profile), values(profile, seed, total)
    blank = Catalog(
        name=profile.name, recipe="bench", state="building", labels={}, options={}, selection={}, seed=seed,
        groups={SPLIT: shards}, shard_bytes=1 << 30, tables={TABLE: table}, code_version="0",
    )  # fmt: skip
    for group in range(shards):
        with ShardWriter(root / SPLIT, TABLE, SPLIT, group, table, run="bench") as writer:
            unit = f"u{group}"
            writer.begin(unit)
            for _, (key, fields) in zip(range(min(each, total - group * each)), records, strict=False):
                writer.add(f"{unit}-{key}", fields, {})
            writer.commit({unit: ""}, [], {})
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "bench")
    write_byte_index(profile, root)


def write_byte_index(profile: Profile, root: Path) -> None:
    """The offsets and sizes of all records and fields as one `.npz`, so that peers need no parquet reader."""
    table = Dataset(root).table(TABLE)
    rows: pa.Table = table.index()
    shards = np.repeat(np.arange(len(table.shards)), [shard.records for shard in table.shards])
    spans = {
        f"{name}.{what}": rows[f"{name}.{what}"].to_numpy()
        for name in (*profile.by_name, "record")
        for what in ("offset", "size")
    }
    tars = [str(shard.tar) for shard in table.shards]
    np.savez(root / INDEX, key=rows["key"].to_numpy().astype("U"), tars=tars, shard=shards, **spans)


def values(profile: Profile, seed: int, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and fields of `count` records; pictures come from a small bank, each record shifts them its own way."""
    rng = keyed_rng(seed, "stream bench", profile.name)
    maps = [item for item in profile.items if len(item.shape) == 3]
    bank = [{item.name: _picture(rng, item.name, *item.shape[:2]) for item in maps} for _ in range(min(BANK, count))]
    for number in range(count):
        shift = int(rng.integers(maps[0].shape[1])) if maps else 0
        fields: dict[str, Any] = {name: np.roll(picture, shift, 1) for name, picture in bank[number % BANK].items()}
        fields |= content.pool(rng, profile.pool) if profile.pool else {}
        fields["meta"] = {"subject": f"subject {number:04d}", "scale": number / 7, "joints": [number, number + 1]}
        yield f"r{number:06d}", {name: fields[name] for name in profile.by_name}


def _picture(rng: np.random.Generator, name: str, height: int, width: int) -> NDArray[np.uint8]:
    if height != width:
        return content.photograph(rng, height, width)
    return content.normal_map(rng, height) if name.startswith("normal") else content.figure(rng, height)
