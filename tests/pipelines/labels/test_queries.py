"""Query points: on the stored grid before they are labelled, in fair strata, the same for the same key."""

from itertools import pairwise

import numpy as np
import pytest
from tessera.datasets.octree import morton_encode
from tessera.datasets.storage import Linear
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.keyed import keyed_rng
from tessera.pipelines.labels.queries import COUNTS, SIGMAS, arrange, frame_queries, sample_points, world_points
from tessera.pipelines.labels.scene_sdf import SurfaceIndex, signed_distance

from .surfel_shapes import BOX, Known, box_sides, fused, rectangle

CUBE = np.array([0.16, -0.08, 0.24, 2.56])
DEPTH = 5  # voxels of 8 cm
SMALL = (600, 400, 800)
GRID = Linear(-1.0, 1.0)


class Half(Known):
    """A world that is free above z = 0 and unobserved below."""

    def lookup(self, points):
        return np.where(points[:, 2] >= 0, VoxelState.FREE, VoxelState.UNOBSERVED).astype(np.uint8)

    def cube_states(self, cube, depth):
        axes = np.meshgrid(*[np.arange(1 << depth)] * 3, indexing="ij")
        xyz = np.stack([axis.ravel() for axis in axes], axis=-1)
        states = np.zeros(8**depth, np.uint8)
        states[morton_encode(xyz, depth)] = self.lookup(cube[:3] + ((xyz + 0.5) / (1 << depth) - 0.5) * cube[3])
        return states


class Seen(Half):
    """Every voxel holds a surface."""

    def lookup(self, points):
        return np.full(len(points), VoxelState.SURFACE, np.uint8)


@pytest.fixture(scope="module")
def box():
    surfels = fused(*box_sides(*BOX))
    return surfels, SurfaceIndex(surfels)


def queries(box, grid=None, name="frame", counts=SMALL):
    return frame_queries(*box, grid or Seen(), CUBE, DEPTH, keyed_rng(7, name), counts)


def parts(found):
    return [slice(a, b) for a, b in pairwise(found.strata.tolist())]


def test_there_are_enough_points_all_strictly_inside_the_cube_and_on_the_stored_grid(box):
    found = queries(box, counts=COUNTS)
    assert len(found.points) == sum(COUNTS) == 32_768 and found.points.dtype == np.float32
    assert np.abs(found.points).max() < 1
    codes = GRID.pack(found.points)
    assert codes.min() > 0 and codes.max() < 65_535
    np.testing.assert_array_equal(GRID.unpack(codes, np.dtype(np.float32)), found.points)


def test_rounded_first_then_labelled(box):
    """The labels belong to the places that the record gives back, not to those before rounding."""
    found = queries(box)
    back = GRID.unpack(GRID.pack(found.points), np.dtype(np.float32))
    places = CUBE[:3] + back.astype(np.float64) * CUBE[3] / 2
    sdf, valid = signed_distance(places, box[1], Seen())
    np.testing.assert_array_equal(sdf.astype(np.float16), found.sdf)
    np.testing.assert_array_equal(valid, found.valid)
    moved, _ = signed_distance(places + CUBE[3] / 65_535 / 2, box[1], Seen())
    assert (moved.astype(np.float16) != found.sdf).mean() > 0.5  # the check above would notice


def test_states_are_those_of_the_places(box):
    found = queries(box, Half())
    np.testing.assert_array_equal(found.state, Half().lookup(world_points(found.points, CUBE)))
    assert set(found.state.tolist()) == {VoxelState.UNOBSERVED, VoxelState.FREE}


@pytest.mark.parametrize("grid", [Half(), Seen()], ids=["half", "seen"])
def test_parts_hold_what_they_say_and_nothing_is_lost(box, grid):
    found = queries(box, grid)
    assert found.strata.dtype == np.int32 and found.strata.shape == (10,)
    assert found.strata[0] == 0 and found.strata[-1] == len(found.points) == sum(SMALL)
    assert (np.diff(found.strata) >= 0).all()
    np.testing.assert_array_equal(np.diff(found.strata[::3]), SMALL)
    for number, part in enumerate(parts(found)):
        assert found.valid[part].all() if number % 3 < 2 else not found.valid[part].any()
        assert (found.sdf[part] < 0).all() if number % 3 == 0 else number % 3 == 2 or (found.sdf[part] >= 0).all()
    assert np.diff(found.strata)[::3].all() or isinstance(grid, Half)


def test_side_is_that_of_the_stored_distance():
    """-1e-9 m becomes -0 in float16, which is not below zero."""
    sdf = np.array([-1e-9, -0.01, 0.0], np.float32).astype(np.float16)
    order, strata = arrange(np.zeros(3, np.uint8), sdf, np.ones(3, bool), keyed_rng(0))
    assert strata.tolist() == [0, 1, 3, 3, 3, 3, 3, 3, 3, 3] and order[0] == 1


def test_parts_are_shuffled_by_key_alone(box):
    stratum, valid = np.repeat(np.arange(3, dtype=np.uint8), 3000), np.ones(9000, bool)
    sdf = np.where(np.arange(9000) % 2, 0.1, -0.1)
    order, strata = arrange(stratum, sdf, valid, keyed_rng(3, "a"))
    np.testing.assert_array_equal(np.sort(order), np.arange(9000))
    for begin, end in pairwise(strata.tolist()):
        if end > begin:
            assert abs(np.corrcoef(order[begin:end], np.arange(end - begin))[0, 1]) < 0.08
            assert abs((order[begin:end][: (end - begin) // 2] % 3000).mean() / 1500 - 1) < 0.08
    np.testing.assert_array_equal(order, arrange(stratum, sdf, valid, keyed_rng(3, "a"))[0])
    assert (order != arrange(stratum, sdf, valid, keyed_rng(3, "b"))[0]).mean() > 0.9
    one, same, other = queries(box), queries(box), queries(box, name="other")
    for name in ("points", "sdf", "valid", "state", "strata"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert (one.points != other.points).mean() > 0.9


def test_points_near_the_surface_are_as_far_from_it_as_their_stratum_says():
    """A plane through the cube: distances are the Gaussian offsets themselves."""
    points, normals = rectangle([-0.5, -0.5, 0.1], [1.2, 0, 0], [0, 1.1, 0])
    rounded, stratum = sample_points(
        fused(points, normals), CUBE, Seen().cube_states(CUBE, DEPTH), keyed_rng(1), (6000, 6000, 10)
    )
    places = world_points(rounded, CUBE)
    for number, sigma in enumerate(SIGMAS):
        mine = places[stratum == number]
        offset = mine[:, 2] - 0.1
        assert abs(offset.std() / sigma - 1) < 0.04 and abs(offset.mean()) < 0.05 * sigma
        share = np.histogram2d(mine[:, 0], mine[:, 1], bins=4, range=[[-0.5, 0.7], [-0.5, 0.6]])[0] / len(mine)
        np.testing.assert_allclose(share, 1 / 16, atol=0.02)  # everywhere on it alike


def test_surface_outside_the_cube_draws_no_points():
    near, far = rectangle([-0.2, -0.2, 0.1], [0.4, 0, 0], [0, 0.4, 0]), rectangle([5, 5, 0], [0.4, 0, 0], [0, 0.4, 0])
    points, normals = (np.concatenate(pair) for pair in zip(near, far, strict=True))
    rounded, stratum = sample_points(
        fused(points, normals), CUBE, Seen().cube_states(CUBE, DEPTH), keyed_rng(1), (500, 500, 0)
    )
    assert np.abs(world_points(rounded, CUBE)[stratum == 0][:, :2]).max() < 0.25


@pytest.mark.parametrize("grid", [Half(), Seen()], ids=["half", "seen"])
def test_without_a_surface_in_the_cube_all_points_are_of_the_last_stratum(grid):
    away = fused(*rectangle([5, 5, 0], [0.4, 0, 0], [0, 0.4, 0]))
    found = frame_queries(away, SurfaceIndex(away), grid, CUBE, DEPTH, keyed_rng(1), SMALL)
    assert len(found.points) == sum(SMALL) and found.strata[6] == 0 and found.strata[9] == sum(SMALL)


def test_half_of_the_cubes_points_are_where_something_was_seen_and_all_are_even_there(box):
    rounded, stratum = sample_points(box[0], CUBE, Half().cube_states(CUBE, DEPTH), keyed_rng(2), (0, 0, 40_000))
    places = world_points(rounded, CUBE)[stratum == 2]
    free = places[places[:, 2] >= 0]
    share = (CUBE[2] + CUBE[3] / 2) / CUBE[3]  # of the cube that is above zero
    assert abs(len(free) / 40_000 - (0.5 + 0.5 * share)) < 0.01
    low, high = CUBE[:3] - CUBE[3] / 2, CUBE[:3] + CUBE[3] / 2
    count, _ = np.histogramdd(free, bins=3, range=[(low[0], high[0]), (low[1], high[1]), (0, high[2])])
    np.testing.assert_allclose(count / len(free), 1 / 27, atol=0.005)


def test_surfels_at_the_cubes_side_are_no_trap():
    """Half of the offsets would leave the cube; none does, and nothing waits for ever."""
    side = CUBE[0] + CUBE[3] / 2
    points, normals = rectangle([side - 1e-4, -0.5, 0], [0, 1, 0], [0, 0, 1])
    rounded, stratum = sample_points(
        fused(points, normals), CUBE, Seen().cube_states(CUBE, DEPTH), keyed_rng(2), (2000, 2000, 0)
    )
    assert np.abs(rounded).max() < 1
    assert np.abs(world_points(rounded, CUBE)[stratum == 0][:, 0] - side).max() < 0.06
