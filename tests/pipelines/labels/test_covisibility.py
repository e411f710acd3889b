"""Covisibility against closed-form rays, its symmetries, and the choice of neighbours by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.camera import project, transform
from tessera.datasets.visibility import ViewState, unpack_visibility
from tessera.pipelines.labels.covisibility import best_neighbours, covisibility_matrix, frame_visibility
from tessera.pipelines.labels.visibility import view_points, view_states

from .analytic_room import HEIGHT, SKEWED, WIDTH, cast, photograph, photographs

ALL_PIXELS = HEIGHT * WIDTH
VIEWS = photographs()


def ray_cast_share(source, target):
    """Oracle: share of the source's pixels in the target's picture with a free line of sight to its centre."""
    points = view_points(source).T.astype(np.float64)
    offset = points - target.centre
    length = np.linalg.norm(offset, axis=1)
    free = cast(target.centre, offset / length[:, None]) > length * 0.98
    pixels, depth = project(transform(points, np.linalg.inv(target.world_from_camera)), target.intrinsics)
    return np.mean(free & (depth > 0) & ((pixels >= 0) & (pixels < [WIDTH, HEIGHT])).all(axis=1))


@pytest.mark.parametrize(("samples", "tolerance"), [(ALL_PIXELS, 0.01), (768, 0.03)])
def test_shares_are_those_of_free_lines_of_sight(samples, tolerance):
    matrix = covisibility_matrix(VIEWS, samples)
    exact = np.array([[ray_cast_share(a, b) for b in VIEWS] for a in VIEWS])
    expected = np.minimum(exact, exact.T)
    np.testing.assert_allclose(matrix, expected, atol=tolerance)
    assert matrix.dtype == np.float32 and 0.5 < np.sort(expected, axis=None)[-7] < 1 and expected.min() == 0


def test_matrix_is_symmetric_with_ones_on_the_diagonal():
    matrix = covisibility_matrix(VIEWS)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_array_equal(np.diag(matrix), 1)


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(len(VIEWS))))
def test_permuted_frames_permute_the_matrix(order):
    shuffled = covisibility_matrix([VIEWS[i] for i in order])
    np.testing.assert_array_equal(shuffled, covisibility_matrix(VIEWS)[np.ix_(order, order)])


def test_a_close_up_counts_as_little_as_it_shares():
    wide, close = VIEWS[0], VIEWS[4]
    inner = (view_states(view_points(close).T, wide) == ViewState.VISIBLE).mean()
    outer = (view_states(view_points(wide).T, close) == ViewState.VISIBLE).mean()
    assert inner > outer + 0.3
    assert covisibility_matrix([wide, close], ALL_PIXELS)[0, 1] == np.float32(outer)


def test_share_is_of_measured_pixels_alone():
    half = VIEWS[0].distance.copy()
    half[:, : WIDTH // 2] = np.nan
    partial = replace(VIEWS[0], distance=half)
    assert covisibility_matrix([partial, partial])[0, 1] == 1
    assert covisibility_matrix([partial, VIEWS[0]], ALL_PIXELS)[0, 1] == 0.5


@pytest.mark.filterwarnings("error")
def test_frames_without_a_measurement_share_nothing():
    empty = replace(VIEWS[0], distance=np.full_like(VIEWS[0].distance, np.nan))
    matrix = covisibility_matrix([empty, VIEWS[0], empty])
    np.testing.assert_array_equal(matrix, np.eye(3))
    packed, shared = frame_visibility(empty, [VIEWS[0], empty])
    assert not packed.any() and not shared.any()


def test_frames_may_differ_in_size_and_lens():
    straight = np.array([[60.0, 0, 40], [0, 60, 30], [0, 0, 1]])
    small = photograph((0.0, 0.3, -3.0), (-0.3, 0.0, 1.0), straight, size=(60, 80))
    exact = [ray_cast_share(VIEWS[0], VIEWS[1])]
    assert covisibility_matrix([VIEWS[0], small, VIEWS[1]])[0, 2] == pytest.approx(exact[0], abs=0.03)
    packed, _ = frame_visibility(small, [VIEWS[0]])
    assert packed.shape == (60, 80)


def test_no_frames_and_one_frame():
    assert covisibility_matrix([]).shape == (0, 0)
    np.testing.assert_array_equal(covisibility_matrix(VIEWS[:1]), [[1]])
    assert best_neighbours(np.zeros((0, 0), np.float32)) == []
    assert best_neighbours(np.ones((1, 1), np.float32))[0].size == 0


def test_best_neighbours_by_hand():
    matrix = np.eye(6, dtype=np.float32)
    for i, j, value in [(0, 1, 0.3), (0, 2, 0.5), (0, 3, 0.3), (0, 4, 0.3), (0, 5, 0.3), (1, 2, 0.01), (1, 3, 0.009)]:
        matrix[i, j] = matrix[j, i] = value
    found = [row.tolist() for row in best_neighbours(matrix)]
    assert found == [[2, 1, 3, 4], [0, 2], [0, 1], [0], [0], [0]]
    assert best_neighbours(matrix, count=2, least=0.3)[0].tolist() == [2, 1]


def test_a_frame_is_never_its_own_neighbour_even_beside_twins():
    rows = best_neighbours(np.ones((3, 3), np.float32), count=4)
    assert [row.tolist() for row in rows] == [[1, 2], [0, 2], [0, 1]]


def test_frames_that_share_nothing_are_no_neighbours():
    away = [view.key for view in VIEWS].index("away")
    rows = best_neighbours(covisibility_matrix(VIEWS))
    assert rows[0].size and away not in rows[0]


def test_frame_visibility_holds_the_states_and_the_exact_covisibility():
    packed, shared = frame_visibility(VIEWS[0], VIEWS[1:4])
    states = unpack_visibility(packed)
    for k, target in enumerate(VIEWS[1:4]):
        expected = view_states(view_points(VIEWS[0]).T, target)
        np.testing.assert_array_equal(states[k].reshape(-1), expected)
    assert not states[3].any()
    assert shared.dtype == np.float32
    np.testing.assert_array_equal(shared, covisibility_matrix(VIEWS[:4], ALL_PIXELS)[0, 1:])


def test_covisibility_is_the_same_from_either_side():
    _, there = frame_visibility(VIEWS[0], [VIEWS[2]])
    _, back = frame_visibility(VIEWS[2], [VIEWS[0]])
    np.testing.assert_array_equal(there, back)


def test_frame_without_neighbours():
    packed, shared = frame_visibility(VIEWS[0], [])
    assert packed.shape == (HEIGHT, WIDTH) and not packed.any() and shared.shape == (0,)


def test_five_neighbours_are_refused():
    with pytest.raises(ValueError, match="up to 4"):
        frame_visibility(VIEWS[0], [VIEWS[1]] * 5)


def test_tilt_shift_is_not_treated_as_a_plain_lens():
    """The picture through a skewed lens, read with the plain one of the same focal length, shares less with itself."""
    plain = np.array([[SKEWED[0, 0], 0, WIDTH / 2], [0, SKEWED[1, 1], HEIGHT / 2], [0, 0, 1]])
    wrong = replace(VIEWS[0], intrinsics=plain)
    right = photograph((0.0, 0.3, -3.0), (-0.3, 0.0, 1.0), plain)
    both = covisibility_matrix([wrong, right, VIEWS[0]], ALL_PIXELS)
    assert both[1, 2] > both[0, 2] + 0.1
