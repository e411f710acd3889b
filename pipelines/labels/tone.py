"""Exposure: one scale for a whole trajectory from its luminances, and the 8-bit picture that it gives.

The formulas are those of the published Hypersim tone-mapping tool: Y = 0.3 R + 0.59 G + 0.11 B on linear colour, the
90th percentile of Y over valid pixels is mapped to 0.8, gamma 2.2. The tool takes a percentile per image; here one
percentile serves all frames of a trajectory, so that the same surface keeps its brightness from view to view.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raised whenever a scale or a tone-mapped picture changes

GAMMA = 2.2
TARGET = 0.8  # tone-mapped value of the 90th percentile
DARKEST_P90 = 1e-4  # a darker trajectory is black by definition
LARGEST = 65504.0  # largest finite float16

_LUMINANCE = np.array([[0.3, 0.59, 0.11]], np.float32)
_FINITE_HALVES = 0x7C00  # bit patterns of the non-negative finite float16 are 0 .. 0x7BFF, in order of value

Colour = NDArray[np.float32]


def sanitise(rgb: NDArray[np.floating]) -> tuple[Colour, int]:
    """Linear colour without the infinities and NaNs that a float16 renderer output can hold.

    Args:
        rgb: (..., 3) float16 or float32 linear radiance.

    Returns:
        the same as float32 with inf -> 65504, -inf -> -65504, NaN -> 0 (a float32 input that is already finite is
        returned itself, not copied), and the number of values (not pixels) that were replaced.
    """
    colour = rgb.astype(np.float32, copy=False)
    finite = np.isfinite(colour)
    bad = colour.size - int(np.count_nonzero(finite))
    if bad:
        colour = np.nan_to_num(colour, nan=0.0, posinf=LARGEST, neginf=-LARGEST)
    return colour, bad


def luminance(rgb: Colour) -> Colour:
    """Luminance (H, W) float32 of linear colour (H, W, 3) float32: 0.3 R + 0.59 G + 0.11 B."""
    return cv2.transform(np.ascontiguousarray(rgb), _LUMINANCE)  # type: ignore[return-value]


class LuminanceHistogram:
    """Exact counts of luminances rounded to float16, for percentiles over any number of frames in 248 KiB.

    Non-negative float16 values sort like their bit patterns, so that an array with one counter a pattern holds the
    whole distribution. Negative luminances count as 0 and those above 65504 as 65504.
    """

    def __init__(self) -> None:
        """An empty histogram."""
        self.counts = np.zeros(_FINITE_HALVES, np.int64)

    def add(self, rgb: Colour, valid: NDArray[np.bool_]) -> None:
        """Counts the luminances of the pixels of finite linear colour (H, W, 3) float32 where `valid` (H, W) bool."""
        halves = np.clip(luminance(rgb)[valid], 0.0, LARGEST).astype(np.float16)
        self.counts += np.bincount(halves.view(np.uint16), minlength=_FINITE_HALVES)

    def merge(self, other: "LuminanceHistogram") -> None:
        """Adds the counts of another histogram; merging in any order gives the same counts."""
        self.counts += other.counts

    def percentile(self, q: float) -> float | None:
        """The q-th percentile (0 to 100) of the counted float16 values, None when nothing was counted.

        Equal to `numpy.percentile` (linear interpolation between ranks) of the rounded values; within float16
        rounding (relative 2^-11) of the percentile of the unrounded ones.
        """
        cumulative = np.cumsum(self.counts)
        total = int(cumulative[-1])
        if not total:
            return None
        rank = q / 100 * (total - 1)
        below = int(rank)
        patterns = np.searchsorted(cumulative, [below, min(below + 1, total - 1)], side="right").astype(np.uint16)
        low, high = patterns.view(np.float16).astype(np.float64)
        return float(low + (rank - below) * (high - low))


def tone_scale(p90: float | None) -> float:
    """Factor on linear colour that maps luminance `p90` to 0.8 after gamma; 1 without any valid pixel, 0 if black."""
    if p90 is None:
        return 1.0
    return TARGET**GAMMA / p90 if p90 >= DARKEST_P90 else 0.0


def tone_map(rgb: Colour, scale: float) -> NDArray[np.uint8]:
    """The picture of linear colour at an exposure: round(255 clip(max(scale rgb, 0)^(1/2.2), 0, 1)).

    Args:
        rgb: (H, W, 3) finite float32 linear colour.
        scale: factor from `tone_scale`.

    Returns:
        (H, W, 3) uint8.
    """
    linear = np.multiply(rgb, np.float32(scale), dtype=np.float32)
    np.clip(linear, 0.0, 1.0, out=linear)
    return np.rint(cv2.pow(linear, 1 / GAMMA) * np.float32(255)).astype(np.uint8)
