"""Voxel states of a scene as stored: blocks of 8 x 8 x 8 voxels on one lattice, two bits a voxel.

Voxel (i, j, k) covers [i v, (i + 1) v) x [j v, (j + 1) v) x [k v, (k + 1) v) of the world, v metres a side. Block
(a, b, c) holds the voxels 8 (a, b, c) + (0..7, 0..7, 0..7). Whatever lies in no stored block is UNOBSERVED.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError

BLOCK = 8  # voxels along a block's side
PACKED_BYTES = BLOCK**3 // 4
OFF_LATTICE = 1e-3  # of a voxel: what the corner of a cube may miss the lattice by
FURTHEST = 1 << 20  # blocks from the origin along an axis: 21 bits an axis fit 63 bits


class VoxelState(IntEnum):
    """What all frames of a scene together say of a voxel; the greater value wins. Part of the stored format."""

    UNOBSERVED = 0  # in no frame's view, or only where a frame has no distance
    OCCLUDED = 1  # only ever behind a surface
    SURFACE = 2  # near a surface, and never seen through
    FREE = 3  # seen through at least once


@dataclass(frozen=True)
class VoxelStates:
    """The voxels of a scene.

    Attributes:
        voxel: side of a voxel in metres.
        blocks: (B, 3) int32 block coordinates, each once, in ascending lexicographic order.
        states: (B, 8, 8, 8) uint8 of `VoxelState`, axes x, y, z.
    """

    voxel: float
    blocks: NDArray[np.int32]
    states: NDArray[np.uint8]

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """(B,) int64 keys of the blocks, ascending."""
        return block_keys(self.blocks)

    def rows(self, blocks: NDArray[np.integer]) -> NDArray[np.intp]:
        """Rows (N,) of block coordinates (N, 3) integers; -1 where there is no such block."""
        if not len(self.keys):
            return np.full(len(blocks), -1, np.intp)
        keys = block_keys(blocks)
        row = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        x, y, z = (np.abs(blocks) < FURTHEST).T
        return np.where(x & y & z & (self.keys[row] == keys), row, -1)

    def lookup(self, points: NDArray[np.floating]) -> NDArray[np.uint8]:
        """States of points.

        Args:
            points: (N, 3) metres, world frame.

        Returns:
            (N,) uint8 of `VoxelState`; UNOBSERVED outside all blocks and where a point is not finite.
        """
        cell = cells(np.asarray(points, np.float64) / self.voxel)
        row, local = self.rows(cell // BLOCK), cell % BLOCK
        found = row >= 0
        states = np.zeros(len(cell), np.uint8)
        states[found] = self.states[row[found], *local[found].T]
        return states


def cells(scaled: NDArray[np.float64]) -> NDArray[np.int64]:
    """Voxels (N, 3) that hold points (N, 3) given in voxel sides; in no block where one is not finite or far away."""
    limit = float(FURTHEST * BLOCK)
    return np.floor(np.nan_to_num(scaled, nan=limit, posinf=limit, neginf=-limit).clip(-limit, limit)).astype(np.int64)


def cube_origin(cube: NDArray[np.floating], depth: int) -> NDArray[np.int64]:
    """Lowest voxel (3,) of a cube whose 2^depth voxels a side lie on the lattice.

    Args:
        cube: (4,) centre x, y, z and side, metres, world frame.
        depth: the side is 2^depth voxels.

    Raises:
        ValueError: the cube's corner is not a lattice point.
    """
    exact = (np.asarray(cube[:3], np.float64) / cube[3] - 0.5) * 2**depth
    low = np.rint(exact)
    if not np.abs(exact - low).max() <= OFF_LATTICE:
        raise ValueError(f"the cube {cube.tolist()} of depth {depth} is not on the lattice of its own voxels")
    return low.astype(np.int64)


def block_keys(blocks: NDArray[np.integer]) -> NDArray[np.int64]:
    """Keys (N,) int64 of block coordinates (N, 3), which sort as the coordinates do, x first."""
    shifted = np.asarray(blocks, np.int64) + FURTHEST
    return shifted[:, 0] << 42 | shifted[:, 1] << 21 | shifted[:, 2]


def pack_states(states: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The stored bytes of states: voxel n of a block in C order in bits 2 (n mod 4) and 2 (n mod 4) + 1 of byte n / 4.

    Args:
        states: (B, 8, 8, 8) uint8 of `VoxelState`.

    Returns:
        (B, 128) uint8.
    """
    shifted = states.reshape(-1, PACKED_BYTES, 4) << np.arange(0, 8, 2, dtype=np.uint8)
    return np.bitwise_or.reduce(shifted, axis=-1)


def unpack_states(packed: NDArray[np.uint8], blocks: NDArray[np.int32], voxel: float) -> VoxelStates:
    """Voxels of a scene from its record.

    Args:
        packed: (B, 128) uint8 from `pack_states`.
        blocks: (B, 3) int32 block coordinates, ascending.
        voxel: side of a voxel in metres.

    Returns:
        the voxels, ready for `lookup`.

    Raises:
        FormatError: shapes or dtype that cannot be, or blocks out of order.
    """
    if packed.dtype != np.uint8 or packed.shape != (len(blocks), PACKED_BYTES) or blocks.shape != (len(blocks), 3):
        raise FormatError(
            f"voxel states must be uint8 (blocks, {PACKED_BYTES}) beside block coordinates (blocks, 3), "
            f"not {packed.dtype} {packed.shape} beside {blocks.shape}"
        )
    states = (packed[..., None] >> np.arange(0, 8, 2, dtype=np.uint8)) & np.uint8(3)
    voxels = VoxelStates(voxel, blocks, states.reshape(-1, BLOCK, BLOCK, BLOCK))
    if (np.diff(voxels.keys) <= 0).any():
        raise FormatError("the voxel blocks are not in ascending order; the record is damaged")
    return voxels
