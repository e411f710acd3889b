"""Pinhole geometry in the stored convention: OpenCV axes, corner-origin intrinsics (pixel centres at +0.5)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def pixel_rays(intrinsics: Array, height: int, width: int) -> Array:
    """Unit viewing rays of every pixel centre.

    Args:
        intrinsics: (3, 3) float64 upper-triangular matrix in pixels, corner origin; skew is honoured.
        height: image rows.
        width: image columns.

    Returns:
        (height, width, 3) float64 unit vectors in the camera frame (x right, y down, z forward).
    """
    inverse = np.linalg.inv(intrinsics)
    columns = (np.arange(width) + 0.5)[None, :, None] * inverse[:, 0]
    rows = (np.arange(height) + 0.5)[:, None, None] * inverse[:, 1]
    rays = columns + rows + inverse[:, 2]
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def unproject(distance: NDArray[np.floating], intrinsics: Array) -> Array:
    """Camera-frame points (height, width, 3) in metres from Euclidean distances (height, width) in metres."""
    height, width = distance.shape
    return distance.astype(np.float64)[..., None] * pixel_rays(intrinsics, height, width)


def project(points: Array, intrinsics: Array) -> tuple[Array, Array]:
    """Pixel coordinates and planar depth of camera-frame points.

    Args:
        points: (..., 3) float64 metres, camera frame.
        intrinsics: (3, 3) float64, pixels, corner origin.

    Returns:
        (..., 2) pixel coordinates (x, y), corner origin (a pixel centre is at +0.5), meaningless where the
        depth is not positive; (...,) planar depth in metres.
    """
    homogeneous = points @ intrinsics.T
    depth = homogeneous[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return homogeneous[..., :2] / depth[..., None], depth


def transform(points: Array, matrix: Array) -> Array:
    """Points (..., 3) moved by a rigid (4, 4) matrix, e.g. `world_from_camera`."""
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def planar_depth(distance: NDArray[np.floating], intrinsics: Array) -> Array:
    """Depth along the optical axis (height, width) float64 metres from Euclidean distance of the same shape."""
    height, width = distance.shape
    return distance.astype(np.float64) * pixel_rays(intrinsics, height, width)[..., 2]
