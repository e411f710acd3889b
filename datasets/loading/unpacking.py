"""Stored codes of many records into their values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..storage import Storage

CHUNK = 1 << 17  # codes that are decoded at once


def unpack(
    storage: Storage,
    codes: NDArray[Any],
    starts: Sequence[int],
    out: NDArray[Any],
    begins: Sequence[int],
    sides: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    """Decode the codes of all records, in pieces that stay in the processor's cache.

    Args:
        storage: how values are stored.
        codes: (n,) codes of all records, one behind the other.
        starts: first code of each record, and the end.
        out: one-dimensional view of the batch's array.
        begins: where in `out` each record's values begin.
        sides: last axis as stored, and of the values: vectors may be stored by fewer numbers.
    """
    narrow, wide = sides
    row, wide_row = (narrow[0], wide[0]) if narrow != wide else (1, 1)
    lengths = np.diff(starts) // row * wide_row
    together = np.array_equal(np.diff(begins), lengths[:-1])
    runs = [(0, begins[0], codes.size)] if together else list(zip(starts, begins, np.diff(starts), strict=False))
    step = CHUNK // row * row
    for start, begin, size in runs:
        for at in range(0, size, step):
            piece = codes[start + at : start + min(at + step, size)]
            values = storage.unpack(piece.reshape(-1, row) if row > 1 else piece, out.dtype).reshape(-1)
            low = begin + at // row * wide_row
            out[low : low + values.size] = values
