"""Visibility of points in another frame of the scene, by comparing distances to that frame's camera.

A point X is projected into the target camera: it lies rho metres from the camera's centre, in the direction of a pixel
that measured D metres. With the tolerance e = tau * rho + half a float16 step of D, the point is VISIBLE if
|rho - D| <= e, OCCLUDED if it lies further away than that, INCONSISTENT (seen through) if nearer. Both are Euclidean
distances from the camera's centre; planar depth on one side only would shift one of them by up to a fifth at the
corners of the picture. The last two states are often written with thresholds relative to D, which leaves a gap of
tau squared next to VISIBLE; here the three states meet.
"""

import numpy as np
from numpy.typing import NDArray

from ...datasets.visibility import ViewState
from .scene_view import SceneView

VERSION = 1  # raised whenever a state changes

TAU = 0.02
CHUNK = 1 << 15  # points: their float32 work arrays stay in the second-level cache

Float = NDArray[np.float32]
States = NDArray[np.uint8]

# Half the step between neighbouring float16 numbers, by their 5 exponent bits (no state depends on the last entry).
_HALF_STEP = np.ldexp(1.0, np.maximum(np.arange(32), 1) - 26).astype(np.float32)


def pixel_points(view: SceneView, row: NDArray[np.integer], column: NDArray[np.integer]) -> Float:
    """World points of some pixels of a frame.

    Args:
        view: a frame.
        row: integers, any shape that goes with `column`'s by broadcasting.
        column: likewise.

    Returns:
        (3, N) float32 metres, world, N pixels in the order of the broadcast shape; NaN where nothing was measured.
    """
    distance = view.distance[row, column].astype(np.float32)
    distance[~(np.isfinite(distance) & (distance > 0))] = np.nan
    directions = view.world_from_camera[:3, :3] @ np.linalg.inv(view.intrinsics)
    points = np.empty((3, *distance.shape), np.float32)
    for axis, (per_column, per_row, rest) in enumerate(directions):
        across = (column + 0.5) * per_column + rest
        np.add(across.astype(np.float32), ((row + 0.5) * per_row).astype(np.float32), out=points[axis])
    x, y, z = points
    points *= distance / np.sqrt(x * x + y * y + z * z)
    points += view.centre.astype(np.float32).reshape(3, *(1,) * distance.ndim)
    return points.reshape(3, -1)


def view_points(view: SceneView) -> Float:
    """World points (3, h * w) float32 metres of all pixels of a frame in row order; NaN where nothing was measured."""
    height, width = view.distance.shape
    return pixel_points(view, *np.ogrid[:height, :width])


def view_states(points: NDArray[np.floating], target: SceneView, tau: float = TAU) -> States:
    """What a frame's camera says about points.

    Args:
        points: (N, 3) float32 or float64 metres, world; NaN gives UNKNOWN.
        target: the frame that looks at them.
        tau: relative tolerance.

    Returns:
        (N,) uint8 of `ViewState`; UNKNOWN behind the camera, outside its picture, and where its distance is missing.
    """
    return axis_states(points.T, target, tau)


def axis_states(points: NDArray[np.floating], target: SceneView, tau: float = TAU) -> States:
    """`view_states` of points (3, N) that lie axis by axis, as `view_points` makes them."""
    centre = target.centre.astype(points.dtype)[:, None]
    projection = (target.intrinsics @ target.world_from_camera[:3, :3].T).astype(np.float32)
    distance = np.ascontiguousarray(target.distance)
    states = np.empty(points.shape[1], np.uint8)
    for start in range(0, len(states), CHUNK):
        part = slice(start, start + CHUNK)
        relative = np.subtract(points[:, part], centre, order="C").astype(np.float32, copy=False)
        states[part] = _chunk_states(relative, projection, distance, np.float32(tau))
    return states


def _chunk_states(relative: Float, projection: Float, distance: NDArray[np.float16], tau: np.float32) -> States:
    """States (n,) of points (3, n) relative to the camera's centre, world axes.

    Written out per component instead of as a matrix product: a product's last bit depends on a column's place in it,
    and a point must not change its pixel with its place in a chunk.
    """
    height, width = distance.shape
    x, y, z = relative
    across, down, depth = (row[0] * x + row[1] * y + row[2] * z for row in projection)
    inside = (across >= 0) & (across < np.float32(width) * depth)  # both hold nowhere unless depth > 0
    inside &= (down >= 0) & (down < np.float32(height) * depth)
    states = np.full(x.shape, ViewState.UNKNOWN, np.uint8)
    (found,) = np.nonzero(inside)
    depth = depth[found]
    column = np.minimum((across[found] / depth).astype(np.int32), width - 1)  # the quotient may round up to the edge
    row = np.minimum((down[found] / depth).astype(np.int32), height - 1)
    seen = distance.reshape(-1)[row * width + column]
    x, y, z = x[found], y[found], z[found]
    states[found] = _compare(np.sqrt(x * x + y * y + z * z), seen, tau)
    return states


def _compare(rho: Float, seen: NDArray[np.float16], tau: np.float32) -> States:
    """States (n,) of points rho metres away in the direction of pixels that measured `seen` metres."""
    slack = tau * rho + _HALF_STEP[seen.view(np.uint16) >> np.uint16(10) & np.uint16(31)]
    behind = rho - seen.astype(np.float32)
    states = np.where(behind > 0, np.uint8(ViewState.OCCLUDED), np.uint8(ViewState.INCONSISTENT))
    states[np.abs(behind) <= slack] = ViewState.VISIBLE
    states[~(np.isfinite(seen) & (seen > 0))] = ViewState.UNKNOWN
    return states
