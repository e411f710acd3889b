"""Which nodes of a frame's octree may be supervised, and which hold a surface, by all frames of the scene.

A frame's own octree marks as empty whatever it does not see. Trained on that, a model learns that the far side of
everything is empty. These bits, laid out exactly as `octree_split` (`datasets.octree`), say what the whole scene knows.
"""

import numpy as np
from numpy.typing import NDArray

from ...datasets.octree import Keys, Mask, morton_encode, pack_split, unpack
from ...datasets.voxels import VoxelState, cube_origin

VERSION = 2  # raised whenever a bit changes

Bits = NDArray[np.uint8]


def occupied_voxels(points: NDArray[np.floating], voxel: float) -> NDArray[np.int32]:
    """Voxels of the scene's lattice that hold a point, to be found once a scene.

    Args:
        points: (N, 3) finite, metres, world frame, e.g. of surfels.
        voxel: side of a voxel in metres.

    Returns:
        (V, 3) int32 coordinates, each once, ascending.
    """
    cell = np.floor(np.asarray(points, np.float64) / voxel).astype(np.int64)
    offset = np.int64(1 << 20)
    x, y, z = (cell + offset).T
    keys = np.unique(x << 42 | y << 21 | z)
    return (np.stack([keys >> shift & (2 * offset - 1) for shift in (42, 21, 0)], axis=-1) - offset).astype(np.int32)


def leaf_keys(voxels: NDArray[np.int32], cube: NDArray[np.float64], depth: int) -> Keys:
    """Octree leaves of a cube among voxels of the lattice it lies on.

    Args:
        voxels: (V, 3) coordinates from `occupied_voxels`.
        cube: (4,) centre x, y, z and side, metres, world frame.
        depth: the side is 2^depth voxels.

    Returns:
        (L,) uint32 Morton keys of the voxels inside the cube, in the order of the voxels.

    Raises:
        ValueError: the cube is not on the lattice.
    """
    local = voxels - cube_origin(cube, depth)
    x, y, z = ((local >= 0) & (local < 2**depth)).T
    return morton_encode(local[x & y & z], depth)


def octree_supervision(
    split_packed: Bits, depth: int, full_depth: int, cube_states: Bits, occupied: Keys
) -> tuple[Bits, Bits]:
    """Bits of all nodes of a frame's octree.

    A node is occupied if it holds a point of the frame or of the scene. It is observed if it is occupied, or if all its
    voxels are FREE or SURFACE, seen to the centre: then it is known to be empty. Holds 8^depth bytes for a moment.

    Args:
        split_packed: (bytes,) uint8, the frame's `octree_split`.
        depth: finest level.
        full_depth: level up to which all nodes exist.
        cube_states: (8^depth,) uint8 of `VoxelState` in Morton order, from `VoxelGrid.cube_seen`.
        occupied: (L,) uint32 Morton keys at `depth` of what the scene occupies, any order.

    Returns:
        (bytes,) uint8 observed, (bytes,) uint8 occupied, as `split_packed`.

    Raises:
        FormatError: damaged bits.
    """
    tree = unpack(split_packed, depth, full_depth)
    known = cube_states >= VoxelState.SURFACE
    full = np.zeros(known.size, np.bool_)
    full[occupied] = True
    observed_bits, occupied_bits = [], []
    for d in range(depth, full_depth - 1, -1):
        occupied_bits.append(full[tree.keys[d]] | tree.split[d])
        observed_bits.append(known[tree.keys[d]] | occupied_bits[-1])
        if d > full_depth:
            known, full = _of_parents(known, all_children=True), _of_parents(full, all_children=False)
    return pack_split(observed_bits[::-1]), pack_split(occupied_bits[::-1])


def _of_parents(bits: Mask, all_children: bool) -> Mask:
    """Whether all, or any, of each eight siblings' bits (8 N,) are set, (N,), by comparing eight bytes at once."""
    eight = bits.view(np.uint64)
    return eight == np.uint64(0x0101010101010101) if all_children else eight != 0
