"""How far a point is from anything that no frame has seen: whether a distance to the known surface can be trusted."""

import cv2
import numpy as np
from numpy.typing import NDArray

from ...datasets.voxels import BLOCK, VoxelState, VoxelStates, cells

REACH = 63  # voxels: squares and their sums stay below 2^16
TILE = 32  # blocks along the side of what is transformed at once; at most 0.4 GB
MARGIN = -(-REACH // BLOCK)  # blocks around a tile that its distances depend on

Squares = NDArray[np.uint16]


class UnknownField:
    """Distances to the nearest voxel that is not known: OCCLUDED, UNOBSERVED or in no block.

    The exact Euclidean distance between voxel centres is interpolated between the eight centres around a point, and
    half a voxel is taken off, as a voxel begins half a side before its centre. Before a flat front of unknown voxels
    that is exact; in general it is off by less than one voxel. It is 0 in unknown voxels and ends at 62.5 voxels (5 m
    of 8 cm voxels): there the unknown is that far away or farther.

    Args:
        voxels: the scene.
        known: (B, 8, 8, 8) bool, which of its voxels are known; those that are SURFACE or FREE by default.
    """

    def __init__(self, voxels: VoxelStates, known: NDArray[np.bool_] | None = None) -> None:
        self._voxels = voxels
        known = voxels.states >= VoxelState.SURFACE if known is None else known
        self._squares = squared_distances(known, voxels.blocks)

    def distance(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Distances (N,) float32 in metres of points (N, 3) in metres, world frame."""
        scaled = np.asarray(points, np.float64) / self._voxels.voxel
        known = np.flatnonzero(self._at(cells(scaled)))
        distances = np.zeros(len(scaled), np.float32)
        distances[known] = self._interpolated(scaled[known] - 0.5) - np.float32(0.5)
        return np.maximum(distances, 0) * np.float32(self._voxels.voxel)

    def _interpolated(self, scaled: NDArray[np.float64]) -> NDArray[np.float32]:
        """Distances (N,) in voxels between the eight voxels whose centres, at whole numbers, are around (N, 3)."""
        base = np.floor(scaled).astype(np.int64)
        part = (scaled - base).astype(np.float32)
        total = np.zeros(len(base), np.float32)
        x, y, z = zip((1 - part).T, part.T, strict=True)
        for corner in np.ndindex(2, 2, 2):
            weight = x[corner[0]] * y[corner[1]] * z[corner[2]]
            total += weight * np.sqrt(self._at(base + corner), dtype=np.float32)
        return total

    def _at(self, voxels: NDArray[np.int64]) -> Squares:
        """Squared distances (N,) of voxels (N, 3); 0 in no block."""
        row, local = self._voxels.rows(voxels // BLOCK), voxels & (BLOCK - 1)
        return self._squares[row, *local.T] * (row >= 0)


def squared_distances(known: NDArray[np.bool_], blocks: NDArray[np.int32]) -> Squares:
    """Squared distance in voxels from every voxel's centre to that of the nearest unknown one.

    Args:
        known: (B, 8, 8, 8), the voxels of the blocks; everything else is unknown.
        blocks: (B, 3) block coordinates.

    Returns:
        (B, 8, 8, 8) uint16, 0 where unknown, at most REACH squared.
    """
    squares = np.zeros(known.shape, np.uint16)
    tiles = blocks // TILE
    for tile in np.unique(tiles, axis=0):
        first = tile * TILE
        near = ((blocks >= first - MARGIN) & (blocks < first + TILE + MARGIN)).all(axis=1)
        origin = blocks[near].min(axis=0)
        place = blocks[near] - origin
        count = place.max(axis=0) + 1
        dense = np.zeros((count[0], BLOCK, count[1], BLOCK, count[2], BLOCK), np.uint8)
        dense[place[:, 0], :, place[:, 1], :, place[:, 2]] = known[near]
        found = _transform(np.pad(dense.reshape(count * BLOCK), 1))[1:-1, 1:-1, 1:-1].reshape(dense.shape)
        mine = (tiles == tile).all(axis=1)
        x, y, z = (blocks[mine] - origin).T
        squares[mine] = found[x, :, y, :, z]
    return squares


def _transform(known: NDArray[np.uint8]) -> Squares:
    """Squared distances to the nearest 0 of (X, Y, Z), at most REACH squared; every x-slice must hold a 0.

    Exact in y and z by OpenCV, slice by slice; then the least of x-offset squared plus the slice's own square.
    """
    flat = np.empty(known.shape, np.uint16)
    for square, layer in zip(flat, known, strict=True):
        exact = cv2.distanceTransform(layer, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        square[:] = np.minimum(np.rint(exact * exact), REACH**2)
    best = flat.copy()
    for offset in range(1, REACH):
        step = np.uint16(offset * offset)
        if step >= best.max():
            break
        np.minimum(best[offset:], flat[:-offset] + step, out=best[offset:])
        np.minimum(best[:-offset], flat[offset:] + step, out=best[:-offset])
    return best
