"""Which way fine structures of a picture run (hair, folds, seams), by oriented filters."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

VERSION = 1  # raised whenever a value changes
ANGLES = 32
# Of the filters in pixels: widths across and along, wave length. S. Paris et al., "Capture of hair geometry from
# multiple images", 2004, asks a bank of oriented filters; these are the sizes that later work on hair uses.
ACROSS, ALONG, WAVE = 1.8, 2.4, 4.0
REACH = 9  # pixels that a filter reaches from its middle: 4 widths
Floats = NDArray[np.float64]


def orientation_map(
    picture: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Orientation of structures at each pixel, and how sure it is.

    Args:
        picture: (H, W, 3) uint8.
        mask: (H, W) pixels that belong to the person.

    Returns:
        (H, W) float16 radians from 0 to pi, from the x axis (to the right) towards the y axis (down), NaN outside the
        mask; (H, W) float16 from 0, where no direction stands out, to 1, zero outside the mask.
    """
    grey = picture @ np.array([0.299, 0.587, 0.114])
    grey = np.where(mask, grey, grey[mask].mean() if mask.any() else 0.0)
    shape = tuple(fft.next_fast_len(side + 2 * REACH, real=True) for side in grey.shape)
    padded = np.pad(grey, [(REACH, full - side - REACH) for side, full in zip(grey.shape, shape, strict=True)], "edge")
    spectrum = fft.rfft2(padded)
    best, total, second = np.full(grey.shape, -1.0), np.zeros(grey.shape), np.zeros((2, *grey.shape))
    where = np.zeros(grey.shape, np.int64)
    rows, columns = (slice(REACH, REACH + side) for side in grey.shape)
    for number, pair in enumerate(_bank(shape)):
        even, odd = (fft.irfft2(spectrum * each, shape)[rows, columns] for each in pair)
        answer = np.hypot(even, odd)  # lines and edges alike, wherever in the wave a pixel lies
        more = answer > best
        best, where = np.where(more, answer, best), np.where(more, number, where)
        total += answer
        second[0] += answer * np.cos(2 * np.pi * number / ANGLES)
        second[1] += answer * np.sin(2 * np.pi * number / ANGLES)
    sure = np.hypot(*second) / np.maximum(total, 1e-9)  # length of the mean of directions, of which opposites are one
    angle = np.where(mask, np.pi * where / ANGLES, np.nan)
    return angle.astype(np.float16), np.where(mask, sure, 0).astype(np.float16)


def kernels(angle: float) -> tuple[Floats, Floats]:
    """Filters that answer to lines and to edges along an angle: waves across it, under a bell; 2 REACH + 1 a side."""
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(np.float64)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    bell = np.exp(-0.5 * ((across / ACROSS) ** 2 + (along / ALONG) ** 2))
    wave = bell * np.cos(2 * np.pi * across / WAVE)
    even: Floats = wave - bell * (wave.sum() / bell.sum())  # no answer to plain grey
    odd: Floats = bell * np.sin(2 * np.pi * across / WAVE)
    return even, odd


@lru_cache(maxsize=2)
def _bank(shape: tuple[int, int]) -> list[tuple[NDArray[np.complex128], NDArray[np.complex128]]]:
    """Spectra of the filters, their middles at the first pixel."""

    def spectrum(kernel: Floats) -> NDArray[np.complex128]:
        placed = np.zeros(shape)
        placed[: 2 * REACH + 1, : 2 * REACH + 1] = kernel
        found: NDArray[np.complex128] = fft.rfft2(np.roll(placed, (-REACH, -REACH), (0, 1)))
        return found

    pairs = [kernels(np.pi * number / ANGLES) for number in range(ANGLES)]
    return [(spectrum(even), spectrum(odd)) for even, odd in pairs]
