"""One field of many records into one array."""

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codecs import CODECS, LARGE, MOST_INFLATION
from ..errors import FormatError
from ..regular import LARGEST
from ..schema import Field, Schema
from .baton import ASIDE, LONG
from .checksums import read_checked, read_part
from .cuts import Sample, Spans, Window
from .decoders import decoder
from .faults import Faults
from .files import Files, LocalFiles
from .rows import ABSENT, Places, Rows

RAW = ("npy", "npz")
TENSORS = frozenset(map(np.dtype, ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]))
CHUNK = 1 << 16  # stored elements that are decoded at once


@dataclass(frozen=True)
class Spot:
    """A record to be read: its shard's rows, its row, and the slot of the batch that fails with it."""

    rows: Rows
    row: int
    slot: int


class FieldReader:
    """Reads one field of a table into arrays of a batch.

    Args:
        schema: the table's schema.
        entry: the field.
        cut: the sample or window along its first axis, None for all of it.
        files: where the bytes come from.
        check: whether checksums are verified.
    """

    def __init__(self, schema: Schema, entry: Field, cut: Sample | Window | None, files: Files, check: bool) -> None:
        self.entry, self.cut, self.check = entry, cut, check
        self._schema, self._files = schema, files
        self.free = tuple(str(side) for side in entry.shape if side in schema.free)
        self.sides = schema.shape(entry, dict.fromkeys(schema.free, 1))
        self.dtype = np.dtype("O") if entry.dtype == "json" else np.dtype(entry.dtype)
        self.listed = entry.dtype == "json"
        if not self.listed and self.dtype not in TENSORS:
            raise FormatError(f"field {entry.name!r} of the schema: there are no tensors of dtype {entry.dtype}")
        self._stored = self.dtype
        if entry.storage is not None:
            self._stored = entry.storage.stored(self.dtype, self.sides)[0]
        self._decode = None if entry.codec in RAW else decoder(entry.codec)
        self._waits = not isinstance(files, LocalFiles)  # for a store; local files put the baton aside themselves
        self._scratch = threading.local()

    def shape(self, spot: Spot) -> tuple[int, ...]:
        """Shape of the field in a record, whole."""
        if not self.free:
            return self.sides
        sizes = {name: spot.rows.sizes[f"dim.{name}"].item(spot.row) for name in self.free}
        return self._schema.shape(self.entry, sizes)

    def refused(self, spot: Spot) -> FormatError | None:
        """Why no memory is taken for a record: its stored bytes cannot be an array of the shape that its index says."""
        place, shape = spot.rows.places[self.entry.name], self._stored_shape(self.shape(spot))
        size, stored = prod(shape) * self._stored.itemsize, place.size.item(spot.row)
        try:
            self._there(place, spot.row)
        except FormatError as error:
            return self._error(spot, error)
        if size == stored or (self._decode is not None and size <= max(LARGE, MOST_INFLATION * stored)):
            return None
        return self._error(spot, FormatError(f"{stored} bytes are no array {shape} of {self._stored}; refused"))

    def _there(self, place: Places, row: int) -> None:
        """Read the last byte of a large field, before memory is taken for all of it: the catalog may say anything."""
        size = place.size.item(row)
        if size > LARGE:
            self._files.read(place.shard, place.offset.item(row) + size - 1, memoryview(bytearray(1)))

    def present(self, spot: Spot) -> bool:
        """Whether the record has the field."""
        return bool(spot.rows.places[self.entry.name].offset.item(spot.row) != ABSENT)

    def values(self, spots: Sequence[Spot], faults: Faults) -> list[Any]:
        """JSON values (or texts) of the records; None where a record has none."""
        found: list[Any] = []
        for spot in spots:
            value = None
            if self.present(spot):
                try:
                    with ASIDE if self._waits else nullcontext():
                        data = self._bytes(spot.rows.places[self.entry.name], spot.row)
                    value = CODECS[self.entry.codec].decode(data, np.dtype("V"), ())
                except FormatError as error:
                    faults.add(spot.slot, self._error(spot, error))
            found.append(value)
        return found

    def fill(
        self,
        spots: Sequence[Spot],
        out: NDArray[Any],
        begins: Sequence[int],
        spans: Sequence[Spans] | None,
        faults: Faults,
    ) -> int:
        """Read the field of each record.

        Args:
            spots: the records that have it.
            out: one-dimensional view of the batch's array, in elements of the field's dtype.
            begins: where in `out` each record's elements begin.
            spans: of the first axis, the elements to take; None for all.
            faults: gets the records that fail.

        Returns:
            Bytes that were read.
        """
        if not spots:
            return 0
        target, starts = out, begins
        if self.entry.storage is not None:  # codes are read first, all of them
            lengths = [self._elements(spot, spans[i] if spans else None) for i, spot in enumerate(spots)]
            starts = np.cumsum([0, *lengths]).tolist()
            target = self._codes(starts[-1])
        view, total = memoryview(target.data).cast("B") if target.size else memoryview(b""), 0
        read = self._raw if self._decode is None else self._packed
        long = self._waits or target.nbytes >= LONG * max(len(spots), 1)
        with ASIDE if long else nullcontext():
            for number, spot in enumerate(spots):
                try:
                    total += read(spot, target, view, starts[number], spans[number] if spans else None)
                except FormatError as error:
                    faults.add(spot.slot, self._error(spot, error))
        if self.entry.storage is not None:
            with ASIDE if target.nbytes >= LONG else nullcontext():
                self._unpack(target, starts, out, begins)
        return total

    def _elements(self, spot: Spot, spans: Spans | None) -> int:
        """Stored elements that are taken of a record."""
        shape = self.shape(spot)
        if spans is not None:
            shape = (sum(count for _, count in spans), *shape[1:])
        return prod(self._stored_shape(shape))

    def _stored_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        storage = self.entry.storage
        return shape if storage is None else storage.stored(self.dtype, shape)[1]

    def _codes(self, size: int) -> NDArray[Any]:
        """Room for stored elements, in memory that the next call of this thread uses again."""
        codes = getattr(self._scratch, "codes", None)
        if codes is None or codes.size < size:
            codes = self._scratch.codes = np.empty(2 * size, self._stored)
        kept: NDArray[Any] = codes[:size]
        return kept

    def _unpack(self, codes: NDArray[Any], starts: Sequence[int], out: NDArray[Any], begins: Sequence[int]) -> None:
        """Decode the codes of all records, in pieces that stay in the processor's cache."""
        storage, narrow, wide = self.entry.storage, self._stored_shape(self.sides)[-1:], self.sides[-1:]
        assert storage is not None
        row, wide_row = (narrow[0], wide[0]) if narrow != wide else (1, 1)  # vectors may be stored by fewer numbers
        lengths = np.diff(starts) // row * wide_row
        together = np.array_equal(np.diff(begins), lengths[:-1])
        runs = [(0, begins[0], codes.size)] if together else list(zip(starts, begins, np.diff(starts), strict=False))
        step = CHUNK // row * row
        for start, begin, size in runs:
            for at in range(0, size, step):
                piece = codes[start + at : start + min(at + step, size)]
                values = storage.unpack(piece.reshape(-1, row) if row > 1 else piece, self.dtype).reshape(-1)
                low = begin + at // row * wide_row
                out[low : low + values.size] = values

    def _raw(self, spot: Spot, target: NDArray[Any], view: memoryview, start: int, spans: Spans | None) -> int:
        """Array bytes straight from the tar to their place."""
        place, row = spot.rows.places[self.entry.name], spot.row
        shape = self._stored_shape(self.shape(spot) if self.free else self.sides)
        each = prod(shape[1:]) * self._stored.itemsize
        size = shape[0] * each if shape else self._stored.itemsize
        if place.size.item(row) != size:
            raise FormatError(f"array size in bytes is {place.size.item(row)}, the schema says {size}")
        at = start * self._stored.itemsize
        if spans is None:
            if size:
                read_checked(place, row, view[at : at + size], self._files, check=self.check)
            return size
        total = 0
        for first, count in spans:
            self._inside(first, count, shape[0])
            part = view[at + total : at + total + count * each]
            read_part(place, row, first * each, part, self._files, check=self.check)
            total += count * each
        return total

    def _packed(self, spot: Spot, target: NDArray[Any], view: memoryview, start: int, spans: Spans | None) -> int:
        """A compressed array, decoded to its place."""
        place, shape = spot.rows.places[self.entry.name], self._stored_shape(self.shape(spot))
        size = prod(shape)
        if size * self._stored.itemsize > max(LARGE, MOST_INFLATION * place.size.item(spot.row)):
            raise FormatError(f"{place.size.item(spot.row)} bytes would inflate to {size} values: refused")
        data = self._bytes(place, spot.row)
        assert self._decode is not None
        if spans is None:
            self._decode(data, target[start : start + size].reshape(shape))
            return len(data)
        whole = np.empty(shape, self._stored)
        self._decode(data, whole)
        for first, count in spans:
            self._inside(first, count, shape[0])
            piece = whole[first : first + count].reshape(-1)
            target[start : start + piece.size] = piece
            start += piece.size
        return len(data)

    @staticmethod
    def _inside(first: int, count: int, size: int) -> None:
        if first < 0 or count < 1 or first + count > size:
            raise FormatError(f"elements {first} to {first + count} are asked for, it has {size}")

    def _bytes(self, place: Places, row: int) -> memoryview:
        """The stored bytes of a field, in memory that the next call of this thread uses again."""
        size = place.size.item(row)
        if size > LARGEST:
            raise FormatError(f"{size} bytes are to be decoded at once; refused: at most {LARGEST}")
        self._there(place, row)
        scratch = getattr(self._scratch, "data", None)
        if scratch is None or len(scratch) < size:
            scratch = self._scratch.data = memoryview(bytearray(max(2 * size, 1 << 16)))
        data: memoryview = scratch[:size]
        if size:
            read_checked(place, row, data, self._files, check=self.check)
        return data

    def _error(self, spot: Spot, error: FormatError) -> FormatError:
        key = spot.rows.keys[spot.row].as_py()
        tar = spot.rows.places[self.entry.name].shard.tar
        return type(error)(f"{tar}, record {key}, field {self.entry.name}: {error}")
