"""Records of one table, and of those that they refer to, into the arrays of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..catalog import Catalog
from ..codecs import LARGE
from ..entries import ShardEntry
from ..errors import FormatError
from ..order import key_of, mix64
from ..regular import LARGEST
from ..schema import Reference
from .buffers import Memory
from .columns import column_values
from .cuts import LONGEST_POOL, Sample, Spans, Window, pool_spans, strata_spans, window_spans
from .faults import Faults
from .fields import FieldReader, Spot
from .files import Files
from .meter import Meter
from .records import Records, Wanted
from .request import Asked
from .rows import ABSENT

WHOLE = 4 << 20  # bytes of a field that is announced; of a larger one perhaps only slices are wanted
Arrays = dict[str, Any]  # name to numpy array, or to a list where values are texts or JSON


@dataclass(frozen=True)
class Rows:
    """Which records are read, and where they go.

    Attributes:
        numbers: (n,) record numbers.
        at: place of each in the output; the others of its `total` rows have no record.
        total: rows of the output.
        owners: slot of the batch that fails with each record.
        ids: (n,) numbers that draws are keyed by.
        starts: first element of each record's window, where windows are read.
    """

    numbers: NDArray[np.int64]
    at: Sequence[int]
    total: int
    owners: Sequence[int]
    ids: NDArray[np.int64]
    starts: NDArray[np.int64] | None = None


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
    """

    def __init__(
        self, catalog: Catalog, files: Files, asked: Asked, split: str | None, *,
        check: bool, own_keys: bool = True, nullable: bool = False,
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
        self.records = Records(catalog, files, asked.table, split, wanted, own_keys=own_keys)
        self._types = {column.name: column.type for column in schema.columns}
        self._fields = [FieldReader(schema, x, asked.cut(x), files, check) for x in asked.fields.values()]
        self._bounds = {name: FieldReader(schema, x, None, files, check) for name, x in bounds.items()}
        self._children = [
            (x, TableReader(catalog, files, child, None, check=check, own_keys=own_keys, nullable=not x.many))
            for x, child in asked.children.values()
        ]

    def read(self, rows: Rows, key: int, buffers: Memory, faults: Faults, meter: Meter) -> Arrays:
        """Arrays of the records; with faults, what they hold is of no use.

        Args:
            rows: which records.
            key: of the epoch's draws.
            buffers: where large arrays come from.
            faults: gets the records that fail.
            meter: gets seconds and bytes by field.
        """
        began = perf_counter()
        spots = self._spots(rows, faults)
        if faults:
            return {}
        spans = {name: self._spans(cut, spots, rows, key, faults) for name, cut in self.asked.cuts.items()}
        meter.add("index", perf_counter() - began)
        if faults:
            return {}
        out: Arrays = {}
        for field in self._fields:
            began = perf_counter()
            size = self._field(field, spots, rows, spans, buffers, faults, out)
            meter.add(self.asked.prefix + field.entry.name, perf_counter() - began, size)
        for name in self.asked.columns:
            values = [spot.rows.columns[name][spot.row].as_py() for spot in spots]
            out |= column_values(self.asked.prefix + name, self._types[name], values, rows.at, rows.total)
        for reference in self.asked.keys:
            found: list[Any] = [None] * rows.total
            for at, spot in zip(rows.at, spots, strict=True):
                found[at] = spot.rows.references[reference.name][spot.row].as_py()
            out[self.asked.prefix + reference.name] = found
        for reference, child in self._children:
            self._follow(reference, child, spots, rows, key, (buffers, faults, meter), out)
        return out

    def announce(self, numbers: NDArray[np.int64], files: Files) -> None:
        """Say that these records, and those that they refer to, will be read soon.

        Of a remote data set, many indexes and fields come at once then. What cannot be read is met again, and told,
        where the records are due.
        """
        where = self.records.where(numbers)
        self.records.open({shard for shard, _ in where})
        faults = Faults()
        spans: dict[str, tuple[ShardEntry, list[tuple[int, int]]]] = {}
        behind: dict[str, list[int]] = {reference.name: [] for reference, _ in self._children}
        for shard, row in where:
            try:
                spot = Spot(self.records.rows(shard), row, 0)
            except FormatError:
                continue
            for name in self.records.wanted.names:
                place = spot.rows.places[name]
                offset, size = place.offset.item(row), place.size.item(row)
                if offset != ABSENT and size <= WHOLE:
                    spans.setdefault(place.shard.index, (place.shard, []))[1].append((offset, size))
            for reference, child in self._children:
                behind[reference.name] += self._targets(reference, child, spot, faults)
        for entry, pieces in spans.values():
            files.prefetch(entry, pieces)
        for reference, child in self._children:
            if behind[reference.name]:
                child.announce(np.unique(np.array(behind[reference.name], np.int64)), files)

    def optional(self) -> set[str]:
        """Names of the fields that come with `.present`."""
        own = {self.asked.prefix + x.entry.name for x in self._fields if x.entry.optional or self._nullable}
        return own.union(*(child.optional() for _, child in self._children))

    def keys(self, numbers: NDArray[np.int64]) -> list[str]:
        """Keys of records."""
        return [self.records.rows(shard).keys[row].as_py() for shard, row in self.records.where(numbers)]

    def _spots(self, rows: Rows, faults: Faults) -> list[Spot]:
        found = []
        for (shard, row), slot in zip(self.records.where(rows.numbers), rows.owners, strict=True):
            try:
                found.append(Spot(self.records.rows(shard), row, slot))
            except FormatError as error:
                faults.add(slot, error)
        return found

    def _spans(
        self, cut: Sample | Window, spots: Sequence[Spot], rows: Rows, key: int, faults: Faults
    ) -> list[Spans | None]:
        """For each record, what it gives along the cut's dimension; None where it has nothing there."""
        fixed = self.schema.dimensions[cut.dimension]
        name = f"dim.{cut.dimension}"
        sizes = [fixed if fixed is not None else spot.rows.sizes[name].item(spot.row) for spot in spots]
        if isinstance(cut, Window):
            assert rows.starts is not None
            return list(window_spans(cut.count, rows.starts.tolist(), sizes))
        draws = key_of(key, self.asked.prefix + cut.dimension)
        if cut.bounds is None:
            spans = pool_spans(cut, np.clip(np.array(sizes, np.int64), 1, LONGEST_POOL), draws, rows.ids)
            return [piece if size else None for piece, size in zip(spans, sizes, strict=True)]
        return self._strata(cut, spots, rows, draws, faults)

    def _strata(self, cut: Sample, spots: Sequence[Spot], rows: Rows, key: int, faults: Faults) -> list[Spans | None]:
        reader = self._bounds[cut.dimension]
        there = [number for number, spot in enumerate(spots) if reader.present(spot)]
        found: list[Spans | None] = [None] * len(spots)
        if not there:
            return found
        bounds = np.zeros((len(there), *reader.shape(spots[there[0]])), reader.dtype)
        flat, width = bounds.reshape(-1), bounds.shape[-1]
        reader.fill([spots[i] for i in there], flat, [i * width for i in range(len(there))], None, faults)
        for number, piece in zip(there, strata_spans(cut, bounds.astype(np.int64), key, rows.ids[there]), strict=True):
            if isinstance(piece, FormatError):
                faults.add(spots[number].slot, FormatError(f"{_where(spots[number])}: {piece}"))
            else:
                found[number] = piece
        return found

    def _field(
        self,
        field: FieldReader,
        spots: Sequence[Spot],
        rows: Rows,
        spans: dict[str, list[Spans | None]],
        buffers: Memory,
        faults: Faults,
        out: Arrays,
    ) -> int:
        """One field of all records; returns the bytes that were read."""
        name, at = self.asked.prefix + field.entry.name, rows.at
        there = [i for i, spot in enumerate(spots) if field.present(spot)]
        if field.entry.optional or self._nullable:  # whatever this batch holds: all batches have the same names
            present = np.zeros(rows.total, bool)
            present[[at[i] for i in there]] = True
            out[f"{name}.present"] = present
        elif len(there) < len(spots):
            for spot in (spot for spot in spots if not field.present(spot)):
                faults.add(spot.slot, FormatError(f"{_where(spot)} lacks field {name}"))
            return 0
        if field.listed:
            out[name] = [None] * rows.total
            for place, value in zip(at, field.values(spots, faults), strict=True):
                out[name][place] = value
            return sum(spots[i].rows.places[field.entry.name].size.item(spots[i].row) for i in there)
        cut = spans.get(field.cut.dimension) if field.cut else None
        empty = [i for i in there if cut is not None and cut[i] is None]
        if empty:
            for spot in (spots[i] for i in empty):
                faults.add(spot.slot, FormatError(f"{_where(spot)}: its pool {name!r} is empty"))
            return 0
        chosen = [spots[i] for i in there]
        if self._refused(field, chosen, rows.total, faults):
            return 0
        pieces = None if cut is None else [cut[i] or [] for i in there]
        places = [at[i] for i in there]
        if field.free and (cut is None or field.free != field.entry.shape[:1]):
            return self._packed(field, name, chosen, places, rows.total, pieces, (buffers, faults), out)
        shape = (field.cut.count, *field.sides[1:]) if field.cut else field.sides
        array = buffers.array((rows.total, *shape), field.dtype)
        if len(there) < rows.total:
            array[sorted(set(range(rows.total)).difference(places))] = 0
        out[name] = array
        each = array[0].size if len(array) else 0
        size = field.fill(chosen, array.reshape(-1), [place * each for place in places], pieces, faults)
        if isinstance(field.cut, Window) and pieces:
            _extend(array, places, [piece[0][1] for piece in pieces])
        return size

    def _refused(self, field: FieldReader, spots: Sequence[Spot], total: int, faults: Faults) -> bool:
        """Whether there are records whose shape is that of no such bytes: an index may say anything."""
        size = total * prod(field.sides) * field.dtype.itemsize
        if not field.free and size <= LARGE:  # seen when they are read
            return False
        found = [(spot.slot, error) for spot in spots if (error := field.refused(spot)) is not None]
        for slot, error in found:
            faults.add(slot, error)
        if not spots and total and size // total > LARGEST:
            raise FormatError(
                f"{self.records.name}: field {field.entry.name} of {size // total} bytes, nowhere; refused"
            )
        return bool(found)

    @staticmethod
    def _packed(
        field: FieldReader,
        name: str,
        spots: Sequence[Spot],
        places: Sequence[int],
        total: int,
        pieces: Sequence[Spans] | None,
        tools: tuple[Memory, Faults],
        out: Arrays,
    ) -> int:
        """A field whose size differs from record to record: values one behind the other, and offsets."""
        buffers, faults = tools
        shapes = np.zeros((total, len(field.sides)), np.int64)
        for place, spot in zip(places, spots, strict=True):
            shapes[place] = field.shape(spot)
        if pieces is not None:
            shapes[list(places), 0] = [sum(count for _, count in piece) for piece in pieces]
        rowed = field.free == (str(field.entry.shape[0]),) and field.entry.shape.count(field.free[0]) == 1
        lengths = shapes[:, 0] if rowed else shapes.prod(1)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        array = buffers.array((int(offsets[-1]), *(field.sides[1:] if rowed else ())), field.dtype)
        each = int(np.prod(field.sides[1:])) if rowed else 1
        out |= {name: array, f"{name}.offsets": offsets}
        if not rowed:
            out[f"{name}.shapes"] = shapes
        return field.fill(spots, array.reshape(-1), (offsets[list(places)] * each).tolist(), pieces, faults)

    def _follow(
        self,
        reference: Reference,
        child: "TableReader",
        spots: Sequence[Spot],
        rows: Rows,
        key: int,
        tools: tuple[Memory, Faults, Meter],
        out: Arrays,
    ) -> None:
        """The records that a reference names, by way of their table's own reader."""
        name, faults = reference.name, tools[1]
        found = [self._targets(reference, child, spot, faults) for spot in spots]
        prefix = self.asked.prefix + name
        if reference.many:
            lengths = np.zeros(rows.total, np.int64)
            lengths[list(rows.at)] = [len(each) for each in found]
            out[f"{prefix}.offsets"] = np.concatenate([[0], np.cumsum(lengths)])
            order = np.argsort(rows.at, kind="stable").tolist()
            flat = [(number, i) for i in order for number in found[i]]
            at: Sequence[int] = range(len(flat))
            total = len(flat)
        else:
            flat = [(each[0], i) for i, each in enumerate(found) if each]
            at, total = [rows.at[i] for _, i in flat], rows.total
        if faults:
            return
        numbers = np.array([number for number, _ in flat], np.int64)
        parents = [i for _, i in flat]
        ids = (mix64(rows.ids[parents], numbers) >> np.uint64(2)).astype(np.int64) if parents else numbers
        behind = Rows(numbers, at, total, [rows.owners[i] for i in parents], ids)
        out |= child.read(behind, key, *tools)

    @staticmethod
    def _targets(reference: Reference, child: "TableReader", spot: Spot, faults: Faults) -> list[int]:
        """Numbers of the records that a record refers to."""
        known = spot.rows.targets.setdefault(reference.name, {})
        if spot.row not in known:
            value = spot.rows.references[reference.name][spot.row].as_py()
            keys = value if reference.many else [value]
            try:
                known[spot.row] = [child.records.find(key) for key in keys or () if key is not None]
            except KeyError as error:
                key = spot.rows.keys[spot.row].as_py()
                where = f"{spot.rows.shard.index}, record {key}: {reference.name} names {error.args[0]!r}"
                faults.add(spot.slot, FormatError(f"{where}, which is not in table {reference.table!r}"))
                return []
            except FormatError as error:
                faults.add(spot.slot, error)
                return []
        return known[spot.row]


def _where(spot: Spot) -> str:
    """Shard and key of a record, for messages."""
    return f"{spot.rows.shard.tar}, record {spot.rows.keys[spot.row].as_py()}"


def _extend(array: NDArray[Any], places: Sequence[int], lengths: Sequence[int]) -> None:
    """Repeat the last element of windows that reach behind their sequence's end."""
    for place, length in zip(places, lengths, strict=True):
        if length < array.shape[1]:
            array[place, length:] = array[place, length - 1]
