"""Meaning of the bits of the stored per-pixel `flags` field."""

from enum import IntFlag

import numpy as np
from numpy.typing import NDArray


class PixelFlag(IntFlag):
    """One bit a question; the values are part of the stored format and never change."""

    VALID = 1  # the pixel sees a surface: distance, ids and position are measured
    NORMAL_VALID = 2  # the raw normal was finite and long enough to be renormalised
    NORMAL_FLIPPED = 4  # the raw normal pointed away from the camera and was turned round
    BOUNDARY = 8  # an occlusion boundary runs along this pixel
    OCCLUDER = 16  # ... and the pixel lies on the near side of it (never set without BOUNDARY)
    BOUNDARY_IGNORE = 32  # the boundary could not be measured here: neither positive nor negative


def has_flag(flags: NDArray[np.uint8], flag: PixelFlag) -> NDArray[np.bool_]:
    """Where all bits of `flag` are set.

    Args:
        flags: uint8 array of any shape, as stored.
        flag: one flag, or several joined by `|`.

    Returns:
        bool array of the same shape.
    """
    bits = np.uint8(flag)
    return (flags & bits) == bits
