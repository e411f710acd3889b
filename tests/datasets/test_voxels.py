"""Stored voxel states: bits, look-up, and what is refused."""

import numpy as np
import pytest
from tessera.datasets.errors import FormatError
from tessera.datasets.voxels import BLOCK, VoxelState, VoxelStates, cube_origin, pack_states, unpack_states

VOXEL = 0.1


def scene(seed=0, count=40):
    """Random states in blocks on both sides of the origin."""
    rng = np.random.default_rng(seed)
    blocks = np.unique(rng.integers(-4, 4, (count, 3)), axis=0).astype(np.int32)
    return VoxelStates(VOXEL, blocks, rng.integers(0, 4, (len(blocks), BLOCK, BLOCK, BLOCK), np.uint8))


def test_values_are_part_of_the_format():
    assert [(s.name, s.value) for s in VoxelState] == [("UNOBSERVED", 0), ("OCCLUDED", 1), ("SURFACE", 2), ("FREE", 3)]


def test_lookup_against_a_dictionary():
    voxels = scene()
    states = {}
    for block, content in zip(voxels.blocks.tolist(), voxels.states, strict=True):
        for local, state in np.ndenumerate(content):
            states[tuple(8 * b + i for b, i in zip(block, local, strict=True))] = int(state)
    points = np.random.default_rng(1).uniform(-4, 4, (3000, 3))
    expected = [states.get(tuple(int(c // VOXEL) for c in point), 0) for point in points]
    np.testing.assert_array_equal(voxels.lookup(points), expected)


def test_bytes_give_the_states_back():
    voxels = scene()
    packed = pack_states(voxels.states)
    assert packed.dtype == np.uint8 and packed.shape == (len(voxels.blocks), 128)
    np.testing.assert_array_equal(unpack_states(packed, voxels.blocks, VOXEL).states, voxels.states)
    one = np.zeros((1, 8, 8, 8), np.uint8)
    one[0, 0, 0, :4] = [3, 0, 1, 2]
    assert pack_states(one)[0, 0] == 0b10_01_00_11


def test_nothing_is_anywhere_else():
    nonsense = np.array([[np.nan, 0, 0], [1e30, 0, 0], [0, -np.inf, 1], [-838861.0, 0, 0], [50, 0, 0]])
    assert not scene().lookup(nonsense).any()
    empty = unpack_states(np.empty((0, 128), np.uint8), np.empty((0, 3), np.int32), VOXEL)
    assert not empty.lookup(np.zeros((4, 3))).any()


def test_damaged_records_are_refused():
    voxels = scene()
    packed, blocks = pack_states(voxels.states), voxels.blocks
    twice = np.repeat(blocks[:1], 2, axis=0)
    for bad in ((packed[:-1], blocks), (packed.astype(np.int16), blocks), (packed[::-1], blocks[::-1]),
                (packed[:2], twice), (packed[:, :64], blocks)):  # fmt: skip
        with pytest.raises(FormatError):
            unpack_states(*bad, VOXEL)


def test_origin_of_a_cube():
    np.testing.assert_array_equal(cube_origin(np.array([0.08, -0.16, 5.12, 10.24]), 7), [-63, -66, 0])
    with pytest.raises(ValueError, match="lattice"):
        cube_origin(np.array([0.09, 0, 0, 10.24]), 7)
    with pytest.raises(ValueError, match="lattice"):
        cube_origin(np.array([np.nan, 0, 0, 10.24]), 7)
