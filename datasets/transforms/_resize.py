"""Resizing along the rows and columns of arrays: antialiased linear for colours, nearest for labels.

Corner origin: output pixel i covers [i, i + 1) * (old size / new size) of the input; its centre is at i + 0.5.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize_linear(array: NDArray[Any], rows: int, size: tuple[int, int]) -> NDArray[Any]:
    """Antialiased linear resize (a triangle as wide as two pixels of the coarser grid, as Pillow's BILINEAR).

    Args:
        array: (..., height, width, ...) uint8 or float.
        rows: index of the height axis; the width follows it.
        size: new height and width.

    Returns:
        the resized array, C-contiguous, same dtype; computed in float32, uint8 rounded to nearest.
    """
    values = _along(_along(array, rows, size[0]), rows + 1, size[1])
    if array.dtype.kind == "u":
        np.rint(values, out=values)
    return np.ascontiguousarray(values.astype(array.dtype, copy=False))


def resize_nearest(array: NDArray[Any], rows: int, size: tuple[int, int]) -> NDArray[Any]:
    """The value of the input pixel that holds each output pixel's centre; arguments of `resize_linear`, any dtype."""
    for axis, count in ((rows, size[0]), (rows + 1, size[1])):
        old = array.shape[axis]
        if old != count:
            array = np.take(array, (np.arange(count) * 2 + 1) * old // (2 * count), axis=axis)
    return np.ascontiguousarray(array)


def _along(array: NDArray[Any], axis: int, count: int) -> NDArray[np.float32]:
    old = array.shape[axis]
    front = np.moveaxis(array, axis, 0)
    if old == count:
        return np.array(array, np.float32)
    lines = np.ascontiguousarray(front, np.float32).reshape(old, -1)  # whole lines are weighted, one after another
    index, weight = _taps(old, count)
    total = lines[index[0]] * weight[0][:, None]
    part = np.empty_like(total)
    for places, share in zip(index[1:], weight[1:], strict=True):
        np.take(lines, places, axis=0, out=part, mode="clip")
        np.multiply(part, share[:, None], out=part)
        np.add(total, part, out=total)
    return np.moveaxis(total.reshape(count, *front.shape[1:]), 0, axis)


@lru_cache(maxsize=64)
def _taps(old: int, new: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Input lines (taps, new) and their weights, which sum to 1 for each output line; both read-only."""
    step = old / new
    reach = max(step, 1.0)
    centre = (np.arange(new) + 0.5) * step
    first = np.floor(centre - reach).astype(np.int64)
    index = first + np.arange(int(np.ceil(2 * reach)) + 1)[:, None]
    weight = np.maximum(0, 1 - np.abs(index + 0.5 - centre) / reach)
    weight[(index < 0) | (index >= old)] = 0
    weight /= weight.sum(axis=0)
    used = weight.any(axis=1)
    index, share = np.clip(index, 0, old - 1)[used], weight[used].astype(np.float32)
    index.flags.writeable = share.flags.writeable = False
    return index, share
