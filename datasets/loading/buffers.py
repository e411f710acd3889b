"""Memory of batches: taken again when nobody holds a batch any more, for fresh memory costs more than filling it."""

import sys
import threading
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

ALIGNED = 64
SMALLEST = 1 << 15  # below, fresh memory is as cheap
FREE = 2  # references to a buffer that nobody but the list holds: the list's, and that of the count itself


class Memory(Protocol):
    """Gives arrays for batches."""

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """An array of any content, C order."""
        ...


class Buffers:
    """Arrays for batches.

    A buffer is free when no array (or tensor made of one) that looks into it is left: Python counts that. So a user may
    keep a batch for as long as it is wanted; then another buffer is made.

    Args:
        most: free buffers that are kept, of each size.
    """

    def __init__(self, most: int = 8) -> None:
        self._most = most
        self._kept: dict[int, list[NDArray[np.uint8]]] = {}
        self._lock = threading.Lock()

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> NDArray[Any]:
        """An array of any content, C order, at a multiple of 64 bytes."""
        size = prod(shape) * dtype.itemsize
        if size < SMALLEST:
            return np.empty(shape, dtype)
        step = max(SMALLEST, 1 << max(0, size.bit_length() - 4))  # eight sizes an octave, for ragged fields
        base = self._take(-(-size // step) * step)
        return base[:size].view(dtype).reshape(shape)

    def _take(self, size: int) -> NDArray[np.uint8]:
        with self._lock:
            kept = self._kept[size] = self._kept.pop(size, [])  # those wanted last are the last
            for number in reversed(range(len(kept))):  # the one used last may still lie in the processor's cache
                if sys.getrefcount(kept[number]) == FREE:
                    kept.append(kept.pop(number))
                    return kept[-1]
            self._trim()
            base = _aligned(size)
            kept.append(base)
            if len(kept) > self._most:
                del kept[0]  # whoever looks into it keeps it
            if len(self._kept) > 4 * self._most:  # sizes that differ from batch to batch
                self._kept = {size: kept}
            return base

    def _trim(self) -> None:
        """Let free buffers go, of the sizes wanted longest ago first, until no more memory is free than in use."""
        surplus = 0
        for size, kept in self._kept.items():
            used = sum(sys.getrefcount(kept[number]) > FREE for number in range(len(kept)))
            surplus += size * (len(kept) - 2 * used)
        for size, kept in self._kept.items():
            for number in range(len(kept) - 1, -1, -1):
                if surplus > 0 and sys.getrefcount(kept[number]) == FREE:
                    del kept[number]
                    surplus -= size


def _aligned(size: int) -> NDArray[np.uint8]:
    """Bytes of any content that begin at a multiple of 64."""
    room = np.empty(size + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    return np.frombuffer(room.data[start : start + size], np.uint8)  # whose views count as its own, not `room`'s
