"""A small reader of indexed tars that shares no code with streams: offsets from Parquet files, bytes from tars."""

import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import webdataset
from PIL import Image
from tessera.datasets.foreign_index import ForeignSet

BLOCK = 1 << 18


def records(found: ForeignSet, split: str | None = None) -> list[dict[str, Any]]:
    """Every record: `__key__`, and its fields decoded; checksums compared."""
    everything = []
    for shard in found.catalog.shards:
        if split not in (None, shard.split):
            continue
        tar = (found.tar_root / str(shard.tar)).read_bytes()
        rows = pq.read_table(found.index_root / shard.index).to_pylist()
        assert len(rows) == shard.records and len(tar) == shard.bytes
        everything += [_record(found, row, tar) for row in rows]
    return everything


def _record(found: ForeignSet, row: dict[str, Any], tar: bytes) -> dict[str, Any]:
    schema, record = found.catalog.tables["records"], {"__key__": row["key"]}
    for entry in schema.fields:
        offset, size = row[f"{entry.name}.offset"], row[f"{entry.name}.size"]
        if offset is None:
            assert entry.optional
            continue
        data = tar[offset : offset + size]
        assert [zlib.crc32(data[at : at + BLOCK]) for at in range(0, size, BLOCK)] == row[f"{entry.name}.crc"]
        shape = schema.shape(entry, {name: row[f"dim.{name}"] for name in schema.free})
        record[entry.name] = _value(entry.codec, entry.dtype, shape, data)
    return record


def _value(codec: str, dtype: str, shape: tuple[int, ...], data: bytes) -> Any:
    if codec in ("npy", "npz"):
        return np.frombuffer(data, dtype).reshape(shape)
    if codec in ("json", "text", "cls"):
        return {"json": json.loads, "text": bytes.decode, "cls": int}[codec](data)
    picture = Image.open(io.BytesIO(data))
    array = np.array(picture.convert("RGB") if codec == "rgb" else picture)
    assert array.shape == shape and array.dtype == dtype
    return array


def theirs(tars: list[Path]) -> list[dict[str, Any]]:
    """The same tars by WebDataset's own reader and decoders: key and endings (in lower case)."""
    data = webdataset.WebDataset([str(path) for path in tars], shardshuffle=False)
    pictures = webdataset.autodecode.handle_extension("jpg jpeg png", lambda found: Image.open(io.BytesIO(found)))
    return list(data.decode(pictures))  # its own handlers of pictures make everything RGB


def same(ours: Any, other: Any) -> bool:
    """Whether a value is that of the other reader: pixels, numbers with dtype and shape, texts."""
    if isinstance(ours, np.ndarray):
        other = np.asarray(other)
        return ours.dtype == other.dtype and ours.shape == other.shape and ours.tobytes() == other.tobytes()
    return type(ours) is type(other) and ours == other
