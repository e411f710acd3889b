"""Voxels of a scene, fused over all its frames: free, surface, occluded or unobserved."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...datasets.octree import morton_decode
from ...datasets.voxels import BLOCK, OFF_LATTICE, VoxelState, VoxelStates, block_keys, cube_origin, pack_states
from .scene_view import SceneView
from .unknown import UnknownField
from .voxel_view import BEHIND, BlockJudge

VERSION = 2  # raised whenever a state or a distance to the unknown changes

# The state of each level of `voxel_view`.
_STATE = np.array([VoxelState.UNOBSERVED, VoxelState.OCCLUDED, VoxelState.SURFACE, VoxelState.SURFACE, VoxelState.FREE],
                  np.uint8)  # fmt: skip
CHUNK = 64  # blocks judged at once: their arrays stay in a core's own cache


class VoxelGrid:
    """Voxels of all cubes of a scene, on the lattice of `datasets.voxels`.

    Frames are merged by maximum (facts 3.3, many frames), so their order does not matter. One byte a voxel is held, in
    blocks, and only where a cube is.

    Args:
        voxel: side of a voxel in metres.
        cubes: (F, 4) float64, the frames' cubes: centre x, y, z and side, metres, world frame.

    Raises:
        ValueError: a voxel or a cube that cannot be.

    Example:
        >>> grid = VoxelGrid(0.08, cubes)
        >>> for view in views:
        ...     grid.observe(view)
        >>> grid.lookup(points)  # (N,) uint8 of VoxelState
    """

    def __init__(self, voxel: float, cubes: NDArray[np.float64]) -> None:
        if not voxel > 0 or not len(cubes) or not np.isfinite(cubes).all() or not (cubes[:, 3] > 0).all():
            raise ValueError(f"voxels of {voxel} m cannot cover {len(cubes)} cubes: none, not finite or without a side")
        blocks = _cover(voxel, cubes)
        self._levels = VoxelStates(voxel, blocks, np.zeros((len(blocks), BLOCK, BLOCK, BLOCK), np.uint8))
        self._doubtful = np.empty((0, 3), np.int32)
        self._forget()

    def _forget(self) -> None:
        """Drop what was derived from the levels."""
        self._states: VoxelStates | None = None
        self._unknown: UnknownField | None = None
        self._cube: tuple[bytes, int, NDArray[np.uint8]] | None = None

    @property
    def states(self) -> VoxelStates:
        """Blocks and states as they are now; kept until the next frame is observed."""
        if self._states is None:
            levels = self._levels
            self._states = VoxelStates(levels.voxel, levels.blocks, _STATE[levels.states])
        return self._states

    def doubt(self, voxels: NDArray[np.integer]) -> None:
        """Count voxels (V, 3), coordinates on the lattice, as unknown in `unknown_distance`.

        They hold something that frames have measured, but that is not in the surface that distances are taken to.
        """
        self._doubtful = np.asarray(voxels, np.int32)
        self._unknown = None

    def observe(self, view: SceneView) -> None:
        """Merge what one frame says of all voxels.

        Args:
            view: the frame; where its distance is NaN, nothing changes.
        """
        blocks, levels = self._levels.blocks, self._levels.states
        judge = BlockJudge(view, self._levels.voxel)
        in_view = judge.in_view(blocks)
        for start in range(0, len(in_view), CHUNK):
            rows = in_view[start : start + CHUNK]
            levels[rows] = np.maximum(levels[rows], judge.judge(blocks[rows]))
        self._forget()

    def lookup(self, points: NDArray[np.floating]) -> NDArray[np.uint8]:
        """States (N,) uint8 of `VoxelState` of points (N, 3) in metres, world frame; UNOBSERVED outside."""
        return self.states.lookup(points)

    def cube_states(self, cube: NDArray[np.float64], depth: int) -> NDArray[np.uint8]:
        """States of all voxels of a cube.

        Args:
            cube: (4,) float64 centre x, y, z and side, metres, world frame; it must lie on the voxels' lattice.
            depth: the side is 2^depth voxels.

        Returns:
            (8^depth,) uint8 of `VoxelState` in Morton order: entry k is the octree leaf of key k.

        Raises:
            ValueError: the cube's voxels are of another size or off the lattice.
        """
        return _STATE[self._cube_levels(cube, depth)]

    def cube_seen(self, cube: NDArray[np.float64], depth: int) -> NDArray[np.uint8]:
        """`cube_states` with OCCLUDED for SURFACE voxels to whose centre no frame saw: behind it may be anything."""
        levels = self._cube_levels(cube, depth)
        return np.where(levels == BEHIND, np.uint8(VoxelState.OCCLUDED), _STATE[levels])

    def _cube_levels(self, cube: NDArray[np.float64], depth: int) -> NDArray[np.uint8]:
        """Levels of a cube's voxels in Morton order, kept, as several labels of a frame ask for the same."""
        asked = cube.tobytes(), depth
        if self._cube is None or self._cube[:2] != asked:
            self._cube = (*asked, self._sorted_levels(cube, depth))
        return self._cube[2]

    def _sorted_levels(self, cube: NDArray[np.float64], depth: int) -> NDArray[np.uint8]:
        voxel, side = self._levels.voxel, 1 << depth
        if abs(cube[3] / voxel - side) > OFF_LATTICE:
            raise ValueError(f"a cube of {cube[3]} m and depth {depth} has no voxels of {voxel} m")
        low = cube_origin(cube, depth)
        first, last = low // BLOCK, (low + side - 1) // BLOCK
        count = last - first + 1
        blocks = np.stack(np.meshgrid(*map(np.arange, first, last + 1), indexing="ij"), axis=-1).reshape(-1, 3)
        rows = self._levels.rows(blocks)
        found = self._levels.states[rows] * (rows >= 0)[:, None, None, None]
        dense = found.reshape(*count, BLOCK, BLOCK, BLOCK).transpose(0, 3, 1, 4, 2, 5).reshape(count * BLOCK)
        x, y, z = low - first * BLOCK
        return dense[x : x + side, y : y + side, z : z + side].reshape(-1)[_morton_order(depth)]

    def unknown_distance(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """Distance in metres (N,) float32 of points (N, 3) to the nearest voxel that is not known.

        Not known is what is OCCLUDED, UNOBSERVED, in doubt or in no cube: a surface may hide there. See `UnknownField`
        for how exact it is and where it ends. The first call after `observe` computes the field of the whole scene.
        """
        if self._unknown is None:
            known = self.states.states >= VoxelState.SURFACE
            row = self._levels.rows(self._doubtful // BLOCK)
            known[row[row >= 0], *(self._doubtful[row >= 0] % BLOCK).T] = False
            self._unknown = UnknownField(self.states, known)
        return self._unknown.distance(points)

    def export(self) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """For the scene's record, to be read by `datasets.voxels.unpack_states`.

        Returns:
            (B, 3) int32 coordinates of the blocks that hold an observed voxel; (B, 128) uint8 their packed states.
        """
        observed = self._levels.states.any(axis=(1, 2, 3))
        return self._levels.blocks[observed], pack_states(self.states.states[observed])


def _cover(voxel: float, cubes: NDArray[np.float64]) -> NDArray[np.int32]:
    """Blocks (B, 3) that hold any voxel of cubes (F, 4), ascending."""
    half = cubes[:, 3:] / 2
    first = np.floor((cubes[:, :3] - half) / voxel + OFF_LATTICE).astype(np.int64) // BLOCK
    last = (np.ceil((cubes[:, :3] + half) / voxel - OFF_LATTICE).astype(np.int64) - 1) // BLOCK
    blocks = np.empty((0, 3), np.int64)
    for low, high in {(tuple(low), tuple(high)): None for low, high in zip(first.tolist(), last.tolist(), strict=True)}:
        box = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
        blocks = np.concatenate([blocks, box.reshape(-1, 3)])
        blocks = blocks[np.unique(block_keys(blocks), return_index=True)[1]]
    return blocks.astype(np.int32)


@lru_cache(maxsize=2)
def _morton_order(depth: int) -> NDArray[np.int32]:
    """Position in C order (8^depth,) int32 of the voxel of each Morton key."""
    x, y, z = morton_decode(np.arange(8**depth, dtype=np.uint32)).astype(np.int32).T
    return (x << depth | y) << depth | z
