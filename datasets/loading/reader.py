"""Records of one table, and of those that they refer to, into the arrays of a batch."""

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalog import Catalog
from ..entries import ShardEntry
from ..errors import FormatError
from ..order import key_of, mix64
from ..schema import Reference
from .buffers import Memory
from .columns import column_values
from .cuts import Sample
from .delivery import deliver
from .draws import spans_of
from .faults import Faults
from .fields import FieldReader
from .files import Files
from .meter import Meter
from .picked import Arrays, Picked
from .records import MOST_BYTES, Records, Wanted
from .request import Asked
from .rows import ABSENT, Spot

MOST_TARGETS = 1 << 17  # records of a reference's table that are remembered, some 40 MB
WHOLE, SLICED = 1 << 30, 1 << 18  # bytes of a field that is announced: as it is, and where only a part of it is read


class TableReader:
    """Reads what was asked of one table.

    Args:
        catalog: the data set's catalog.
        files: where its bytes come from.
        asked: what is wanted.
        split: only records of this split, None for all.
        check: whether checksums are verified.
        own_keys: whether keys keep Tessera's rules.
        nullable: whether rows of the output may have no record: it is behind a reference that may be null.
        index_bytes: of the indexes that are kept open, of each table.
    """

    def __init__(
        self, catalog: Catalog, files: Files, asked: Asked, split: str | None, *,
        check: bool, own_keys: bool = True, nullable: bool = False, index_bytes: int = MOST_BYTES,
    ) -> None:  # fmt: skip
        schema = catalog.schema(asked.table)
        bounds = {cut.dimension: cut.bounds for cut in asked.cuts.values() if isinstance(cut, Sample) and cut.bounds}
        hidden = {entry.name: entry for entry in bounds.values()}
        references = {entry.name: entry for entry in asked.keys}
        references |= {name: reference for name, (reference, _) in asked.children.items()}
        dimensions = [f"dim.{name}" for name in asked.cuts if name in schema.free]
        wanted = Wanted(
            tuple((asked.fields | hidden).values()), tuple(references.values()), (*asked.columns, *dimensions)
        )
        self.asked, self.schema, self._nullable = asked, schema, nullable
        self.records = Records(
            catalog, files, asked.table, split, wanted, own_keys=own_keys, check=check, most_bytes=index_bytes
        )
        self._known: dict[str, dict[int, list[int]]] = {name: {} for name in asked.children}
        self._types = {column.name: column.type for column in schema.columns}
        self._fields = [
            FieldReader(
                schema, x, asked.cut(x), files, check, asked.reduced.get(name, 1), windowed=name in asked.windowed
            )
            for name, x in asked.fields.items()
        ]
        self._bounds = {name: FieldReader(schema, x, None, files, check) for name, x in bounds.items()}
        self._children = [
            (
                x,
                TableReader(
                    catalog, files, child, None,
                    check=check, own_keys=own_keys, nullable=not x.many, index_bytes=index_bytes,
                ),
            )
            for x, child in asked.children.values()
        ]  # fmt: skip

    def read(self, picked: Picked, key: int, buffers: Memory, faults: Faults, meter: Meter) -> Arrays:
        """Arrays of the records, and `key`, their keys, of the stream's own table; with faults, they are of no use.

        Args:
            picked: which records.
            key: of the epoch's draws.
            buffers: where large arrays come from.
            faults: gets the records that fail.
            meter: gets seconds and bytes by field.
        """
        began = perf_counter()
        spots = self._spots(picked, faults)
        if faults:
            return {}
        spans = {
            name: spans_of(
                cut, self.schema.dimensions[name], self._bounds.get(name), spots, picked,
                key_of(key, self.asked.prefix + name), faults,
            )
            for name, cut in self.asked.cuts.items()
        }  # fmt: skip
        meter.add("index", perf_counter() - began)
        if faults:
            return {}
        out: Arrays = {} if self.asked.prefix else {"key": [spot.rows.keys[spot.row].as_py() for spot in spots]}
        for field in self._fields:
            began, name = perf_counter(), self.asked.prefix + field.entry.name
            cut = spans.get(field.cut.dimension) if field.cut else None
            optional = field.entry.optional or self._nullable
            size = deliver(field, name, spots, picked, cut, (buffers, faults), out, optional=optional)
            meter.add(name, perf_counter() - began, size)
        for name in self.asked.columns:
            values = [spot.rows.columns[name][spot.row].as_py() for spot in spots]
            out |= column_values(self.asked.prefix + name, self._types[name], values, picked.at, picked.total)
        for reference in self.asked.keys:
            found: list[Any] = [None] * picked.total
            for at, spot in zip(picked.at, spots, strict=True):
                found[at] = spot.rows.references[reference.name][spot.row].as_py()
            out[self.asked.prefix + reference.name] = found
        for reference, child in self._children:
            self._follow(reference, child, spots, picked, key, (buffers, faults, meter), out)
        return out

    def announce(self, numbers: NDArray[np.int64], files: Files) -> None:
        """Say that these records, and those that they refer to, will be read soon.

        Of a remote data set, many indexes and fields come at once then. What cannot be read is met again, and told,
        where the records are due.
        """
        announced = dict.fromkeys(self.records.wanted.names, WHOLE)
        announced |= {x.entry.name: SLICED for x in self._fields if x.cut is not None}  # only a part of it is read
        where = self.records.where(numbers)
        self.records.open({shard for shard, _ in where})
        faults, spots = Faults(), []
        found: list[int] = []
        spans: dict[str, tuple[ShardEntry, list[tuple[int, int]]]] = {}
        behind: dict[str, list[int]] = {reference.name: [] for reference, _ in self._children}
        for number, (shard, row) in zip(numbers.tolist(), where, strict=True):
            try:
                spot = Spot(self.records.rows(shard), row, 0)
            except FormatError:
                continue
            for name in announced:
                place = spot.rows.places[name]
                offset, size = place.offset.item(row), place.size.item(row)
                if offset != ABSENT and size <= announced[name]:
                    spans.setdefault(place.shard.index, (place.shard, []))[1].append((offset, size))
            spots.append(spot)
            found.append(number)
        for reference, child in self._children:
            named = (_named(reference, spot) for spot in spots)
            child.records.expect(key for keys in named for key in keys)
            for number, spot in zip(found, spots, strict=True):
                behind[reference.name] += self._targets(reference, child, number, spot, faults)
        for entry, pieces in spans.values():
            files.prefetch(entry, pieces)
        for reference, child in self._children:
            if behind[reference.name]:
                child.announce(np.unique(np.array(behind[reference.name], np.int64)), files)

    @property
    def windowed(self) -> bool:
        """Whether of some pictures only a window is decoded, which `Picked.chance` tells."""
        return any(field.windowed for field in self._fields) or any(child.windowed for _, child in self._children)

    def has(self, name: str, number: int) -> bool:
        """Whether a record may have a field, by its index; True for a field behind a reference.

        Raises:
            FormatError: the index cannot be read.
        """
        if name not in self.asked.fields:
            return True
        ((shard, row),) = self.records.where(np.array([number]))
        place = self.records.rows(shard).places[name]
        return bool(place.whole or place.offset.item(row) != ABSENT)

    def optional(self) -> set[str]:
        """Names of the fields that come with `.present`."""
        own = {self.asked.prefix + x.entry.name for x in self._fields if x.entry.optional or self._nullable}
        return own.union(*(child.optional() for _, child in self._children))

    def _spots(self, picked: Picked, faults: Faults) -> list[Spot]:
        found = []
        for (shard, row), slot in zip(self.records.where(picked.numbers), picked.owners, strict=True):
            try:
                found.append(Spot(self.records.rows(shard), row, slot))
            except FormatError as error:
                faults.add(slot, error)
        return found

    def _follow(
        self,
        reference: Reference,
        child: "TableReader",
        spots: Sequence[Spot],
        picked: Picked,
        key: int,
        tools: tuple[Memory, Faults, Meter],
        out: Arrays,
    ) -> None:
        """The records that a reference names, by way of their table's own reader."""
        name, faults = reference.name, tools[1]
        each = zip(picked.numbers.tolist(), spots, strict=True)
        found = [self._targets(reference, child, number, spot, faults) for number, spot in each]
        prefix = self.asked.prefix + name
        if reference.many:
            lengths = np.zeros(picked.total, np.int64)
            lengths[list(picked.at)] = [len(each) for each in found]
            out[f"{prefix}.offsets"] = np.concatenate([[0], np.cumsum(lengths)])
            order = np.argsort(picked.at, kind="stable").tolist()
            flat = [(number, i) for i in order for number in found[i]]
            at: Sequence[int] = range(len(flat))
            total = len(flat)
        else:
            flat = [(each[0], i) for i, each in enumerate(found) if each]
            at, total = [picked.at[i] for _, i in flat], picked.total
        if faults:
            return
        numbers = np.array([number for number, _ in flat], np.int64)
        parents = [i for _, i in flat]
        ids = (mix64(picked.ids[parents], numbers) >> np.uint64(2)).astype(np.int64) if parents else numbers
        behind = Picked(numbers, at, total, [picked.owners[i] for i in parents], ids, chance=picked.chance)
        out |= child.read(behind, key, *tools)

    def _targets(
        self, reference: Reference, child: "TableReader", number: int, spot: Spot, faults: Faults
    ) -> list[int]:
        """Numbers of the records that a record refers to."""
        known = self._known[reference.name]
        targets = known.get(number)
        if targets is None:
            try:
                targets = [child.records.find(key) for key in _named(reference, spot)]
            except KeyError as error:
                key = spot.rows.keys[spot.row].as_py()
                where = f"{spot.rows.shard.index}, record {key}: {reference.name} names {error.args[0]!r}"
                faults.add(spot.slot, FormatError(f"{where}, which is not in table {reference.table!r}"))
                return []
            except FormatError as error:
                faults.add(spot.slot, error)
                return []
            if len(known) >= MOST_TARGETS:
                known.clear()
            known[number] = targets
        return targets


def _named(reference: Reference, spot: Spot) -> list[str]:
    """Keys that a record names."""
    value = spot.rows.references[reference.name][spot.row].as_py()
    return [key for key in (value if reference.many else [value]) or () if key is not None]
