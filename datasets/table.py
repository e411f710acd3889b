"""Plain reader of a data set: records by key or in order, fields decoded when asked for."""

import mmap
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .catalog import Catalog
from .checksum import crc32
from .codecs import CODECS
from .entries import ShardEntry
from .errors import FormatError, SchemaError
from .index import arrow_schema, check_keys, read_facts, read_keys, read_rows
from .members import BLOCKS
from .names import unit_candidates
from .regular import regular
from .schema import Schema
from .sidecar import Sidecars

OPEN_SHARDS = 64


class Record(Mapping[str, Any]):
    """One record: `record["image"]` decodes a field; `columns` holds the index's scalars and references.

    Fields that the record lacks (optional, not measured) are not in the mapping.
    """

    def __init__(self, table: "Table", shard: ShardEntry, row: dict[str, Any]) -> None:
        self._table, self._shard, self._row = table, shard, row
        self.key: str = row["key"]
        self.unit: str = row["unit"]
        self.split = shard.split
        self.schema = table.schema
        self.options = table.options
        names = [c.name for c in table.schema.columns] + [r.name for r in table.schema.references]
        self.columns = {name: row[name] for name in names}

    def __getitem__(self, name: str) -> Any:
        """The decoded array of a field.

        Raises:
            KeyError: no such field, or this record lacks it.
            FormatError: the stored bytes are damaged; the message names shard, key and field.
        """
        if name not in self:
            raise KeyError(f"{name!r} (record {self.key} has {', '.join(self)})")
        return self._table._read(self._shard, self._row, name)

    def __contains__(self, name: object) -> bool:
        """Whether the record has this field; nothing is read."""
        return name in self._table.schema.by_name and self._row[f"{name}.offset"] is not None

    def __iter__(self) -> Iterator[str]:
        """Names of the fields that this record has."""
        return (name for name in self._table.schema.by_name if self._row[f"{name}.offset"] is not None)

    def __len__(self) -> int:
        """Number of fields that this record has."""
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Key and fields."""
        return f"Record({self.key!r}: {', '.join(self)})"

    def referred(self, name: str) -> "Record":
        """The record that a reference of this one names, such as `subject`.

        Raises:
            KeyError: there is no such reference (to one record), or no such record.
        """
        for reference in self.schema.references:
            if reference.name == name and not reference.many:
                return self._table.other(reference.table)[self.columns[name]]
        raise KeyError(f"{name!r} is no reference of record {self.key} to one other record")

    def stored_bytes(self) -> dict[str, int]:
        """Bytes of each field as stored."""
        return {name: self._row[f"{name}.size"] for name in self}


class Table:
    """Records of one table, all splits or one; `table[key]`, iteration, `len`.

    Args:
        root: folder of the data set.
        catalog: its catalog.
        name: table name.
        split: only this split, None for all.
    """

    def __init__(self, root: Path, catalog: Catalog, name: str, split: str | None = None) -> None:
        if name not in catalog.tables:
            raise SchemaError(f"{root}: no table {name!r} (tables: {', '.join(catalog.tables)})")
        if split is not None and split not in catalog.groups:
            raise SchemaError(f"{root}: no split {split!r} (splits: {', '.join(catalog.groups)})")
        self.root, self.name = root, name
        self.sidecars = Sidecars(catalog, name)
        self.schema: Schema = self.sidecars.schema
        self._own_schema = catalog.tables[name]
        self.options = catalog.options
        self.shards = [s for s in catalog.shards if s.table == name and split in (None, s.split) and s.records]
        self._by_unit: dict[str, list[ShardEntry]] = {}
        for shard in self.shards:
            for unit in shard.units:
                self._by_unit.setdefault(unit, []).append(shard)
        self._catalog, self._others = catalog, dict[str, Table]()
        self._maps: OrderedDict[str, memoryview] = OrderedDict()
        self._checked: set[tuple[str, int]] = set()
        self._rows = lru_cache(maxsize=OPEN_SHARDS)(self._load_rows)

    def __len__(self) -> int:
        """Number of records."""
        return sum(shard.records for shard in self.shards)

    def __getitem__(self, key: str) -> Record:
        """The record of a key; opens only the indexes of shards that hold its unit.

        Raises:
            KeyError: no record has this key.
        """
        if not isinstance(key, str):
            raise KeyError(f"{key!r}: records are looked up by key, such as {next(self.keys(), 'none: it is empty')!r}")
        for unit in unit_candidates(key):
            for shard in self._by_unit.get(unit, ()):
                rows = self._rows(shard)
                at = rows["key"].index(key).as_py()
                if at >= 0:
                    return Record(self, shard, rows.slice(at, 1).to_pylist()[0])
        raise KeyError(f"{self.root}: no record {key!r} in table {self.name!r}")

    def __contains__(self, key: object) -> bool:
        """Whether a record has this key."""
        try:
            return isinstance(key, str) and bool(self[key].key)
        except KeyError:
            return False

    def __iter__(self) -> Iterator[Record]:
        """Records in the order of the shards."""
        for shard in self.shards:
            for batch in self._rows(shard).to_batches(max_chunksize=256):
                for row in batch.to_pylist():
                    yield Record(self, shard, row)

    def other(self, name: str) -> "Table":
        """Another table of the data set, all of its splits."""
        if name not in self._others:
            self._others[name] = Table(self.root, self._catalog, name)
        return self._others[name]

    def keys(self) -> Iterator[str]:
        """Keys in the order of the shards; reads one column of each index."""
        for shard in self.shards:
            yield from read_keys(self.root / shard.index)

    def index(self) -> pa.Table:
        """All index rows as one arrow table."""
        tables = [self._rows(shard).replace_schema_metadata() for shard in self.shards]
        return pa.concat_tables(tables) if tables else arrow_schema(self.schema).empty_table()

    def tar_bytes(self) -> int:
        """Bytes of all tars, those of labels that were added included."""
        return sum(tar.bytes for shard in self.shards for tar in (shard, *self.sidecars.of(shard)))

    def __repr__(self) -> str:
        """Name, records and fields."""
        return f"Table({self.name!r}, {len(self)} records: {', '.join(self.schema.by_name)})"

    def close(self) -> None:
        """Drop the memory maps; arrays that views of them hold stay valid."""
        self._maps.clear()
        self._rows.cache_clear()

    def _load_rows(self, shard: ShardEntry) -> pa.Table:
        return self.sidecars.join(shard, self._load_index(shard, self._own_schema), self._load_index)

    def _load_index(self, shard: ShardEntry, schema: Schema) -> pa.Table:
        path = self.root / shard.index
        read_facts(path)
        rows = read_rows(path)
        try:
            rows.validate(full=True)
        except pa.ArrowInvalid as error:
            raise FormatError(f"{path}: damaged index ({error}); run `tessera verify`") from error
        check_keys(rows, path)
        if not rows.schema.equals(arrow_schema(schema)):
            raise FormatError(f"{path}: its columns are not those of table {self.name!r} in dataset.json")
        return rows

    def _bytes(self, shard: ShardEntry) -> memoryview:
        tar = str(shard.tar)
        if tar not in self._maps:
            path = self.root / tar
            try:
                with regular(path, None).open("rb") as stream:
                    view = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
            except (OSError, ValueError) as error:
                raise FormatError(f"{path}: cannot be read ({error}); run `tessera verify {self.root}`") from error
            if len(view) != shard.bytes:
                raise FormatError(f"{path}: {len(view)} bytes, its index says {shard.bytes}; build it again")
            self._maps[tar] = view
            if len(self._maps) > OPEN_SHARDS:
                self._maps.popitem(last=False)
        self._maps.move_to_end(tar)
        return self._maps[tar]

    def _read(self, shard: ShardEntry, row: dict[str, Any], name: str) -> Any:
        entry, shard = self.schema.by_name[name], self.sidecars.home(shard, name)
        offset, size = row[f"{name}.offset"], row[f"{name}.size"]
        data = self._bytes(shard)[offset:][:size]
        where = f"{self.root / str(shard.tar)}, record {row['key']}, field {name}"
        if (shard.index, offset) not in self._checked:
            self._check(data, size, row[f"{name}.crc"], where)
            self._checked.add((shard.index, offset))
        codec = CODECS[entry.codec]
        try:
            if entry.dtype == "json":
                return codec.decode(data, np.dtype("V"), ())
            dtype = np.dtype(entry.dtype)
            shape = self.schema.shape(entry, {dim: row[f"dim.{dim}"] for dim in self.schema.free})
            if entry.storage is None:
                return codec.decode(data, dtype, shape)
            stored = codec.decode(data, *entry.storage.stored(dtype, shape))
        except FormatError as error:
            raise FormatError(f"{where}: {error}") from error
        return entry.storage.unpack(stored, dtype)

    @staticmethod
    def _check(data: memoryview, size: int | None, checksums: list[int] | None, where: str) -> None:
        fits = (x for x in BLOCKS if checksums is not None and -(-len(data) // x) == len(checksums))
        block = next(fits, None)
        if len(data) != size or checksums is None or block is None:
            raise FormatError(f"{where}: the index does not fit its tar")
        for at, expected in zip(range(0, len(data), block), checksums, strict=True):
            if crc32(data[at : at + block]) != expected:
                raise FormatError(f"{where}: checksum differs at byte {at}; the shard is damaged, build it again")


class Dataset:
    """A data set on disk: its catalog and its tables.

    Example:
        >>> frames = Dataset("out/hypersim").table("frames", split="train")  # doctest: +SKIP
        >>> frames["ai_001_001-cam_00-0007"]["distance"].shape  # doctest: +SKIP
        (384, 512)
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.catalog = Catalog.read(self.root)

    def table(self, name: str, split: str | None = None) -> Table:
        """One table, all splits or one.

        Raises:
            SchemaError: no such table or split.
        """
        return Table(self.root, self.catalog, name, split)
