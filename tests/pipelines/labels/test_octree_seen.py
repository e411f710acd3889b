"""Supervision bits against a slow walk over all nodes and voxels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.datasets.octree import Keys, morton_decode, morton_encode, unpack
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.labels.octree import build_octree
from tessera.pipelines.labels.octree_seen import leaf_keys, occupied_voxels, octree_supervision

DEPTH, FULL, SIDE = 4, 2, 3.2
CUBE = np.array([0.4, -1.2, 2.0, SIDE])
VOXEL = SIDE / 2**DEPTH


def clouds(seed):
    """A frame's points, the scene's points (some beyond the cube), and states in patches of a few voxels."""
    rng = np.random.default_rng(seed)
    frame = CUBE[:3] + rng.uniform(-SIDE / 2, SIDE / 2, (25, 3)) * [1, 1, 0.4]
    scene = CUBE[:3] + rng.uniform(-SIDE, SIDE, (120, 3))
    patches = rng.choice(4, size=(4, 4, 4), p=[0.1, 0.1, 0.2, 0.6])
    states = np.kron(patches, np.ones((4, 4, 4), int)).astype(np.uint8)
    states[tuple(rng.integers(0, 16, (20, 3)).T)] = rng.integers(0, 4, 20)
    return frame, scene, states


def morton_states(states) -> np.ndarray:
    xyz = morton_decode(np.arange(states.size, dtype=np.uint32))
    return states[tuple(xyz.T)]


def supervised(frame, scene, states):
    split = build_octree(frame, None, None, CUBE, DEPTH, FULL).split
    keys = leaf_keys(occupied_voxels(scene, VOXEL), CUBE, DEPTH)
    observed, occupied = octree_supervision(split, DEPTH, FULL, morton_states(states), keys)
    return unpack(split, DEPTH, FULL), per_depth(observed, split), per_depth(occupied, split)


def per_depth(packed, split):
    """Bits by depth of bytes laid out as `split`, cut by hand."""
    tree, bits, start = unpack(split, DEPTH, FULL), {}, 0
    for d in range(FULL, DEPTH + 1):
        size = -(-tree.keys[d].size // 8)
        eight = np.unpackbits(packed[start : start + size], bitorder="little")
        assert not eight[tree.keys[d].size :].any()
        bits[d], start = eight[: tree.keys[d].size].astype(bool), start + size
    assert start == packed.size == split.size
    return bits


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_bits_against_a_walk_over_voxels(seed):
    frame, scene, states = clouds(seed)
    tree, observed, occupied = supervised(frame, scene, states)
    low = CUBE[:3] - SIDE / 2
    filled = {tuple(v) for v in np.floor((np.concatenate([frame, scene]) - low) / VOXEL).astype(int).tolist()}
    for d in range(FULL, DEPTH + 1):
        width = 2 ** (DEPTH - d)
        for i, node in enumerate(morton_decode(tree.keys[d]).astype(int) * width):
            x, y, z = node
            holds = any((x + a, y + b, z + c) in filled for a, b, c in np.ndindex(width, width, width))
            seen = all(s in (VoxelState.FREE, VoxelState.SURFACE)
                       for s in states[x : x + width, y : y + width, z : z + width].flat)  # fmt: skip
            assert occupied[d][i] == holds
            assert observed[d][i] == (holds or seen)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_bits_agree_with_each_other(seed):
    tree, observed, occupied = supervised(*clouds(seed))
    for d in range(FULL, DEPTH + 1):
        assert not (tree.split[d] & ~occupied[d]).any() and not (occupied[d] & ~observed[d]).any()
        if d < DEPTH:
            children = occupied[d + 1].reshape(-1, 8), observed[d + 1].reshape(-1, 8)
            parents = tree.split[d]  # only their children exist
            assert occupied[d][parents].all() and children[0].any(axis=1).all()
            known_empty = observed[d][parents] & ~occupied[d][parents]
            assert children[1][known_empty].all()


def test_trap_unseen_nodes_are_not_empty():
    """What nobody saw stays out of the loss, although the frame's own bits call it empty."""
    frame = CUBE[:3] + np.array([[0.1, 0.1, 0.1]])
    nothing = np.full((16, 16, 16), VoxelState.OCCLUDED, np.uint8)
    tree, observed, occupied = supervised(frame, np.empty((0, 3)), nothing)
    for d in range(FULL, DEPTH + 1):
        np.testing.assert_array_equal(observed[d], tree.split[d])
        np.testing.assert_array_equal(occupied[d], tree.split[d])


def test_scene_voxels_are_the_octree_s_leaves():
    """The lattice's voxels in a cube are the leaves that O-CNN's own formula gives the same points."""
    points = np.random.default_rng(0).uniform(-4, 4, (5000, 3))
    keys: Keys = leaf_keys(occupied_voxels(points, VOXEL), CUBE, DEPTH)
    own = unpack(build_octree(points, None, None, CUBE, DEPTH, FULL).split, DEPTH, FULL).leaf_keys
    np.testing.assert_array_equal(np.sort(keys), own)
    assert len(np.unique(occupied_voxels(points, VOXEL), axis=0)) == len(occupied_voxels(points, VOXEL))
    assert morton_encode(np.zeros((1, 3), int), DEPTH)[0] in leaf_keys(
        occupied_voxels(CUBE[None, :3] - SIDE / 2 + 1e-6, VOXEL), CUBE, DEPTH
    )


def test_cube_off_the_lattice_is_refused():
    with pytest.raises(ValueError, match="lattice"):
        leaf_keys(np.zeros((1, 3), np.int32), CUBE + np.array([0.05, 0, 0, 0]), DEPTH)


def test_damaged_bits_are_refused():
    with pytest.raises(FormatError):
        octree_supervision(np.zeros(3, np.uint8), DEPTH, FULL, np.zeros(8**DEPTH, np.uint8), np.empty(0, np.uint32))
