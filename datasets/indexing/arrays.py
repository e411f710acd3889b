"""Headers of `.npy` files and the table of contents of `.npz` archives, with every size checked."""

import io
import struct
import threading
from collections.abc import Iterator
from functools import lru_cache
from math import prod
from tokenize import TokenError
from typing import NamedTuple

import numpy as np

from ..errors import FormatError

TRIES = 5
_PARSING = threading.Lock()
LONGEST = 10_000  # bytes of an `.npy` header, numpy's own limit
MOST = 1 << 48  # size of an axis
MOST_MEMBERS = 1024  # of an archive
DTYPES = {
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64",
}  # fmt: skip
EMPTY_ZIP, END, ENTRY, LOCAL = b"PK\5\6", 22, 46, 30  # sizes of the zip format's fixed parts


class Plain(NamedTuple):
    """An array without code or compression: dtype, shape, and offset and size of its bytes."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    size: int


def npy(data: memoryview) -> Plain:
    """What an `.npy` file holds.

    Raises:
        FormatError: damaged, or not plain little-endian numbers in C order.
    """
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise FormatError("no .npy file")
    width = 2 if data[6] == 1 else 4
    end = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    if end > min(len(data), LONGEST):
        raise FormatError(".npy header is damaged")
    dtype, shape, itemsize = _header(bytes(data[:end]))
    if prod(shape, start=itemsize) != len(data) - end:
        raise FormatError(".npy file has another size than its header says")
    return Plain(dtype, shape, end, len(data) - end)


@lru_cache(maxsize=4096)
def _header(head: bytes) -> tuple[str, tuple[int, ...], int]:
    try:
        shape, fortran, dtype = _parsed(head)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError, KeyError, TokenError) as error:
        raise FormatError(".npy header is damaged, or of a version that is not read") from error
    if dtype.hasobject:
        raise FormatError(".npy with Python objects (a pickle): never read")
    if dtype.name not in DTYPES:
        raise FormatError(f".npy of {dtype.name[:40]}: not plain numbers")
    if not dtype.isnative:
        raise FormatError(".npy in big-endian order: save it as little-endian")
    if fortran and len(shape) > 1 and 0 not in shape:
        raise FormatError(".npy in Fortran order: save numpy.ascontiguousarray of it")
    if not all(0 <= size <= MOST for size in shape) or len(shape) > 16:
        raise FormatError(f".npy of shape {str(shape)[:60]}")
    return dtype.name, tuple(map(int, shape)), dtype.itemsize


def _parsed(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    """What numpy reads in a header, by Python's parser: of that, CPython 3.11 counts the depth of all threads together,
    and where another one parses meanwhile, it may fail with a SystemError (its issue 106905)."""
    for attempt in range(TRIES):
        stream = io.BytesIO(head)
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        try:
            with _PARSING:
                return read(stream)  # type: ignore[no-any-return, unused-ignore]
        except SystemError:
            if attempt == TRIES - 1:
                raise
    raise AssertionError


def npz(data: memoryview) -> Iterator[tuple[str, int, int]]:
    """(name, offset, size) of each file in a zip archive (PKWARE APPNOTE 6.3.10, 4.3); offset -1 where compressed.

    Raises:
        FormatError: no zip archive, damaged, or of more than 4 GiB (zip64).
    """
    end = len(data) - END
    if end < 0 or data[end : end + 4] != EMPTY_ZIP:
        raise FormatError(".npz is no zip archive")
    count, length, at = struct.unpack_from("<10xHII", data, end)
    if count > MOST_MEMBERS or at + length > end:
        raise FormatError(".npz has a damaged table of contents, too many members, or more than 4 GiB")
    for _ in range(count):
        if at + ENTRY > end or data[at : at + 4] != b"PK\1\2":
            raise FormatError(".npz has a damaged table of contents")
        flags, method, size, full, name, extra, comment, local = struct.unpack_from("<8xHH8xIIHHH8xI", data, at)
        text = bytes(data[at + ENTRY : at + ENTRY + name]).decode("utf-8", "replace")
        if method or flags & 1:
            yield text, -1, 0
        else:
            yield text, _stored(data, local, size, full), size
        at += ENTRY + name + extra + comment


def _stored(data: memoryview, local: int, size: int, full: int) -> int:
    if local + LOCAL > len(data) or data[local : local + 4] != b"PK\3\4" or size != full:
        raise FormatError(".npz has a damaged table of contents")
    offset = local + LOCAL + sum(struct.unpack_from("<26xHH", data, local))
    if offset + size > len(data):
        raise FormatError(".npz is cut off")
    return offset
