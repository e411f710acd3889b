"""CRC-32 of a block's bytes, by the fastest library that is there: libdeflate's is several times as fast as zlib's."""

import zlib
from collections.abc import Callable
from typing import Any


def _fastest() -> Callable[[Any], int]:
    try:
        from imagecodecs import deflate_crc32

        deflate_crc32(b"")  # a build without libdeflate has the name, but refuses the call
    except ImportError:
        return zlib.crc32
    return deflate_crc32  # type: ignore[no-any-return, unused-ignore]


crc32 = _fastest()
