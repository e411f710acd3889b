"""Packs the boolean pixel labels of a frame into its one `flags` byte."""

import numpy as np
from numpy.typing import NDArray

from ...datasets.flags import PixelFlag

VERSION = 1  # raised whenever the packed bytes change

_BITS = {flag.name.lower(): np.uint8(flag) for flag in PixelFlag if flag.name}


def pack_flags(**masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """One byte a pixel from boolean masks.

    Args:
        **masks: (H, W) bool arrays named like the members of `PixelFlag` in lower case: `valid`, `normal_valid`,
            `normal_flipped`, `boundary`, `occluder`, `boundary_ignore`. At least one; a flag not given is 0.

    Returns:
        (H, W) uint8.

    Raises:
        ValueError: no mask, an unknown name, a mask that is not bool, or shapes that differ.
    """
    if not masks:
        raise ValueError("pack_flags needs at least one mask")
    shape = next(iter(masks.values())).shape
    packed = np.zeros(shape, np.uint8)
    for name, mask in masks.items():
        if name not in _BITS:
            raise ValueError(f"no flag is named {name!r}; the flags are {', '.join(_BITS)}")
        if mask.dtype != np.bool_ or mask.shape != shape:
            raise ValueError(f"mask {name!r} is {mask.dtype} {mask.shape}; expected bool {shape}")
        packed |= mask.view(np.uint8) * _BITS[name]
    return packed
