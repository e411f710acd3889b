"""One field of many records into one array."""

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codecs import CODECS, LARGE, MOST_INFLATION
from ..errors import FormatError, StoreError
from ..regular import LARGEST
from ..schema import Field, Schema
from .baton import ASIDE, LONG
from .checksums import read_checked, read_part, unchecked
from .cuts import Sample, Spans, Window
from .decoders import JpegWindows, decoder, jpeg_into
from .faults import Faults
from .files import Files, LocalFiles, Piece
from .rows import ABSENT, Places, Spot
from .unpacking import unpack

RAW = ("npy", "npz")
TENSORS = frozenset(map(np.dtype, ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]))
PictureWindow = tuple[int, int, int, int]  # first row, first column, rows, columns
AT_ONCE = 1 << 20  # bytes of texts that are read at once


class FieldReader:
    """Reads one field of a table into arrays of a batch.

    Args:
        schema: the table's schema.
        entry: the field.
        cut: the sample or window along its first axis, None for all of it.
        files: where the bytes come from.
        check: whether checksums are verified.
        factor: of a JPEG picture of fixed size, how many times smaller it is decoded.
        windowed: whether of a JPEG picture a window is enough.
    """

    def __init__(
        self, schema: Schema, entry: Field, cut: Sample | Window | None, files: Files, check: bool, factor: int = 1,
        *, windowed: bool = False,
    ) -> None:  # fmt: skip
        self.entry, self.cut, self.check, self.windowed = entry, cut, check, windowed
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
        if factor > 1:
            self._decode = partial(jpeg_into, factor=factor, whole=self.sides[:2])
            self.sides = (*(-(-side // factor) for side in self.sides[:2]), *self.sides[2:])
        self._fixed = None if self.free or self.listed else self._rows_of(self.sides)
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
        place = spot.rows.places[self.entry.name]
        return place.whole or place.offset.item(spot.row) != ABSENT

    def there(self, spots: Sequence[Spot]) -> list[int]:
        """Numbers of the records that have the field."""
        name = self.entry.name
        if all(spot.rows.places[name].whole for spot in spots):
            return list(range(len(spots)))
        return [number for number, spot in enumerate(spots) if self.present(spot)]

    def values(self, spots: Sequence[Spot], faults: Faults) -> list[Any]:
        """JSON values (or texts) of the records; None where a record has none."""
        found: list[Any] = [None] * len(spots)
        there = self.there(spots)
        size = sum(spots[i].rows.places[self.entry.name].size.item(spots[i].row) for i in there)
        for some in [there] if size <= AT_ONCE else [[i] for i in there]:
            for i, data in self._texts([(i, spots[i]) for i in some], faults):
                try:
                    found[i] = CODECS[self.entry.codec].decode(data, np.dtype("V"), ())
                except FormatError as error:
                    faults.add(spots[i].slot, self._error(spots[i], error))
        return found

    def _texts(self, numbered: Sequence[tuple[int, Spot]], faults: Faults) -> list[tuple[int, memoryview]]:
        """The stored bytes of some records, those aside that fail; the next call overwrites them."""
        sizes = [spot.rows.places[self.entry.name].size.item(spot.row) for _, spot in numbered]
        if sum(sizes) > LARGEST:
            faults.add(numbered[0][1].slot, self._error(numbered[0][1], _too_large(sum(sizes))))
            return []
        ends = [0, *accumulate(sizes)]
        room = self._room(ends[-1])
        with ASIDE if self._waits else nullcontext():
            failed = self._read_all([spot for _, spot in numbered], room, ends, None, faults)[1]
        return [(i, room[ends[n] : ends[n + 1]]) for n, (i, _) in enumerate(numbered) if n not in failed]

    def fill(
        self,
        spots: Sequence[Spot],
        out: NDArray[Any],
        begins: Sequence[int],
        spans: Sequence[Spans] | None,
        faults: Faults,
        windows: Sequence[PictureWindow | None] | None = None,
    ) -> int:
        """Read the field of each record.

        Args:
            spots: the records that have it.
            out: one-dimensional view of the batch's array, in elements of the field's dtype.
            begins: where in `out` each record's elements begin.
            spans: of the first axis, the elements to take; None for all.
            faults: gets the records that fail.
            windows: of pictures, what has to be decoded.

        Returns:
            Bytes that were read.
        """
        if not spots:
            return 0
        target, starts = out, begins
        if self.entry.storage is not None:  # codes are read first, all of them
            lengths = [self._elements(spot, spans[i] if spans else None) for i, spot in enumerate(spots)]
            starts = [0, *accumulate(lengths)]
            target = self._codes(starts[-1])
        view = memoryview(target.data).cast("B") if target.size else memoryview(b"")
        long = self._waits or target.nbytes >= LONG * max(len(spots), 1)
        with ASIDE if long else nullcontext():
            if self._decode is None:
                each = self._stored.itemsize
                total, _ = self._read_all(spots, view, [start * each for start in starts], spans, faults)
            else:
                total = self._packed_all(spots, target, starts, spans or windows, faults)
        if self.entry.storage is not None:
            with ASIDE if target.nbytes >= LONG else nullcontext():
                sides = self._stored_shape(self.sides)[-1:], self.sides[-1:]
                unpack(self.entry.storage, target, starts, out, begins, sides)
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

    def _read_all(
        self,
        spots: Sequence[Spot],
        view: memoryview,
        begins: Sequence[int],
        spans: Sequence[Spans] | None,
        faults: Faults,
    ) -> tuple[int, set[int]]:
        """Stored bytes straight from the tars to their places, all that need no check in one go.

        Args:
            spots: the records.
            view: the places' bytes.
            begins: where in `view` each record's bytes begin.
            spans: of the first axis, the elements to take; None for all.
            faults: gets the records that fail.

        Returns:
            Bytes that were read, and the numbers of the spots that failed.
        """
        pieces: list[Piece] = []
        owners: list[int] = []
        wrong: dict[int, FormatError] = {}
        if self.check and self._files.slow:
            self._hint(spots, spans)
        total, left = self._plan_even(spots, view, begins, spans, pieces, owners)
        for number in left:
            spot = spots[number]
            try:
                total += self._plan(spot, view, begins[number], spans[number] if spans else None, pieces)
            except StoreError as failure:  # told at once, the others are not asked for
                raise self._error(spot, failure) from failure
            except FormatError as failure:
                wrong[number] = failure
            owners += [number] * (len(pieces) - len(owners))
        for piece, error in self._files.read_many(pieces).items():
            wrong.setdefault(owners[piece], error)
        for number, error in wrong.items():
            faults.add(spots[number].slot, self._error(spots[number], error))
        return total, set(wrong)

    def _hint(self, spots: Sequence[Spot], spans: Sequence[Spans] | None) -> None:
        """Say what will be read one record after the other."""
        for number, spot in enumerate(spots):
            place, row = spot.rows.places[self.entry.name], spot.row
            offset, size = place.offset.item(row), place.size.item(row)
            if spans is None:
                self._files.hint(place.shard, offset, size)
            elif not place.verified:
                each = self._fixed[1] if self._fixed else self._rows_of(self.shape(spot))[1]
                for first, count in spans[number]:
                    self._files.hint(place.shard, offset + first * each, count * each)

    def _plan_even(
        self,
        spots: Sequence[Spot],
        view: memoryview,
        begins: Sequence[int],
        spans: Sequence[Spans] | None,
        pieces: list[Piece],
        owners: list[int],
    ) -> tuple[int, Sequence[int]]:
        """Note what is to be read of most records of most streams: nothing to verify, all of one size.

        Returns:
            Bytes that will be read, and the numbers of the records that `_plan` has to look at.
        """
        if self._fixed is None:
            return 0, range(len(spots))
        name, check, (rows, each) = self.entry.name, self.check, self._fixed
        whole, total, left = ((0, rows),), 0, []
        for number, spot in enumerate(spots):
            place, row, begin = spot.rows.places[name], spot.row, begins[number]
            if (check and not place.verified) or place.size.item(row) != rows * each:
                left.append(number)
                continue
            shard, offset = place.shard, place.offset.item(row)
            for first, count in spans[number] if spans else whole:
                if first < 0 or count < 1 or first + count > rows:
                    left.append(number)
                    break
                end = begin + count * each
                pieces.append((shard, offset + first * each, view[begin:end]))
                owners.append(number)
                total, begin = total + end - begin, end
        return total, left

    def _plan(self, spot: Spot, view: memoryview, begin: int, spans: Spans | None, pieces: list[Piece]) -> int:
        """Note what is to be read of a record; blocks that were not verified yet are read, and verified, now."""
        place, row = spot.rows.places[self.entry.name], spot.row
        offset, stored, check = place.offset.item(row), place.size.item(row), self.check and not place.verified
        rows, each = (stored, 1) if self.listed else self._fixed or self._rows_of(self.shape(spot))
        if stored != rows * each:
            raise FormatError(f"array size in bytes is {stored}, the schema says {rows * each}")
        if spans is None:
            out = view[begin : begin + stored]
            if check and unchecked(place, row, 0, stored):
                read_checked(place, row, out, self._files)
            elif stored:
                pieces.append((place.shard, offset, out))
            return stored
        at = begin
        for first, count in spans:
            if first < 0 or count < 1 or first + count > rows:
                raise self._outside(first, count, rows)
            low, end = first * each, at + count * each
            if check and unchecked(place, row, low, low + end - at):
                read_part(place, row, low, view[at:end], self._files)
            else:
                pieces.append((place.shard, offset + low, view[at:end]))
            at = end
        return at - begin

    def _rows_of(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Elements along the first axis as stored, and bytes of each."""
        stored = self._stored_shape(shape)
        return (stored[0] if stored else 1), prod(stored[1:]) * self._stored.itemsize

    def _packed_all(
        self,
        spots: Sequence[Spot],
        target: NDArray[Any],
        starts: Sequence[int],
        parts: Sequence[Spans | PictureWindow | None] | None,
        faults: Faults,
    ) -> int:
        """Compressed arrays, each decoded to its place; bytes that were read."""
        total = 0
        if self._files.slow:
            self._hint(spots, None)
        for number, spot in enumerate(spots):
            try:
                total += self._packed(spot, target, starts[number], parts[number] if parts else None)
            except FormatError as error:
                faults.add(spot.slot, self._error(spot, error))
        return total

    def _packed(self, spot: Spot, target: NDArray[Any], start: int, part: Spans | PictureWindow | None) -> int:
        """A compressed array, decoded to its place."""
        place, shape = spot.rows.places[self.entry.name], self._stored_shape(self.shape(spot))
        size = prod(shape)
        if size * self._stored.itemsize > max(LARGE, MOST_INFLATION * place.size.item(spot.row)):
            raise FormatError(f"{place.size.item(spot.row)} bytes would inflate to {size} values: refused")
        data = self._bytes(place, spot.row)
        assert self._decode is not None
        if not isinstance(part, list):
            out = target[start : start + size].reshape(shape)
            if part is None:
                self._decode(data, out)
            else:
                self._jpegs().decode(data, out, part)
            return len(data)
        whole = np.empty(shape, self._stored)
        self._decode(data, whole)
        for first, count in part:
            if first < 0 or count < 1 or first + count > shape[0]:
                raise self._outside(first, count, shape[0])
            piece = whole[first : first + count].reshape(-1)
            target[start : start + piece.size] = piece
            start += piece.size
        return len(data)

    def _jpegs(self) -> JpegWindows:
        jpegs: JpegWindows | None = getattr(self._scratch, "jpegs", None)
        if jpegs is None:
            jpegs = self._scratch.jpegs = JpegWindows()
        return jpegs

    @staticmethod
    def _outside(first: int, count: int, size: int) -> FormatError:
        return FormatError(f"elements {first} to {first + count} are asked for, it has {size}")

    def _bytes(self, place: Places, row: int) -> memoryview:
        """The stored bytes of a field, in memory that the next call of this thread uses again."""
        size = place.size.item(row)
        if size > LARGEST:
            raise _too_large(size)
        self._there(place, row)
        data = self._room(size)
        if self.check and unchecked(place, row, 0, size):
            read_checked(place, row, data, self._files)
        elif size:
            self._files.read(place.shard, place.offset.item(row), data)
        return data

    def _room(self, size: int) -> memoryview:
        """Room for stored bytes, in memory that the next call of this thread uses again."""
        scratch = getattr(self._scratch, "data", None)
        if scratch is None or len(scratch) < size:
            scratch = self._scratch.data = memoryview(bytearray(max(2 * size, 1 << 16)))
        room: memoryview = scratch[:size]
        return room

    def _error(self, spot: Spot, error: FormatError) -> FormatError:
        key = spot.rows.keys[spot.row].as_py()
        tar = spot.rows.places[self.entry.name].shard.tar
        return type(error)(f"{tar}, record {key}, field {self.entry.name}: {error}")


def _too_large(size: int) -> FormatError:
    return FormatError(f"{size} bytes are to be decoded at once; refused: at most {LARGEST}")
