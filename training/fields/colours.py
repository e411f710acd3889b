"""Colours of numbers on a mesh: dark blue for sure, yellow for unsure; equal numbers have equal colours in all runs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

SURE, UNSURE = 0.05, 0.5  # of a field from 0 to 1: on its surface an occupancy is never sure, at 0.5 it says nothing
ANCHORS = np.array([(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], np.float64)  # viridis


def sigma_colours(sigma: ArrayLike) -> NDArray[np.uint8]:
    """(n, 3) uint8 sRGB of standard deviations (n,) of a field between 0 and 1, on a logarithmic scale.

    Args:
        sigma: 0 or more; from `SURE` down the first colour, from `UNSURE` up the last.
    """
    low, high = np.log(SURE), np.log(UNSURE)
    place = (np.log(np.clip(np.asarray(sigma, np.float64), SURE, UNSURE)) - low) / (high - low) * (len(ANCHORS) - 1)
    channels = [np.interp(place, np.arange(len(ANCHORS)), ANCHORS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, -1)).astype(np.uint8)
