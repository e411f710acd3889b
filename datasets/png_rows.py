"""PNG pictures whose rows are all filtered alike.

PNG (ISO/IEC 15948) lets each row choose a filter. Rows that are all stored as they are (None), or all as differences to
the row above (Up), need no code that goes from pixel to pixel when they are read (`loading/row_decoder.py`), which is
several times as fast. They take a few per cent more than rows that choose, and every program reads them.
"""

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checksum import crc32

MAGIC = b"\x89PNG\r\n\x1a\n"
NONE, UP = 0, 2  # filters
COLOURS = {(): 0, (2,): 4, (3,): 2, (4,): 6}  # colour type by what follows height and width
LEVEL = 9  # of libdeflate: a third of the time of zlib's 6; from 10 on it takes five times as long


@cache
def _compress() -> Callable[[Any, int], Any]:
    """Imported when a picture is written: who reads needs none. All installations that make shards have libdeflate."""
    try:
        from deflate import zlib_compress
    except ImportError:
        return lambda data, level: zlib.compress(data, min(level, 9))
    return zlib_compress  # type: ignore[no-any-return, unused-ignore]


def encode_rows(pixels: NDArray[Any], level: int = LEVEL) -> bytes:
    """A PNG picture with one filter for all rows, the one that makes it smaller.

    Args:
        pixels: (height, width[, 2, 3 or 4]) uint8 or uint16.
        level: of compression, 1 to 12 (without libdeflate: zlib's, to 9).

    Raises:
        ValueError: there are no such PNG pictures.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.shape[2:] not in COLOURS or 0 in pixels.shape:
        raise ValueError(f"there are no PNG pictures {pixels.shape} of {pixels.dtype}")
    height, width = pixels.shape[:2]
    plain = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    rows = np.zeros((height, plain.shape[1] + 1), np.uint8)  # a filter's number before each
    rows[:, 1:] = plain
    found = [_compress()(rows, level)]
    rows[:, 0] = UP
    rows[1:, 1:] -= plain[:-1]
    found.append(_compress()(rows, level))
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, COLOURS[pixels.shape[2:]], 0, 0, 0)
    return MAGIC + _chunk(b"IHDR", header) + _chunk(b"IDAT", bytes(min(found, key=len))) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc32(name + data))
