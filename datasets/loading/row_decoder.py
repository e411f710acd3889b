"""PNG pictures whose rows are all filtered alike (`png_rows.py` writes such), decoded by whole rows."""

import zlib
from math import isqrt, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checksum import crc32
from ..errors import FormatError
from ..png_rows import NONE, UP

PEEK = 3  # rows that tell how the others are filtered
REST = 50  # pictures that are left to others after one that was inflated in vain
CHUNKS = 64  # pieces of one picture; more are left to others
SPARE = 1 << 10  # bytes, for what is compressed may be longer
LONGEST = 1 << 28  # bytes that are inflated at once


class RowDecoder:
    """Decodes such pictures; one for each thread, for it keeps the memory that rows are inflated into."""

    def __init__(self) -> None:
        self._room = np.empty(0, np.uint8)
        self._rest = 0

    def decode(self, data: memoryview, out: NDArray[Any]) -> bool:
        """Decode a picture into `out`, if its rows are all filtered alike.

        Args:
            data: the file, 29 bytes or more; its size and colours were compared with those of `out`.
            out: (height, width[, channels]) uint8 or uint16, C order.

        Returns:
            Whether it was; False where the file is of another kind, or cut short: another decoder shall tell.

        Raises:
            FormatError: it is damaged.
        """
        from imagecodecs import DeflateError, deflate_decode

        rows, row = out.shape[0], prod(out.shape[1:]) * out.itemsize + 1
        codes = _codes(data) if rows and row > 1 and rows * row <= LONGEST else None
        if self._rest:
            self._rest -= 1
            return False
        if codes is None or not _alike(_begin(codes, min(PEEK, rows) * row)[::row]):
            return False
        if self._room.size < rows * row:
            self._room = np.empty(rows * row, np.uint8)
        room = self._room[: rows * row]
        try:
            found = len(deflate_decode(codes, out=room))  # type: ignore[arg-type]  # any buffers will do
        except (DeflateError, ValueError) as error:
            if "INSUFFICIENT_SPACE" in str(error):  # more rows than there should be: libspng ends with the last
                return False
            raise FormatError(f"PNG picture is damaged: {error}") from error
        if found != len(room):
            raise FormatError(f"PNG picture is damaged: it holds {found} bytes, its rows take {len(room)}")
        stored = room.reshape(rows, row)
        if not _alike(stored[:, 0].tobytes()):  # of others, with a plain border: inflated in vain
            self._rest = REST
            return False
        values, up = stored[:, 1:], stored[-1, 0] == UP
        if out.itemsize > 1:
            if up:
                add_rows(values, values)
            out.reshape(rows, -1)[...] = np.ascontiguousarray(values).view(out.dtype.newbyteorder(">"))
        elif up:
            add_rows(values, out.reshape(rows, row - 1))
        else:
            out.reshape(rows, row - 1)[...] = values
        return True


def add_rows(rows: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Sums of all rows up to each, modulo 256.

    Groups of rows are summed side by side, then each gets the last row of the one before: some two times the square
    root of the height calls in all.

    Args:
        rows: (height, bytes).
        out: of the same shape, or `rows` itself.
    """
    height, width = rows.shape
    count = isqrt(height)
    size = height // count
    whole = count * size
    summands, sums = rows[:whole].reshape(count, size, width), out[:whole].reshape(count, size, width)
    sums[:, 0] = summands[:, 0]
    for place in range(1, size):
        np.add(sums[:, place - 1], summands[:, place], out=sums[:, place])
    for group in range(1, count):
        sums[group] += sums[group - 1, -1]
    for place in range(whole, height):
        np.add(out[place - 1], rows[place], out=out[place])


def _alike(filters: bytes) -> bool:
    """Whether all rows have one filter of two; above the first there is nothing, so that either is the same there."""
    known = bytes((NONE, UP))
    return bool(filters) and filters[0] in known and filters[-1] in known and filters[1:] == filters[-1:] * (
        len(filters) - 1
    )  # fmt: skip


def _begin(codes: memoryview | bytes, size: int) -> bytes:
    """The first bytes (1 or more) that were compressed; none where they cannot be read."""
    try:
        return zlib.decompressobj().decompress(codes[: size + SPARE], size)
    except zlib.error:
        return b""


def _codes(data: memoryview) -> memoryview | bytes | None:
    """What is compressed in a picture that consists of nothing but header, pixels and end; None for others.

    Raises:
        FormatError: a checksum differs (libspng does not look at that behind the last pixel).
    """
    if bytes(data[26:29]) != bytes(3):  # interlaced, or of another PNG than this one
        return None
    parts: list[memoryview] = []
    at = 8
    while at + 12 <= len(data):
        size, name = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8])
        end = at + 12 + size
        known = (at == 8) == (name == b"IHDR") and name in (b"IHDR", b"IDAT", b"IEND")
        if end > len(data) or not known or len(parts) == CHUNKS:
            return None
        if crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise FormatError(f"PNG picture is damaged: the checksum of its {name.decode()} differs")
        if name == b"IEND":
            return (parts[0] if len(parts) == 1 else b"".join(parts)) if parts else None
        if name == b"IDAT":
            parts.append(data[at + 8 : at + 8 + size])
        at = end
    return None
