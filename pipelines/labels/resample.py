"""Frames at another size: averages for light, nearest samples for labels, plane-exact interpolation for distance.

Pixel coordinates have their origin at the image corner: output pixel i of h covers raw rows i H/h to (i + 1) H/h, and
its centre lies at (i + 0.5) H/h - 0.5 when raw pixel centres are counted 0, 1, 2, ... The camera's field of view does
not change, so that intrinsics scale by the ratio of the sizes (datasets/camera.py).
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raised whenever a resampled value changes

Float = NDArray[np.float32]
Size = tuple[int, int]

STRAIGHT = 0.01  # relative second difference of 1/z that float16 distances show on a plane, with room to spare
STEEPEST = 0.5  # beyond this ratio of depths between neighbours even a plane is seen too edge-on to interpolate
DARK_ALBEDO = 1e-7  # a mean albedo of about the smallest positive float16 (6e-8): too little to divide by


def area_average(image: Float, size: Size) -> Float:
    """Mean of the image over the footprint of each output pixel (box filter with fractional weights at its edges).

    Along an axis that grows, a footprint is smaller than a raw pixel: there, linear interpolation at pixel centres.

    Args:
        image: (H, W) or (H, W, C) float32.
        size: output (h, w).

    Returns:
        float32 of the new size; the image itself if the size is the same. Shrinking keeps the mean of the image.
    """
    height, width = image.shape[:2]
    if size == (height, width):
        return image
    shrunk = (min(size[0], height), min(size[1], width))
    result = image
    if shrunk != (height, width):
        result = _resize(result, shrunk, cv2.INTER_AREA)
    if shrunk != size:
        result = _resize(result, size, cv2.INTER_LINEAR)
    return result


def _resize(image: Float, size: Size, interpolation: int) -> Float:
    """OpenCV's resize, which drops a last axis of length 1, with that axis kept."""
    resized = cv2.resize(image, size[::-1], interpolation=interpolation)
    return resized.reshape(*size, *image.shape[2:])  # type: ignore[return-value]


def nearest_indices(raw_size: Size, size: Size) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Raw rows (h,) and columns (w,) whose centres are nearest to the output pixels' centres.

    A tie (every pixel at 2:1) takes the smaller index. Integer arithmetic: the same on every machine.

    Args:
        raw_size: (H, W).
        size: (h, w).

    Returns:
        row indices and column indices.
    """
    rows, columns = (
        -(-(2 * np.arange(new, dtype=np.intp) + 1) * raw // (2 * new)) - 1
        for raw, new in zip(raw_size, size, strict=True)
    )
    return rows, columns


def nearest(array: NDArray[Any], size: Size) -> NDArray[Any]:
    """The (H, W, ...) array sampled at the nearest raw pixel of each output pixel: (h, w, ...), same dtype."""
    rows, columns = nearest_indices(array.shape[:2], size)
    return array[rows][:, columns]


def resample_distance(
    distance: Float,
    raw_rays_z: NDArray[np.floating],
    out_rays_z: NDArray[np.floating],
    ids: NDArray[np.integer] | None,
    size: Size,
    spread: float = 0.02,
) -> Float:
    """Distance along the output pixels' own rays, without the shift of a nearest sample.

    Inverse planar depth 1/z is affine in pixel coordinates on a plane, so that its bilinear interpolation between four
    raw pixels is exact there. It is used where the four are valid, carry one id, and either agree within `spread` or
    lie on a slope without a bend (a floor seen at a grazing angle); elsewhere (edges, thin things, horizons) the
    nearest raw distance is taken as it is. At the border of an enlarged image the four nearest raw pixels extrapolate
    by less than half a raw pixel.

    Args:
        distance: (H, W) float32 Euclidean distance in metres, NaN where invalid.
        raw_rays_z: (H, W) z component of the raw pixels' unit rays, OpenCV camera axes.
        out_rays_z: (h, w) z component of the output pixels' unit rays.
        ids: (H, W) surface ids, or None.
        size: output (h, w).
        spread: largest ratio of planar depths among the four, minus 1, where they may lie on a bend.

    Returns:
        (h, w) float32 metres, NaN where the nearest raw sample is invalid; a copy if the size is the same.
    """
    if size == distance.shape:
        return distance.copy()
    with np.errstate(divide="ignore"):  # a distance of 0 becomes infinite, which is never smooth
        inverse = np.reciprocal(distance * raw_rays_z.astype(np.float32, copy=False)).astype(np.float32, copy=False)
    cells = [_cell(raw, new) for raw, new in zip(distance.shape, size, strict=True)]
    corners = _corners(inverse, cells)
    smallest, largest = corners[0].copy(), corners[0].copy()
    for corner in corners[1:]:
        np.minimum(smallest, corner, out=smallest)  # NaN wins, and fails the comparison
        np.maximum(largest, corner, out=largest)
    smooth = largest < smallest * np.float32(1 + STEEPEST)  # false for anything infinite or not positive, too
    sloping = smooth.copy()
    for straight in _corners(_straight(inverse), cells):
        sloping &= straight
    smooth &= (largest < smallest * np.float32(1 + spread)) | sloping
    if ids is not None:
        first, *others = _corners(ids, cells)
        for other in others:
            smooth &= other == first
    with np.errstate(divide="ignore", invalid="ignore"):  # only where not smooth
        plane = 1 / (_bilinear(corners, cells) * out_rays_z.astype(np.float32, copy=False))
    return np.where(smooth, plane, nearest(distance, size))


def _straight(inverse: Float) -> NDArray[np.bool_]:
    """Raw pixels (H, W) where inverse depth bends along neither axis; the border is judged as the pixel beside it."""
    straight = np.ones(inverse.shape, np.bool_)
    for w, flags in ((inverse, straight), (inverse.T, straight.T)):
        if len(w) < 3:
            flags[:] = False
            continue
        with np.errstate(invalid="ignore"):  # the infinity of a distance of 0 bends
            middle = np.abs(w[:-2] + w[2:] - 2 * w[1:-1]) <= np.float32(STRAIGHT) * w[1:-1]
        flags[1:-1] &= middle
        flags[0] &= middle[0]
        flags[-1] &= middle[-1]
    return straight


def _cell(raw: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.intp], Float]:
    """Along one axis, the two raw pixels around each output centre and the weight (new,) of the second."""
    position = (np.arange(new) + 0.5) * raw / new - 0.5
    low = np.clip(np.floor(position), 0, max(raw - 2, 0)).astype(np.intp)
    high = np.minimum(low + 1, raw - 1)
    return low, high, np.where(high > low, position - low, 0).astype(np.float32)


def _corners(array: NDArray[Any], cells: list[tuple[NDArray[np.intp], NDArray[np.intp], Float]]) -> list[NDArray[Any]]:
    """The raw values (h, w) at the top left, top right, bottom left and bottom right of each output centre."""
    (top, bottom, _), (left, right, _) = cells
    lines = (array[top], array[bottom])
    return [line[:, side] for line in lines for side in (left, right)]


def _bilinear(corners: list[Float], cells: list[tuple[NDArray[np.intp], NDArray[np.intp], Float]]) -> Float:
    """The four corners' values (h, w) weighted by the output centres' places between them."""
    down, right = cells[0][2][:, None], cells[1][2][None, :]
    top = corners[0] + (corners[1] - corners[0]) * right
    bottom = corners[2] + (corners[3] - corners[2]) * right
    return top + (bottom - top) * down


def resample_intrinsic(albedo: Float, illumination: Float, residual: Float, size: Size) -> tuple[Float, Float, Float]:
    """Albedo, illumination and residual at another size that still compose the averaged picture.

    The mean of a product is not the product of the means. Illumination is therefore averaged with the albedo as weight:
    a' = mean(a), e' = mean(a e) / mean(a), r' = mean(r), so that a' e' + r' = mean(a e + r). Where mean(a) vanishes,
    e' = mean(e) and what the product misses (nothing unless albedos are negative) goes to r'.

    Args:
        albedo: (H, W, 3) finite float32.
        illumination: (H, W, 3) finite float32.
        residual: (H, W, 3) finite float32.
        size: output (h, w).

    Returns:
        the three as (h, w, 3) float32; the inputs themselves if the size is the same.
    """
    if size == albedo.shape[:2]:
        return albedo, illumination, residual
    mean_albedo = area_average(albedo, size)
    product = area_average(albedo * illumination, size)
    lit = mean_albedo > DARK_ALBEDO
    light = np.divide(product, mean_albedo, out=area_average(illumination, size), where=lit)
    rest = area_average(residual, size)
    np.add(rest, product - mean_albedo * light, out=rest, where=~lit)
    return mean_albedo, light, rest
