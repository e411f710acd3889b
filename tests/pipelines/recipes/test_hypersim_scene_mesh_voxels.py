"""The scenes' voxels and the octree supervision of the records against the demo's exact meshes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tessera.datasets import Dataset, Record
from tessera.datasets.octree import Keys, Mask, OctreeStructure, morton_decode, morton_encode, unpack, unpack_bits
from tessera.datasets.voxels import BLOCK, VoxelState, VoxelStates, unpack_states

from .exact_room import SCENES, exact_room, most, scene_records, wrong_states

VOXELS = 3_000  # of each state of each scene
NODES = 250  # of each depth and kind of a record
NOISE = 0.016  # metres, of the nearest spot to an occupied leaf: float16 distances, and rays that just pass an edge
BAND = 1.5 * 3**0.5 / 2  # voxels along a ray in which they are SURFACE

# Voxels of the lattice in wrong states in %: unobserved, occluded, surface, free.
STATES = {192: (0.4, 0.02, 0.95, 0.21), 96: (1.3, 0.02, 2.5, 0.67)}
# Of the exact surface that a frame sees, the share in % that is in nodes observed and empty, by depth from 4 to 7.
LOST = {192: (0.004, 0.004, 0.021, 0.63), 96: (0.006, 0.04, 0.18, 3.5)}
# Of the voxels of nodes observed and empty, the share in % to whose centres no camera sees, by more than 2.6 cm.
UNSEEN = {192: 0.075, 96: 0.27}


def height(dataset: Dataset) -> int:
    return next(iter(dataset.table("frames")))["distance"].shape[0]


def scene_voxels(dataset: Dataset, scene: str) -> VoxelStates:
    record = dataset.table("scenes")[scene]
    return unpack_states(record["voxel_states"], record["voxel_blocks"], float(record["voxel_size"]))


def test_voxels_are_what_exact_lines_of_sight_say(dataset: Dataset, demo: Path) -> None:
    """Some of each state: with their centres as points, all cameras looking."""
    wrong = []
    for scene in SCENES:
        room, voxels, rng = exact_room(demo, scene), scene_voxels(dataset, scene), np.random.default_rng(0)
        flat = voxels.states.reshape(-1)
        rows = [rng.choice(np.flatnonzero(flat == state), VOXELS, replace=False) for state in VoxelState]
        block, local = np.divmod(np.concatenate(rows), BLOCK**3)
        cell = voxels.blocks[block] * BLOCK + np.stack(np.unravel_index(local, (BLOCK,) * 3), axis=-1)
        centres = (cell + 0.5) * voxels.voxel
        past = room.past(scene_records(dataset, scene), centres)
        gap = np.linalg.norm(room.nearest(centres)[0] - centres, axis=1)
        wrong.append(wrong_states(flat[np.concatenate(rows)], past, gap, voxels.voxel))
    for state, measured in zip(VoxelState, STATES[height(dataset)], strict=True):
        every = np.concatenate([one[state] for one in wrong])
        assert every.mean() < most(measured / 100, len(every)), (state, every.mean())


def test_free_voxels_are_air(dataset: Dataset, demo: Path) -> None:
    for scene in SCENES:
        voxels = scene_voxels(dataset, scene)
        block, *local = np.nonzero(voxels.states == VoxelState.FREE)
        centres = (voxels.blocks[block] * BLOCK + np.stack(local, axis=-1) + 0.5) * voxels.voxel
        assert len(centres) > 30_000 and exact_room(demo, scene).solid(centres[::5]).mean() < 2e-3


@dataclass(frozen=True)
class Tree:
    """Octree supervision of one record: nodes' keys and bits by depth."""

    keys: dict[int, Keys]
    observed: dict[int, Mask]
    occupied: dict[int, Mask]
    cube: np.ndarray
    depth: int

    def corners(self, depth: int, rows: np.ndarray) -> np.ndarray:
        """(N, 3) lowest leaf voxels of some nodes, whether or not the tree has those leaves."""
        return morton_decode(self.keys[depth][rows]).astype(np.int64) << (self.depth - depth)

    def centres(self, voxels: np.ndarray) -> np.ndarray:
        """(N, 3) world metres of leaf voxels."""
        return self.cube[:3] + self.cube[3] * ((voxels + 0.5) / 2**self.depth - 0.5)


def tree_of(record: Record) -> Tree:
    depth, full = record.options["octree_depth"], record.options["octree_full_depth"]
    tree: OctreeStructure = unpack(record["octree_split"], depth, full)
    bits = (unpack_bits(record[name], tree) for name in ("octree_observed", "octree_occupied"))
    return Tree(tree.keys, *bits, record["cube"], depth)


def node_voxels(tree: Tree, depth: int, chosen: Mask, rng: np.random.Generator) -> np.ndarray:
    """(N, V, 3) world centres of all voxels of some of the chosen nodes of a depth."""
    rows = np.flatnonzero(chosen)
    rows = rng.permutation(rows)[: max(8, NODES >> 2 * (tree.depth - depth - 1)) if depth < tree.depth else 8 * NODES]
    width = 2 ** (tree.depth - depth)
    inner = np.stack(np.unravel_index(np.arange(width**3), (width,) * 3), axis=-1)
    return tree.centres(tree.corners(depth, rows)[:, None] + inner)


def trees(dataset: Dataset, scene: str) -> Iterator[Tree]:
    return (tree_of(record) for record in scene_records(dataset, scene))


def test_surface_that_was_seen_is_not_in_nodes_that_are_known_to_be_empty(dataset: Dataset, demo: Path) -> None:
    """Up to the shares of LOST, by area: what a frame sees at so flat an angle that no pixel's centre falls into a
    voxel, and parts thinner than a pixel. Of 384 x 512 and 12 frames a camera it is a tenth of that."""
    lost, total = np.zeros(4), np.zeros(4)
    for scene in SCENES:
        room, records = exact_room(demo, scene), scene_records(dataset, scene)
        spots = room.surface
        looks = [room.sights(record, spots) for record in records]
        seen = np.any([look.inside & (np.abs(look.first - look.rho) < 2e-3) for look in looks], axis=0)
        for tree in trees(dataset, scene):
            voxel = np.floor(((spots[seen] - tree.cube[:3]) / tree.cube[3] + 0.5) * 2**tree.depth).astype(np.int64)
            leaf = morton_encode(voxel[((voxel >= 0) & (voxel < 2**tree.depth)).all(axis=1)], tree.depth)
            for row, depth in enumerate(sorted(tree.keys)):
                node = leaf >> np.uint32(3 * (tree.depth - depth))
                place = np.searchsorted(tree.keys[depth], node).clip(0, len(tree.keys[depth]) - 1)
                mine = place[tree.keys[depth][place] == node]
                empty = tree.observed[depth] & ~tree.occupied[depth]
                lost[row] += empty[mine].sum()
                total[row] += len(mine)
    assert (total > 50_000).all()
    for share, measured, count in zip(lost / total, LOST[height(dataset)], total, strict=True):
        assert share < most(measured / 100, count), lost / total


def test_nodes_that_are_known_to_be_empty_were_seen_through(dataset: Dataset, demo: Path) -> None:
    """Every voxel of them: some camera sees as far as its centre."""
    unseen = []
    for scene in SCENES:
        room, records, rng = exact_room(demo, scene), scene_records(dataset, scene), np.random.default_rng(1)
        for tree in list(trees(dataset, scene))[::2]:
            band = BAND * tree.cube[3] / 2**tree.depth
            for depth in tree.keys:
                voxels = node_voxels(tree, depth, tree.observed[depth] & ~tree.occupied[depth], rng)
                unseen.append(room.past(records, voxels.reshape(-1, 3)) < -0.25 * band)
    every = np.concatenate(unseen)
    assert every.mean() < most(UNSEEN[height(dataset)] / 100, len(every)), every.mean()


def test_trap_unseen_nodes_that_are_empty_were_truly_not_seen(dataset: Dataset, demo: Path) -> None:
    """In each of them there is a voxel that no camera sees past; hardly any has been kept from training for nothing."""
    clear, nodes = np.zeros(8), np.zeros(8)
    for scene in SCENES:
        room, records, rng = exact_room(demo, scene), scene_records(dataset, scene), np.random.default_rng(2)
        for tree in list(trees(dataset, scene))[::2]:
            band = BAND * tree.cube[3] / 2**tree.depth
            for depth in tree.keys:
                voxels = node_voxels(tree, depth, ~tree.observed[depth], rng)
                past = room.past(records, voxels.reshape(-1, 3)).reshape(voxels.shape[:2])
                clear[depth] += (past > 0.25 * band).all(axis=1).sum()
                nodes[depth] += len(voxels)
    assert (nodes[4:] > 90).all() and (clear[4:] / nodes[4:] < 0.01).all(), clear[4:] / nodes[4:]


def test_trap_octree_bits_of_another_frame_occupied_leaves_hold_surface(dataset: Dataset, demo: Path) -> None:
    """The nearest spot of the exact mesh is in the leaf, within NOISE; and most of what frames see is in one."""
    for scene in SCENES:
        room = exact_room(demo, scene)
        for tree in trees(dataset, scene):
            voxel = tree.cube[3] / 2**tree.depth
            centres = tree.centres(tree.corners(tree.depth, np.flatnonzero(tree.occupied[tree.depth])))
            beyond = np.abs(room.nearest(centres)[0] - centres).max(axis=1) - voxel / 2
            assert len(centres) > 2000 and beyond.max() < NOISE and np.quantile(beyond, 0.99) < NOISE / 4, scene
            for depth in tree.keys:
                assert not (tree.occupied[depth] & ~tree.observed[depth]).any()
