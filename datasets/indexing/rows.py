"""Index of one strangers' tar, in the format of Tessera's own."""

import numpy as np
import pyarrow as pa

from ..index import ShardFacts, Source, arrow_schema, table_bytes
from ..schema import Schema
from .columns import columns
from .folder import Tar
from .scan import Scan


def shard_index(scan: Scan, schema: Schema, raws: dict[str, str], tar: Tar, unit: str, group: int) -> bytes:
    """The Parquet file of an index; the same scan and schema give the same bytes.

    Args:
        scan: of the tar.
        schema: of the data set.
        raws: name of each field to the kind of member that it is made from.
        tar: the tar.
        unit: unit of all its records.
        group: its number in its split.
    """
    found, number = columns(scan), len(scan.records)
    parts = [scan.records["key"], pa.array([unit] * number, pa.string())]
    parts += [scan.records["offset"], scan.records["size"]]
    absent = np.full(number, -1, np.int64)
    sizes = dict.fromkeys(schema.free, absent)
    for entry in schema.fields:
        column = found.get(raws[entry.name])
        at = column.at if column else absent
        rows = pa.array(at, mask=at < 0)
        parts += [scan.entries[name].take(rows) for name in ("offset", "size", "crc")]
        for axis, side in enumerate(entry.shape):
            if isinstance(side, str) and column:
                sizes[side] = np.maximum(sizes[side], column.sizes(axis))
    parts += [pa.array(np.maximum(sizes[name], 0)) for name in schema.free]
    sources = (Source(unit, str(tar.size), number),)
    name = tar.path.rpartition("/")[2]
    facts = ShardFacts("records", tar.split, group, 0, 1, name, tar.size, "", sources)
    return table_bytes(pa.table(parts, schema=arrow_schema(schema)), facts)
