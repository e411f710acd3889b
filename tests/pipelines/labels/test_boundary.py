import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.camera import pixel_rays
from tessera.pipelines.labels.boundary import boundary

HEIGHT, WIDTH = 48, 64
INTRINSICS = np.array([[55.0, 0.4, 31.0], [0, 54.0, 25.0], [0, 0, 1]])
RAYS = pixel_rays(INTRINSICS, HEIGHT, WIDTH)


def from_planar(depth):
    return np.broadcast_to(depth, (HEIGHT, WIDTH)) / RAYS[..., 2]


def interior(mask):
    return mask[1:-1, 1:-1]


def step(near, far, column):
    return from_planar(np.where(np.arange(WIDTH) < column, near, far))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("near_first", [True, False])
def test_step_marks_exactly_one_pixel_on_either_side(axis, near_first):
    line = np.arange((HEIGHT, WIDTH)[axis])
    first, second = (2.0, 3.0) if near_first else (3.0, 2.0)
    planar = np.where(line < 20, first, second)
    marks = boundary(from_planar(planar[:, None] if axis == 0 else planar), RAYS)
    expected = np.zeros((HEIGHT, WIDTH), bool)
    near = np.zeros_like(expected)
    sides = np.moveaxis(expected, axis, 0), np.moveaxis(near, axis, 0)
    sides[0][[19, 20]] = True
    sides[1][19 if near_first else 20] = True
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_array_equal(marks.boundary, expected)
    np.testing.assert_array_equal(marks.occluder, near)
    assert marks.ignore[corners].all() and marks.ignore.sum() == 4


@pytest.mark.parametrize(("ratio", "sides"), [(1.049, 0), (1.0513, 1), (1.06, 2)])
def test_thresholds_are_those_of_the_formula(ratio, sides):
    """Far side: ratio - 1 > tau. Near side: 1 - 1/ratio > tau, a little later."""
    marks = boundary(step(2.0, 2.0 * ratio, 20), RAYS)
    assert marks.boundary[10].sum() == sides
    assert marks.occluder[10].sum() == max(sides - 1, 0)


@given(st.floats(0, 89.5), st.floats(0, 2 * np.pi), st.floats(0.5, 20))
def test_planes_are_never_boundaries_even_at_grazing_angles(tilt, turn, offset):
    tilt = np.radians(tilt)
    normal = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
    cosine = RAYS @ normal
    distance = np.where(cosine > 1e-3, offset / cosine, np.nan)
    assert not boundary(distance, RAYS, tau=1e-6).boundary.any()


def test_distance_instead_of_planar_depth_would_fail_that():
    wall = from_planar(2.0)
    assert not boundary(wall, RAYS, tau=1e-9).boundary.any()
    assert boundary(wall, np.broadcast_to((0.0, 0.0, 1.0), RAYS.shape), tau=1e-9).boundary.any()


def test_sphere_before_a_wall():
    centre, radius, wall = np.array([0.1, -0.1, 2.0]), 0.5, 4.0
    along = RAYS @ centre
    inside = along**2 - centre @ centre + radius**2
    hit = inside > 0
    distance = np.where(hit, along - np.sqrt(np.maximum(inside, 0)), from_planar(wall))
    marks = boundary(distance, RAYS)
    padded = np.pad(hit, 1, mode="edge")
    around = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]]
    inner = hit & ~np.logical_and.reduce(around)
    outer = ~hit & np.logical_or.reduce(around)
    assert marks.boundary[inner].all() and marks.boundary[outer].all()
    assert marks.occluder[inner].all() and not marks.occluder[~hit].any()
    assert not marks.boundary[~hit & ~outer].any()


def test_invalid_pixels_and_their_neighbours_are_ignored():
    distance = step(2.0, 3.0, 20)
    distance[10, 20] = np.nan
    distance[30, 40] = 0.0
    marks = boundary(distance, RAYS)
    for row, column in ((10, 20), (30, 40)):
        for dy, dx in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            assert marks.ignore[row + dy, column + dx]
    assert interior(marks.ignore).sum() == 10
    assert not (marks.boundary & marks.ignore).any()
    assert marks.boundary[[9, 11], 19].all(), "diagonal neighbours of an invalid pixel keep their label"


def test_image_border_is_judged_by_the_axis_it_has():
    marks = boundary(step(2.0, 3.0, 20), RAYS)
    assert marks.boundary[[0, -1], 19].all() and not marks.ignore[[0, -1], 19].any()
    assert not marks.boundary[:, [0, -1]].any() and not marks.ignore[1:-1, [0, -1]].any()


@pytest.mark.parametrize(("shape", "ignored"), [((1, 1), 1), ((2, 2), 4), ((1, 9), 2), ((5, 2), 4)])
def test_images_without_inner_pixels(shape, ignored):
    marks = boundary(np.ones(shape), np.broadcast_to((0.0, 0.0, 1.0), (*shape, 3)))
    assert not marks.boundary.any()
    assert marks.ignore.sum() == ignored


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_occluder_is_nearer_than_the_occluded_side_it_touches(seed):
    rng = np.random.default_rng(seed)
    patches = np.kron(rng.permutation(12).reshape(3, 4) * 0.7 + 1, np.ones((16, 16)))
    marks = boundary(from_planar(patches), RAYS)
    assert not (marks.occluder & ~marks.boundary).any()
    pairs = marks.occluder[:, :-1] & (marks.boundary & ~marks.occluder)[:, 1:]
    rows = np.arange(HEIGHT) % 16
    away_from_row_edges = ((rows > 0) & (rows < 15))[:, None]
    clear = pairs & away_from_row_edges
    assert (patches[:, :-1][clear] < patches[:, 1:][clear]).all()


@pytest.mark.parametrize(("tau", "published"), [(0.02, 0.040), (0.05, 0.024)])
def test_real_frame_has_the_published_share(real_frame, tau, published):
    share = boundary(real_frame.distance, real_frame.rays, tau).boundary.mean()
    assert share == pytest.approx(published, abs=0.001)
