"""CRC-32 of a block's bytes, by the fastest library that is there: libdeflate's is several times as fast as zlib's."""

import zlib
from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def _fastest() -> Callable[[Any], int]:
    """Imported when the first block is read or written: whoever reads a catalog needs none."""
    try:
        from imagecodecs import deflate_crc32

        deflate_crc32(b"")  # a build without libdeflate has the name, but refuses the call
    except ImportError:
        return zlib.crc32
    return deflate_crc32  # type: ignore[no-any-return, unused-ignore]


def crc32(data: Any) -> int:
    """The checksum of a buffer's bytes, 0 to 2**32 - 1."""
    return _fastest()(data)
