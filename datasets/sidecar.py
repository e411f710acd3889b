"""Reading of labels that were added to a finished data set: their index columns and fields joined to the records."""

from collections.abc import Callable

import pyarrow as pa

from .catalog import Catalog
from .entries import ShardEntry
from .errors import FormatError
from .index import arrow_schema
from .schema import Schema

OWN = ("key", "unit", "record.offset", "record.size")  # columns of every index; those of the records' own are kept
Load = Callable[[ShardEntry, Schema], pa.Table]


class Sidecars:
    """The labels that were added to one table; `schema` is the table's with theirs.

    A shard that has no sidecar yet reads the label's fields as absent, and its columns as None.

    Args:
        catalog: the data set's catalog.
        table: name of the table.
    """

    def __init__(self, catalog: Catalog, table: str) -> None:
        self.schema = catalog.schema(table)
        self._added = {name: x.tables[table] for name, x in catalog.sidecars.items() if table in x.tables}
        self._label = {entry.name: name for name, schema in self._added.items() for entry in schema.fields}
        self._shards = {
            (name, *_place(shard)): shard
            for name in self._added for shard in catalog.sidecars[name].shards if shard.table == table
        }  # fmt: skip

    def of(self, shard: ShardEntry) -> list[ShardEntry]:
        """The shards that lie beside a shard."""
        found = (self._shards.get((name, *_place(shard))) for name in self._added)
        return [entry for entry in found if entry is not None]

    def home(self, shard: ShardEntry, field: str) -> ShardEntry:
        """The shard whose tar holds a field of the records of `shard`: itself, or one beside it."""
        return self._shards[self._label[field], *_place(shard)] if field in self._label else shard

    def join(self, shard: ShardEntry, rows: pa.Table, load: Load, only: set[str] | None = None) -> pa.Table:
        """Index rows of a shard with the columns of its sidecars.

        Args:
            shard: the shard.
            rows: its own rows.
            load: gives the checked rows of a sidecar's index.
            only: names of the columns that are wanted, all by default; `rows` has those of the table's own.

        Raises:
            FormatError: a sidecar holds other records than its shard.
        """
        if not self._added:
            return rows
        columns = {name: rows[name] for name in rows.column_names}
        for name, schema in self._added.items():
            beside = self._shards.get((name, *_place(shard)))
            added = load(beside, schema) if beside is not None else None
            if beside is not None and added is not None and added["key"] != rows["key"]:
                raise FormatError(f"{beside.index}: other records than {shard.index}; run `tessera verify`")
            for entry in arrow_schema(schema):
                if entry.name in OWN or (only is not None and entry.name not in only):
                    continue
                column = added[entry.name] if added is not None else pa.nulls(len(rows), entry.type)
                if entry.name.startswith("dim."):  # of a dimension that fields of both have, one may be absent
                    from pyarrow.compute import max_element_wise  # 10 MB that few data sets need

                    column = max_element_wise(columns.get(entry.name, pa.scalar(0, pa.int64())), column)
                columns[entry.name] = column
        whole = pa.schema([entry for entry in arrow_schema(self.schema) if entry.name in columns])
        return pa.table([columns[entry.name] for entry in whole], schema=whole)


def _place(shard: ShardEntry) -> tuple[str, int, int]:
    return shard.split, shard.group, shard.part
