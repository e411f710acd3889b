"""Writer of one group's sidecar shards: a label added later, with the keys, order and parts of the group's own."""

import sys
from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .entries import BASE
from .errors import SchemaError
from .index import ShardFacts, index_row, read_facts, read_rows
from .members import encode_record
from .schema import Schema
from .shard import ShardWriter, shard_stem


@dataclass(frozen=True)
class BasePart:
    """One shard that gets a sidecar.

    Attributes:
        sha256: of its tar; empty where it has none.
        units: keys by unit, both in the order of the shard.
        sizes: by key, the sizes of free dimensions that the record's own fields have.
    """

    sha256: str
    units: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """Number of records."""
        return sum(len(keys) for keys in self.units.values())


def read_base(folder: Path, table: str, group: int, schema: Schema) -> list[BasePart]:
    """The committed shards of a group, part by part.

    Args:
        folder: of the split.
        table: table name.
        group: number of the group.
        schema: of the table, without what was added.

    Raises:
        FormatError: an index is missing or damaged.
    """
    parts: list[BasePart] = []
    count = 1
    while len(parts) < count:
        index = folder / f"{shard_stem(table, group, len(parts))}.parquet"
        facts = read_facts(index)
        count = facts.parts
        part = BasePart(facts.tar_sha256)
        if facts.tar is not None:
            uses = {x.name: [n for n in x.shape if n in schema.free] for x in schema.fields}
            uses = {name: dimensions for name, dimensions in uses.items() if dimensions}
            columns = ["key", "unit", *(f"{name}.offset" for name in uses), *(f"dim.{name}" for name in schema.free)]
            for row in read_rows(index, columns).to_pylist():
                part.units.setdefault(row["unit"], []).append(row["key"])
                there = {d for name, used in uses.items() if row[f"{name}.offset"] is not None for d in used}
                if there:
                    part.sizes[row["key"]] = {str(d): row[f"dim.{d}"] for d in there}
        parts.append(part)
    return parts


class SidecarWriter(ShardWriter):
    """Like `ShardWriter`, for a label of records that are there already.

    Between `begin` and the next one every key of the unit is given once, in any order: with `add`, or, where it cannot
    have the label, with `leave`. Records are written in the order of the shards that they belong to.

    Args:
        folder: the split's folder.
        table: table name.
        split: split name.
        group: number of the group.
        label: name of the label.
        schema: what the label adds, every field optional.
        strict: the same as the label declares it.
        base: the shards that get a sidecar each.
        run: the run's id.
    """

    def __init__(
        self, folder: Path, table: str, split: str, group: int, *, label: str, schema: Schema, strict: Schema,
        base: list[BasePart], run: str,
    ) -> None:  # fmt: skip
        super().__init__(folder, table, split, group, schema, run=run, limit=sys.maxsize)
        self.label, self.strict, self.base = label, strict, base
        self._waiting: deque[str] = deque()
        self._ready: dict[str, tuple[dict[str, Any], bytes]] = {}

    def keys(self, unit: str) -> list[str]:
        """Keys of a unit, in the order of the shards."""
        return [key for part in self.base for key in part.units.get(unit, ())]

    def begin(self, unit: str) -> None:
        """Name the unit whose records follow."""
        super().begin(unit)
        self._waiting, self._ready = deque(self.keys(unit)), {}

    def expect(self, keys: Set[str]) -> None:
        """Leave every record of the unit that was not given yet and is not among `keys`."""
        for key in [key for key in self._waiting if key not in keys and key not in self._ready]:
            self.leave(key)

    def wants(self, key: str) -> bool:
        """Whether the unit has a record of this key that was not given yet."""
        return key in self._waiting and key not in self._ready

    def add(self, key: str, values: Mapping[str, Any], scalars: Mapping[str, Any]) -> int:
        """Give the label of one record; returns its bytes in the tar.

        Raises:
            SchemaError: it does not keep the schema, or has another size than the record's own fields.
        """
        with self.stages("encode"):
            encoded = encode_record(self.strict, key, values, bare=True)
            for name, size in next((p.sizes[key] for p in self.base if key in p.sizes), {}).items():
                bound = any(name in x.shape and x.name in encoded.places for x in self.strict.fields)
                if bound and encoded.sizes[name] != size:
                    raise SchemaError(f"dimension {name!r}: {encoded.sizes[name]}, the record's own fields have {size}")
            row = index_row(self.strict, key, self._unit, len(encoded.data), encoded.places, encoded.sizes, scalars)
        self._give(key, row, encoded.data)
        return len(encoded.data)

    def leave(self, key: str) -> None:
        """Give a record without the label: its fields are absent, its columns None."""
        encoded = encode_record(self.schema, key, {}, bare=True)
        names = [column.name for column in self.schema.columns] + [x.name for x in self.schema.references]
        row = index_row(self.schema, key, self._unit, len(encoded.data), {}, encoded.sizes, dict.fromkeys(names))
        self._give(key, row, encoded.data)

    def _give(self, key: str, row: dict[str, Any], data: bytes) -> None:
        self._ready[key] = row, data
        while self._waiting and self._waiting[0] in self._ready:
            self.append(*self._ready.pop(self._waiting.popleft()))

    def append(self, row: dict[str, Any], data: bytes) -> None:
        """Append tar bytes of one record, in a part of their own where the shards begin one."""
        if self._parts and len(self._parts[-1].rows) == self.base[len(self._parts) - 1].records:
            self._new_part()
        super().append(row, data)

    def commit(
        self, fingerprints: Mapping[str, str], rejects: list[dict[str, str]], made_from: dict[str, Any]
    ) -> list[ShardFacts]:
        """Make the sidecar shards final.

        Raises:
            SchemaError: they do not hold exactly the records of the shards that they belong to.
        """
        ours = [[row["key"] for row in part.rows] for part in self._parts]
        theirs = [[key for keys in part.units.values() for key in keys] for part in self.base if part.records]
        if ours != theirs:
            raise SchemaError(f"{self._stem(0)}: not the records of {shard_stem(self.table, self.group, 0)}")
        return super().commit(fingerprints, rejects, made_from)

    def _facts(self, number: int, *others: Any) -> ShardFacts:
        facts = super()._facts(number, *others)
        return replace(facts, made_from={**facts.made_from, BASE: self.base[number].sha256})
