"""For loaders that are not ours: decoding of a record that another WebDataset reader has taken from the tar."""

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from .catalog import Catalog
from .codecs import CODECS
from .errors import FormatError, SchemaError
from .members import LABELS
from .numpy_files import npy_array, npz_members
from .schema import Field, Schema

Sample = Mapping[str, Any]


def record_decoder(root: str | Path, table: str, fields: tuple[str, ...] = ()) -> Callable[[Sample], dict[str, Any]]:
    """A function that turns a raw WebDataset sample (extension to bytes) into decoded fields.

    Example:
        >>> tars = tar_paths("out/hypersim", "frames", "train")  # doctest: +SKIP
        >>> webdataset.WebDataset(tars).map(record_decoder("out/hypersim", "frames"))  # doctest: +SKIP

    Args:
        root: folder of the data set, whose `dataset.json` holds the schema.
        table: the table that the tars hold. Labels that were added later lie in tars of their own and are not decoded;
            `Dataset` joins them.
        fields: only these; all by default.

    Returns:
        The function; its result maps `__key__` and field names to writable arrays, optional fields that the record
        lacks left out.

    Raises:
        SchemaError: no such table or field.
        FormatError: there is no data set, or (by the function) the bytes of a field are damaged.
    """
    catalog = Catalog.read(Path(root), scan=False)
    if table not in catalog.tables:
        raise SchemaError(f"{root}: no table {table!r} (tables: {', '.join(catalog.tables)})")
    schema = catalog.tables[table]
    for name in fields:
        if name not in schema.by_name:
            raise SchemaError(f"{root}: no field {name!r} in table {table} (fields: {', '.join(schema.by_name)})")
    names = [entry.name for entry in schema.fields if entry.codec == "npz" and (not fields or entry.name in fields)]
    wanted = [entry for entry in schema.fields if not fields or entry.name in fields]

    def decode(sample: Sample) -> dict[str, Any]:
        record: dict[str, Any] = {"__key__": sample["__key__"]}
        at = LABELS
        try:
            small = npz_members(sample[LABELS], names) if LABELS in sample else {}
            for entry in wanted:
                at = f"field {entry.name}"
                if entry.codec == "npz":
                    data = small.get(entry.name)
                else:
                    data = sample.get(f"{entry.name}.{CODECS[entry.codec].suffix}")
                if data is not None:
                    record[entry.name] = _decode(schema, entry, memoryview(data))
        except FormatError as error:
            raise FormatError(f"record {record['__key__']}, {at}: {error}") from error
        return record

    return decode


def tar_paths(root: str | Path, table: str, split: str) -> list[str]:
    """Paths of the tars of one table and split, in order; their numbers have gaps where a group holds no record.

    Those of labels that were added later are not among them: they hold the same keys again.
    """
    catalog = Catalog.read(Path(root))
    return [str(Path(root) / s.tar) for s in catalog.shards if (s.table, s.split) == (table, split) and s.tar]


def _decode(schema: Schema, entry: Field, data: memoryview) -> Any:
    if entry.dtype == "json":
        return CODECS[entry.codec].decode(data, np.dtype("V"), ())
    free = [at for at, size in enumerate(entry.shape) if isinstance(size, str) and schema.dimensions[size] is None]
    dtype, shape = np.dtype(entry.dtype), schema.shape(entry, dict.fromkeys(schema.free, 1))
    stored, small = entry.storage.stored(dtype, shape) if entry.storage else (dtype, shape)
    if entry.codec in ("npy", "npz"):
        wanted = tuple(None if at in free else size for at, size in enumerate(small))
        array = npy_array(data, stored, wanted)
    else:
        if len({entry.shape[at] for at in free}) > 1:
            raise FormatError(f"{len(free)} free dimensions need the index; use Table")
        if free:  # what the frame says it holds, in units of one element of the free dimension
            count = int.from_bytes(data[4:8], "little") // max(1, prod(small) * stored.itemsize)
            shape = schema.shape(entry, dict.fromkeys(schema.free, count))
            stored, small = entry.storage.stored(dtype, shape) if entry.storage else (dtype, shape)
        array = CODECS[entry.codec].decode(data, stored, small)
    return array if entry.storage is None else entry.storage.unpack(array, dtype)
