"""Rows of one shard's index as arrays: where each field of each record lies, and what has been checked of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..codecs import LARGE, MOST_INFLATION
from ..entries import ShardEntry
from ..errors import FormatError
from ..members import CHECKSUM_BLOCK, FINE_BLOCK, block_of
from ..schema import Reference

ABSENT = -1


@dataclass
class Places:
    """Where one field lies in a shard's tar, record by record.

    Attributes:
        shard: the shard whose tar holds it.
        offset: (N,) int64 byte of the array data, `ABSENT` where a record lacks the field.
        size: (N,) int64 bytes.
        block: (N + 1,) int64 number of the first checksum of each record.
        crc: (blocks,) uint32 CRC-32 of each block.
        checked: one byte a block, 1 once it was found right.
        fine: whether blocks of large fields are the small ones.
        whole: whether every record has the field.
        verified: whether all blocks were found right.
    """

    shard: ShardEntry
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    block: NDArray[np.int64]
    crc: NDArray[np.uint32]
    checked: bytearray
    fine: bool
    whole: bool
    verified: bool = False

    def each(self, row: int) -> int:
        """Bytes of a block of a record."""
        return block_of(self.size.item(row), fine=True) if self.fine else CHECKSUM_BLOCK

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.offset.nbytes + self.size.nbytes + self.block.nbytes + self.crc.nbytes + len(self.checked)


class Rows:
    """What a stream needs of one shard's index.

    Args:
        shard: the shard.
        table: its rows, sidecars' columns joined, of the columns asked for.
        fields: names of the fields asked for, and the shard that holds each.
        references: those that are followed, or asked for by their keys.
        columns: names of the scalar columns asked for, free dimensions (`dim.points`) included.

    Raises:
        FormatError: offsets and sizes that no tar of this size has; the message names the index.
    """

    def __init__(
        self,
        shard: ShardEntry,
        table: pa.Table,
        fields: dict[str, ShardEntry],
        references: Sequence[Reference],
        columns: Sequence[str],
    ) -> None:
        self.shard = shard
        self.keys = table["key"].combine_chunks()
        self.places = {name: _places(home, table, name) for name, home in fields.items()}
        self.references = {entry.name: table[entry.name].combine_chunks() for entry in references}
        self.columns: dict[str, Any] = {name: table[name].combine_chunks() for name in columns}
        self.sizes = {
            name: whole_numbers(column)
            for name, column in self.columns.items() if name.startswith("dim.")
        }  # fmt: skip
        for name, values in self.sizes.items():
            check_sizes(shard, name, values)
        self._numbers: dict[str, int] | None = None
        self._arrays = sum(place.nbytes for place in self.places.values()) + self.keys.nbytes
        self._arrays += sum(column.nbytes for column in (*self.columns.values(), *self.references.values()))

    @property
    def nbytes(self) -> int:
        """Memory that it takes by now: numbers by key come when they are wanted."""
        return self._arrays + 128 * len(self._numbers or ())

    def __len__(self) -> int:
        """Number of records."""
        return len(self.keys)

    def find(self, key: str) -> int | None:
        """Row of a key, None where it is not here."""
        if self._numbers is None:
            self._numbers = {name: row for row, name in enumerate(self.keys.to_pylist())}
        return self._numbers.get(key)


@dataclass(slots=True)  # not frozen: one is made for every record, which would take three times as long
class Spot:
    """A record to be read: its shard's rows, its row, and the slot of the batch that fails with it."""

    rows: Rows
    row: int
    slot: int


def whole_numbers(column: pa.Array, absent: int = 0) -> NDArray[np.int64]:
    """(N,) int64 values of an Arrow array of 32-bit or 64-bit integers, `absent` where it has none.

    From its buffers: Arrow's own conversions import `pyarrow.compute`, and pandas where that is installed, which takes
    longest of all.
    """
    if not len(column):
        return np.zeros(0, np.int64)
    values = column.buffers()[1]
    dtype = np.dtype(f"int{column.type.bit_width}")
    numbers = np.frombuffer(values, dtype, len(column), dtype.itemsize * column.offset).astype(np.int64, copy=False)
    return np.where(_absent(column), absent, numbers) if column.null_count else numbers


def _absent(column: pa.Array) -> NDArray[np.bool_]:
    """(N,) which rows of an Arrow array that has some are null."""
    bits = np.unpackbits(np.frombuffer(column.buffers()[0], np.uint8), bitorder="little")
    return ~bits[column.offset :][: len(column)].astype(bool)


def check_sizes(shard: ShardEntry, name: str, sizes: NDArray[np.int64]) -> None:
    """Refuse sizes of a free dimension that no array in a tar of this size has.

    Raises:
        FormatError: with the index.
    """
    if len(sizes) and not 0 <= sizes.min() <= sizes.max() <= max(LARGE, MOST_INFLATION * shard.bytes):
        raise FormatError(f"{shard.index}: {name} of a record is none; run `tessera verify`")


def _places(shard: ShardEntry, table: pa.Table, name: str) -> Places:
    offset = whole_numbers(table[f"{name}.offset"].combine_chunks(), ABSENT)
    size = whole_numbers(table[f"{name}.size"].combine_chunks(), ABSENT)
    crc, start = _checksums(table[f"{name}.crc"].combine_chunks())
    there = offset != ABSENT
    counts = np.diff(start)
    fits = [fine for fine in (False, True) if np.array_equal(counts, np.where(there, _blocks(size, fine=fine), 0))]
    inside = (offset >= 0) & (size >= 0) & (size <= shard.bytes) & (offset <= shard.bytes - size)
    if not fits or not np.array_equal(there, there & inside):
        raise FormatError(f"{shard.index}: offsets of field {name!r} do not fit its tar; run `tessera verify`")
    return Places(shard, offset, np.where(there, size, 0), start, crc, bytearray(len(crc)), fits[0], bool(there.all()))


def _blocks(sizes: NDArray[np.int64], *, fine: bool) -> NDArray[np.int64]:
    """(N,) numbers of checksums of fields."""
    return -(-sizes // np.where(fine & (sizes > CHECKSUM_BLOCK), FINE_BLOCK, CHECKSUM_BLOCK))


def _checksums(lists: pa.ListArray) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """All checksums of a column, and where those of each row begin; a row without any is none."""
    bounds, flat = whole_numbers(lists.offsets), lists.values
    values = np.frombuffer(flat.buffers()[1], np.uint32, len(flat), 4 * flat.offset) if len(flat) else _NONE
    values, lengths = values[bounds[0] : bounds[-1]], np.diff(bounds)
    if lists.null_count:  # what rows that are null point to is nobody's
        there = ~_absent(lists)
        values, lengths = values[np.repeat(there, lengths)], np.where(there, lengths, 0)
    return values, np.concatenate([[0], np.cumsum(lengths)])


_NONE = np.zeros(0, np.uint32)
