"""Visibility of a frame's pixels in its neighbours, as stored: two bits a pixel for each of up to four neighbours."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = 4  # of two bits each: one byte a pixel


class ViewState(IntEnum):
    """What another camera says about a point; the values are part of the stored format and never change.

    A mask for losses between views is VISIBLE alone: INCONSISTENT means that the other camera looked through the
    point, which happens along edges, where the nearest pixel's ray just misses what this pixel sees, on thin parts, and
    with wrong poses; UNKNOWN that it says nothing.
    """

    UNKNOWN = 0  # behind the other camera, outside its picture, nothing measured there; or no point at this pixel
    VISIBLE = 1  # the other camera sees this very surface
    OCCLUDED = 2  # it sees something nearer
    INCONSISTENT = 3  # it sees something further away, through the point


def pack_visibility(states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The stored bytes: bits 2k and 2k + 1 of a pixel hold its state in neighbour k.

    Args:
        states: (count, h, w) uint8 of `ViewState`, count 0 to 4; neighbours beyond `count` are stored as UNKNOWN.

    Returns:
        (h, w) uint8.

    Raises:
        ValueError: another dtype or shape, more than four neighbours, or a value that is no state.
    """
    if states.dtype != np.uint8 or states.ndim != 3 or len(states) > NEIGHBOURS:
        raise ValueError(f"visibility must be uint8 of (up to {NEIGHBOURS}, h, w), not {states.dtype} {states.shape}")
    if states.size and int(states.max()) > max(ViewState):
        raise ValueError(f"visibility holds {states.max()}, but states are 0 to {int(max(ViewState))}")
    packed = np.zeros(states.shape[1:], np.uint8)
    for k, state in enumerate(states):
        packed |= state << np.uint8(2 * k)
    return packed


def unpack_visibility(packed: NDArray[np.uint8], count: int = NEIGHBOURS) -> NDArray[np.uint8]:
    """States in the first `count` neighbours: the inverse of `pack_visibility`.

    Args:
        packed: (h, w) uint8 as stored (any shape works).
        count: number of neighbours wanted, 0 to 4.

    Returns:
        (count, h, w) uint8 of `ViewState`.

    Raises:
        ValueError: another dtype, or a count out of range.
    """
    if packed.dtype != np.uint8 or not 0 <= count <= NEIGHBOURS:
        raise ValueError(f"{count} neighbours from {packed.dtype}: packed visibility is uint8 and holds {NEIGHBOURS}")
    shifts = np.arange(0, 2 * count, 2, dtype=np.uint8).reshape(count, *(1,) * packed.ndim)
    return packed >> shifts & np.uint8(3)
