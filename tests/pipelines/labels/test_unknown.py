"""Distances to unknown space against SciPy and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_dilation, distance_transform_edt
from tessera.datasets.voxels import VoxelStates
from tessera.pipelines.labels import unknown as unknown_label
from tessera.pipelines.labels.unknown import UnknownField, squared_distances

VOXEL = 0.25


def all_blocks(count):
    return np.stack(np.meshgrid(*map(np.arange, count), indexing="ij"), axis=-1).reshape(-1, 3).astype(np.int32)


def to_blocks(dense, blocks):
    """Blocks (B, 8, 8, 8) cut from a dense array by plain slices."""
    return np.stack([dense[x : x + 8, y : y + 8, z : z + 8] for x, y, z in blocks * 8])


def random_known(seed, shape, holes=12):
    """Mostly known, with some unknown balls and specks."""
    rng = np.random.default_rng(seed)
    speck = np.ones(shape, bool)
    speck[tuple(rng.integers(0, shape, (holes, 3)).T)] = False
    return ~binary_dilation(~speck, iterations=int(rng.integers(1, 3)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_squares_against_scipy(seed, tile):
    """Also where tiles meet, where blocks are missing, and where the distance is cut off."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unknown_label, "REACH", 12)
        patch.setattr(unknown_label, "MARGIN", 2)
        patch.setattr(unknown_label, "TILE", tile)
        count = (5, 4, 3)
        blocks = all_blocks(count)
        keep = np.random.default_rng(seed).random(len(blocks)) < 0.97
        dense = random_known(seed, np.multiply(count, 8), holes=6)
        for x, y, z in blocks[~keep] * 8:
            dense[x : x + 8, y : y + 8, z : z + 8] = False
        found = squared_distances(to_blocks(dense, blocks[keep]), blocks[keep] - 2)
    exact = distance_transform_edt(np.pad(dense, 1))[1:-1, 1:-1, 1:-1] ** 2
    np.testing.assert_array_equal(found, to_blocks(np.minimum(np.rint(exact), 144), blocks[keep]))


def field_of(dense):
    blocks = all_blocks(np.array(dense.shape) // 8)
    states = np.where(to_blocks(dense, blocks), np.uint8(3), np.uint8(1))
    return UnknownField(VoxelStates(VOXEL, blocks - 1, states))


def box_distance(points, dense):
    """Exact distance from points (N, 3) to the nearest unknown voxel, taken as a solid box, one by one."""
    unknown = np.argwhere(~np.pad(dense, 1)) - 1 - 8
    gap = np.maximum(np.maximum(unknown - points[:, None] / VOXEL, points[:, None] / VOXEL - unknown - 1), 0)
    return VOXEL * np.sqrt((gap**2).sum(axis=-1).min(axis=1))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_distances_against_boxes(seed):
    dense = random_known(seed, (16, 24, 16), holes=3)
    points = np.random.default_rng(seed).uniform((-2.3, -2.3, -2.3), (2.3, 4.3, 2.3), (150, 3))
    found, exact = field_of(dense).distance(points), box_distance(points, dense)
    assert np.abs(found - exact).max() < 0.75 * VOXEL
    assert np.abs(found - exact).mean() < 0.2 * VOXEL
    assert (found[exact == 0] == 0).all()


def test_exact_before_a_flat_front():
    dense = np.ones((32, 32, 32), bool)
    dense[:, :, :10] = False
    points = np.column_stack([np.full((40, 2), 2.0), np.linspace(-2, 1.0, 40)])
    front = -2 + 10 * VOXEL
    np.testing.assert_allclose(field_of(dense).distance(points), np.maximum(points[:, 2] - front, 0), atol=1e-5)


def test_outside_and_nonsense_is_unknown():
    field = field_of(np.ones((16, 16, 16), bool))
    points = np.array([[50.0, 0, 0], [np.nan, 0, 0], [0, np.inf, 0], [0, 0, 0], [-2.3, 0, 0]])
    np.testing.assert_allclose(field.distance(points), [0, 0, 0, 2 - VOXEL / 4, 0], atol=VOXEL / 2)


def test_distances_end_at_the_reach():
    field = field_of(np.ones((136, 136, 136), bool))
    assert field.distance(np.array([[15.0, 15, 15]])) == pytest.approx(62.5 * VOXEL)
