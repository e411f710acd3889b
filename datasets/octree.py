"""Octrees as stored: one bit a node, everything else rebuilt from the bits.

Layout (that of O-CNN). A cube is halved `depth` times along every axis. At `full_depth` all 8^full_depth nodes exist;
deeper, the nodes are the eight children of every non-empty node one level up. A node's bit says whether it holds a
point. A node's key is its Morton code, so that a node's children are keys 8k .. 8k + 7, and the nodes of a depth lie
in ascending key order.

Stored are the bits alone, depth by depth from `full_depth` to `depth`, each depth padded with zero bits to whole bytes,
the first node in the lowest bit of the first byte (`numpy.packbits(..., bitorder="little")`). A depth has an entry
in two ways, and every array says which: *all nodes* of a depth, or its *non-empty nodes* only (the occupied leaves).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError

MAX_DEPTH = 10  # 30 key bits fit uint32

Keys = NDArray[np.uint32]
Mask = NDArray[np.bool_]
Float = NDArray[np.float32]


def _spread_table() -> Keys:
    """Entry v holds bit i of v at bit 3i, for every 10-bit v."""
    values = np.arange(1 << MAX_DEPTH, dtype=np.uint32)
    table = np.zeros_like(values)
    for bit in range(MAX_DEPTH):
        table |= (values >> np.uint32(bit) & np.uint32(1)) << np.uint32(3 * bit)
    return table


_SPREAD = _spread_table()
# Steps that gather every third bit of a 30-bit number into its lowest ten: (shift, mask after the shift).
_GATHER = ((2, 0x030C30C3), (4, 0x0300F00F), (8, 0x030000FF), (16, 0x000003FF))


@dataclass(frozen=True)
class OctreeStructure:
    """Topology of one octree.

    Attributes:
        depth: finest level D.
        full_depth: level F up to which all nodes exist.
        keys: for each d in F..D, (N_d,) uint32 Morton keys of all nodes, ascending.
        split: for each d in F..D, (N_d,) bool, the node holds at least one point; at D: the leaf is occupied.
    """

    depth: int
    full_depth: int
    keys: dict[int, Keys]
    split: dict[int, Mask]

    @property
    def leaf_keys(self) -> Keys:
        """(L,) uint32 keys of the occupied leaves (non-empty nodes at depth D), ascending."""
        return self.keys[self.depth][self.split[self.depth]]


def morton_encode(xyz: NDArray[np.integer], depth: int) -> Keys:
    """Morton keys of voxels: bit i of x at 3i + 2, of y at 3i + 1, of z at 3i (O-CNN's order).

    Args:
        xyz: (N, 3) integers in [0, 2^depth).
        depth: 0 to 10.

    Returns:
        (N,) uint32.

    Raises:
        ValueError: the depth or a coordinate is out of range.
    """
    if not 0 <= depth <= MAX_DEPTH:
        raise ValueError(f"an octree depth of {depth} is out of range; it must be 0 to {MAX_DEPTH}")
    if xyz.size and (int(xyz.min()) < 0 or int(xyz.max()) >> depth):
        raise ValueError(f"voxel coordinates {xyz.min()} .. {xyz.max()} do not fit depth {depth}")
    x, y, z = (_SPREAD[xyz[:, axis]] for axis in range(3))
    return x << np.uint32(2) | y << np.uint32(1) | z


def morton_decode(keys: Keys) -> Keys:
    """Voxel coordinates (N, 3) uint32 of Morton keys (N,) uint32: the inverse of `morton_encode`."""
    xyz = np.stack([keys >> np.uint32(shift) & np.uint32(0x09249249) for shift in (2, 1, 0)], axis=-1)
    for shift, mask in _GATHER:
        xyz = (xyz | xyz >> np.uint32(shift)) & np.uint32(mask)
    return xyz


def pack_split(split: Sequence[Mask]) -> NDArray[np.uint8]:
    """The stored bytes of the bits of all nodes, one bool array (N_d,) a depth, from full_depth to depth."""
    return np.concatenate([np.packbits(bits, bitorder="little") for bits in split])


def unpack(split_packed: NDArray[np.uint8], depth: int, full_depth: int) -> OctreeStructure:
    """Rebuilds the topology from the stored bits.

    Every depth's node count follows from the bits of the depth above, and is compared with the bytes that are left
    before anything of its size is allocated: memory is bounded by 40 times the size of the input.

    Args:
        split_packed: (bytes,) uint8 from `pack_split`.
        depth: finest level.
        full_depth: level up to which all nodes exist.

    Returns:
        keys and bits of all nodes of every depth from full_depth to depth.

    Raises:
        FormatError: impossible depths, another dtype, bytes that are missing or left over, or padding that is not 0.
    """
    if not 0 <= full_depth <= depth <= MAX_DEPTH:
        raise FormatError(f"octree depths {full_depth} to {depth} are impossible; 0 <= full <= depth <= {MAX_DEPTH}")
    if split_packed.dtype != np.uint8 or split_packed.ndim != 1:
        raise FormatError(f"octree bits must be one row of uint8, not {split_packed.dtype} {split_packed.shape}")
    split: dict[int, Mask] = {}
    keys: dict[int, Keys] = {}
    start, count = 0, 8**full_depth
    for d in range(full_depth, depth + 1):
        end = start + (count + 7) // 8
        if end > split_packed.size:
            raise FormatError(f"octree bits end at byte {split_packed.size}, but depth {d} needs them up to {end}")
        split[d] = _unpack_depth(split_packed[start:end], count, d)
        keys[d] = np.arange(count, dtype=np.uint32) if d == full_depth else children(keys[d - 1][split[d - 1]])
        start, count = end, 8 * int(np.count_nonzero(split[d]))
    if start != split_packed.size:
        raise FormatError(f"octree bits of depths {full_depth} to {depth} fill {start} bytes, not {split_packed.size}")
    return OctreeStructure(depth, full_depth, keys, split)


def unpack_bits(packed: NDArray[np.uint8], structure: OctreeStructure) -> dict[int, Mask]:
    """Other bits of an octree's nodes, stored beside `octree_split` in the same layout (`octree_observed`, ...).

    Args:
        packed: (bytes,) uint8, as many as the octree's own.
        structure: the octree.

    Returns:
        for each d in F..D, (N_d,) bool, in the order of `structure.keys[d]`.

    Raises:
        FormatError: another dtype or number of bytes, or padding that is not 0.
    """
    sizes = [(structure.keys[d].size + 7) // 8 for d in range(structure.full_depth, structure.depth + 1)]
    if packed.dtype != np.uint8 or packed.shape != (sum(sizes),):
        raise FormatError(f"bits of this octree are {sum(sizes)} uint8 bytes, not {packed.dtype} {packed.shape}")
    parts = np.split(packed, np.cumsum(sizes)[:-1])
    return {
        d: _unpack_depth(part, structure.keys[d].size, d) for d, part in enumerate(parts, start=structure.full_depth)
    }


def _unpack_depth(packed: NDArray[np.uint8], count: int, depth: int) -> Mask:
    """The first `count` bits as bool; raises FormatError if a padding bit is set."""
    bits = np.unpackbits(packed, bitorder="little").view(np.bool_)
    if bits[count:].any():
        raise FormatError(f"octree bits of depth {depth} have padding that is not zero; the record is damaged")
    return bits[:count]


def children(keys: Keys) -> Keys:
    """Keys (8 N,) uint32 of the eight children of each node, from the parents' keys (N,) uint32."""
    return (keys[:, None] << np.uint32(3) | np.arange(8, dtype=np.uint32)).reshape(-1)


def leaf_centres(structure: OctreeStructure, cube: NDArray[np.floating]) -> NDArray[np.float64]:
    """Centres of the occupied leaves.

    Args:
        structure: an octree.
        cube: (4,) centre x, y, z and side in metres, world frame.

    Returns:
        (L, 3) float64 metres, world frame, in the order of `leaf_keys`.
    """
    centre, side = np.asarray(cube[:3], np.float64), float(cube[3])
    unit = (morton_decode(structure.leaf_keys) + 0.5) / 2**structure.depth
    return centre + side * (unit - 0.5)


@dataclass(frozen=True)
class PooledFeatures:
    """Opacity and colour of all nodes of every depth (empty nodes are 0).

    Attributes:
        alpha: for each d in F..D, (N_d,) float32 in [0, 1].
        colour: for each d in F..D, (N_d, 3) float32, the unit of the leaf colours.
    """

    alpha: dict[int, Float]
    colour: dict[int, Float]


def pool_alpha_colour(structure: OctreeStructure, leaf_alpha: Float, leaf_colour: Float) -> PooledFeatures:
    """Leaf opacity and colour averaged upwards, as a volume renderer sees them from further away.

    alpha of a node is the mean of its eight children's alpha (empty children count as 0); colour is their mean weighted
    by alpha, 0 where all alpha are 0.

    Args:
        structure: an octree.
        leaf_alpha: (L,) of the occupied leaves, in the order of `leaf_keys`.
        leaf_colour: (L, 3) likewise.

    Returns:
        features of all nodes of every depth from full_depth to depth.

    Raises:
        FormatError: the leaves are not as many as the octree's occupied leaves.
    """
    leaves = int(np.count_nonzero(structure.split[structure.depth]))
    if leaf_alpha.shape != (leaves,) or leaf_colour.shape != (leaves, 3):
        raise FormatError(f"{leaves} occupied leaves, but alpha {leaf_alpha.shape} and colour {leaf_colour.shape}")
    pooled = PooledFeatures({}, {})
    alpha, colour = leaf_alpha.astype(np.float32), leaf_colour.astype(np.float32)
    for d in range(structure.depth, structure.full_depth - 1, -1):
        split = structure.split[d]
        pooled.alpha[d] = np.zeros(split.size, np.float32)
        pooled.colour[d] = np.zeros((split.size, 3), np.float32)
        pooled.alpha[d][split], pooled.colour[d][split] = alpha, colour
        if d > structure.full_depth:
            alpha, colour = _pool_siblings(pooled.alpha[d].reshape(-1, 8), pooled.colour[d].reshape(-1, 8, 3))
    return pooled


def _pool_siblings(alpha: Float, colour: Float) -> tuple[Float, Float]:
    """Parents' alpha (N,) and colour (N, 3) from their children's (N, 8) and (N, 8, 3)."""
    total = alpha.sum(axis=1)
    weighted = np.einsum("nk,nkc->nc", alpha, colour)
    return total / np.float32(8), weighted / np.where(total > 0, total, np.float32(1))[:, None]
