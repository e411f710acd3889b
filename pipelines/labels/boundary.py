"""Occlusion boundaries of a frame, from the second difference of inverse planar depth.

On a plane the inverse planar depth 1/z is affine in pixel coordinates, so that a second difference along a row or a
column is zero on every plane however slanted, and large where one surface ends in front of another. Distance along
the ray has no such property, hence the conversion.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raised whenever a mask changes

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Boundary:
    """Occlusion boundary of one frame, three (H, W) bool masks.

    Attributes:
        boundary: pixels on either side of an occlusion boundary; never set where `ignore`.
        occluder: those of them on the near side; `boundary & ~occluder` is the occluded side.
        ignore: pixels where the boundary could not be measured.
    """

    boundary: Mask
    occluder: Mask
    ignore: Mask


def boundary(distance: NDArray[np.floating], rays: NDArray[np.floating], tau: float = 0.05) -> Boundary:
    """Marks the pixels whose inverse depth bends by more than `tau`.

    With w = 1/z, the score along an axis is |w_before + w_after - 2 w_p| / w_p; a pixel is a boundary if the score of
    either axis exceeds `tau`, and the occluder if, along the axis that bends more, w_p exceeds its neighbours' mean.
    At a step between depths z_near < z_far the scores are 1 - z_near/z_far and z_far/z_near - 1.

    A pixel is ignored if it or one of its 4-neighbours inside the image is invalid. The first and last row and column
    have neighbours along one axis only and are judged by that axis alone; the four corners, and whole images less
    than three pixels wide and high, have none and are ignored.

    Args:
        distance: (H, W) Euclidean distance along the ray in metres; NaN (or not positive) where invalid.
        rays: (H, W, 3) unit viewing rays, OpenCV camera axes.
        tau: relative threshold.

    Returns:
        the three masks.
    """
    depth = distance * rays[..., 2]
    valid = np.isfinite(depth) & (depth > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = np.where(valid, 1.0 / depth, 0.0)
        bend_x, bend_y = (_relative_bend(inverse, axis) for axis in (1, 0))
    ignore = ~_valid_with_neighbours(valid)
    ignore |= _unmeasured(distance.shape)
    size_x, size_y = np.abs(bend_x), np.abs(bend_y)
    found = ((size_x > tau) | (size_y > tau)) & ~ignore
    near = np.where(size_x >= size_y, bend_x, bend_y) < 0
    return Boundary(found, found & near, ignore)


def _relative_bend(inverse: Array, axis: int) -> Array:
    """Second difference of (H, W) inverse depth along an axis over the centre's value; 0 at that axis's two ends."""
    bend = np.zeros_like(inverse)
    centre, before, after = (
        tuple(slice(*part) if i == axis else slice(None) for i in range(2)) for part in ((1, -1), (0, -2), (2, None))
    )
    bend[centre] = (inverse[before] + inverse[after]) / inverse[centre] - 2.0
    return bend


def _valid_with_neighbours(valid: Mask) -> Mask:
    """Pixels that are valid together with all their 4-neighbours inside the image."""
    whole = valid.copy()
    whole[1:] &= valid[:-1]
    whole[:-1] &= valid[1:]
    whole[:, 1:] &= valid[:, :-1]
    whole[:, :-1] &= valid[:, 1:]
    return whole


def _unmeasured(shape: tuple[int, ...]) -> Mask:
    """Pixels that have two opposite neighbours along neither axis: the corners of an image of this (H, W) shape."""
    ends = [np.isin(np.arange(n), (0, n - 1)) for n in shape]
    return ends[0][:, None] & ends[1][None, :]
