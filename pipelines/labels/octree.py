"""The octree of a frame's visible points: occupancy bits for every depth, mean colour and normal in the leaves."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import RawDataError
from ...datasets.octree import MAX_DEPTH, Keys, Mask, children, morton_encode, pack_split

VERSION = 2  # raised whenever a cube, a bit or a leaf value changes

SHORTEST_MEAN = 1e-6  # shorter means of unit normals have cancelled out and hold no direction

Points = NDArray[np.float64]
Float = NDArray[np.float32]


@dataclass(frozen=True)
class FrameOctree:
    """Octree of one frame; leaf arrays are of the occupied leaves (non-empty nodes at the finest depth), key order.

    Attributes:
        split: (bytes,) uint8 as `datasets.octree.unpack` reads it.
        leaf_colour: (L, 3) float32 mean colour of a leaf's points; zeros if no colour was given.
        leaf_normal: (L, 3) float32 unit, mean direction of a leaf's normals; zero where undefined.
        leaf_alpha: (L,) float32, 1: an occupied leaf is opaque.
        dropped: number of points that were not strictly inside the cube, or not finite.
    """

    split: NDArray[np.uint8]
    leaf_colour: Float
    leaf_normal: Float
    leaf_alpha: Float
    dropped: int


def frame_cube(points: Points, side: float, depth: int) -> Points:
    """A cube around the bulk of a frame's points.

    The middle of the box between the 2nd and 98th percentile of each axis follows the room rather than the few points
    seen through a window or a door.

    Args:
        points: (N, 3) float64 metres, world frame; rows that are not finite are left out.
        side: side of the cube in metres.
        depth: finest level of its octree. The centre is a multiple of that level's voxel side, so that the voxels of
            all cubes lie on one grid of the world and what is known of them is shared.

    Returns:
        (4,) float64: centre x, y, z and side, metres, world frame.

    Raises:
        RawDataError: no finite point.
    """
    finite = points if np.isfinite(points).all() else points[np.isfinite(points).all(axis=1)]
    if not len(finite):
        raise RawDataError("the frame has no valid point to place its octree cube by; exclude the frame")
    low, high = np.percentile(np.ascontiguousarray(finite.T), (2, 98), axis=1)
    voxel = side / 2**depth
    return np.append(np.round((low + high) / 2 / voxel) * voxel + 0.0, side)  # + 0.0: no negative zero


def build_octree(
    points: Points, colour: Float | None, normal: Float | None, cube: Points, depth: int = 7, full_depth: int = 4
) -> FrameOctree:
    """Octree of points with averaged features.

    With p = 2 (point - centre) / side, points must lie strictly inside (-1, 1)^3 as O-CNN demands; the voxel of a
    point at depth d is floor((p + 1) / 2 * 2^d). The bits do not depend on the order of the points.

    Args:
        points: (N, 3) float64 metres, world frame.
        colour: (N, 3) linear colour of the points, finite, or None.
        normal: (N, 3) unit normals in any one frame, zero where unknown, or None.
        cube: (4,) float64 centre x, y, z and side, metres, world frame.
        depth: finest level, at most 10.
        full_depth: level up to which all nodes are stored.

    Returns:
        the octree; with no point inside, L = 0 and no bit is set.

    Raises:
        ValueError: impossible depths or a side that is not positive.
    """
    if not 0 <= full_depth <= depth <= MAX_DEPTH or not cube[3] > 0:
        raise ValueError(f"octree depths {full_depth} to {depth} or cube side {cube[3]} are impossible")
    voxel, inside = _voxels(points, cube, depth)
    leaves, leaf_of_point = np.unique(morton_encode(voxel, depth), return_inverse=True)
    selection = slice(None) if inside.all() else inside
    leaf_colour, leaf_normal = (
        np.zeros((len(leaves), 3), np.float32)
        if feature is None
        else _leaf_means(feature[selection], leaf_of_point, len(leaves))
        for feature in (colour, normal)
    )
    split = pack_split(_split_bits(leaves, depth, full_depth))
    alpha = np.ones(len(leaves), np.float32)
    return FrameOctree(split, leaf_colour, _renormalise(leaf_normal), alpha, len(points) - len(voxel))


def _voxels(points: Points, cube: Points, depth: int) -> tuple[NDArray[np.uint16], Mask]:
    """Voxels (M, 3) uint16 of the M points strictly inside the cube, and which those are, (N,) bool."""
    side = float(cube[3])
    scaled = points - (cube[:3] - side / 2)
    scaled *= 2**depth / side
    inside = np.ones(len(points), np.bool_)
    for axis in range(3):
        inside &= scaled[:, axis] > 0
        inside &= scaled[:, axis] < 2**depth
    if not inside.all():
        scaled = scaled[inside]
    return scaled.astype(np.uint16), inside


def _leaf_means(values: Float, leaf_of_point: NDArray[np.intp], leaves: int) -> Float:
    """Means (L, 3) float32 of point values (M, 3) a leaf, summed in float64 in the order of the points."""
    counts = np.bincount(leaf_of_point, minlength=leaves)
    sums = [np.bincount(leaf_of_point, values[:, channel], leaves) for channel in range(3)]
    return (np.stack(sums, axis=-1) / counts[:, None]).astype(np.float32)


def _renormalise(mean: Float) -> Float:
    """Unit vectors (L, 3) along mean normals (L, 3); zero where the mean is."""
    length = np.linalg.norm(mean, axis=-1, keepdims=True)
    return np.where(length > SHORTEST_MEAN, mean / np.maximum(length, SHORTEST_MEAN), np.float32(0)).astype(np.float32)


def _split_bits(leaves: Keys, depth: int, full_depth: int) -> list[Mask]:
    """Bits of all nodes, full_depth to depth, from the ascending keys (L,) of the occupied leaves."""
    occupied = [np.unique(leaves >> np.uint32(3 * (depth - d))) for d in range(full_depth, depth + 1)]
    full = np.zeros(8**full_depth, np.bool_)
    full[occupied[0]] = True
    deeper = [np.isin(children(parents), nodes, assume_unique=True) for parents, nodes in pairwise(occupied)]
    return [full, *deeper]
