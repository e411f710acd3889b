"""Visibility in another frame against closed-form rays, a formula pixel by pixel, and published figures."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.spatial.transform import Rotation
from tessera.datasets.camera import pixel_rays, planar_depth, project, transform, unproject
from tessera.datasets.visibility import ViewState
from tessera.pipelines.labels.scene_view import SceneView
from tessera.pipelines.labels.visibility import CHUNK, axis_states, pixel_points, view_points, view_states

from .analytic_room import HEIGHT, SKEWED, WIDTH, cast, photograph, photographs

STRAIGHT = np.array([[80.0, 0, WIDTH / 2], [0, 80.0, HEIGHT / 2], [0, 0, 1]])  # 116 degrees wide


def camera(distance, intrinsics=STRAIGHT, world_from_camera=None):
    world_from_camera = np.eye(4) if world_from_camera is None else world_from_camera
    return SceneView("target", intrinsics, world_from_camera, np.asarray(distance, np.float16))


def wall(planar, intrinsics=STRAIGHT):
    return camera(planar / pixel_rays(intrinsics, HEIGHT, WIDTH)[..., 2], intrinsics)


@pytest.fixture(scope="module")
def views():
    return photographs()


# Rays in closed form


def along_segments(view, points):
    """Oracle: how far each segment from the camera's centre to a point (N, 3) goes before it hits something."""
    offset = points.astype(np.float64) - view.centre
    length = np.linalg.norm(offset, axis=-1)
    return length, cast(view.centre, offset / length[:, None])


def smooth_here(view, points):
    """Points (N,) that fall where the target's picture is smooth, so that no edge runs within a pixel."""
    depth = view.distance.astype(np.float64)
    smooth = maximum_filter(depth, 3) - minimum_filter(depth, 3) < 0.05 * depth
    pixels, _ = project(transform(points, np.linalg.inv(view.world_from_camera)), view.intrinsics)
    column, row = np.clip(np.floor(pixels).astype(int), 0, [WIDTH - 1, HEIGHT - 1]).T
    return smooth[row, column]


@pytest.mark.parametrize("source", range(5))
def test_segments_of_visible_points_are_free_and_of_occluded_ones_blocked(views, source):
    points = view_points(views[source]).T
    seen = 0
    for target in (view for view in views if view is not views[source]):
        states = view_states(points, target)
        length, hit = along_segments(target, points)
        free = hit > length * 0.97  # tolerance of visibility, and two float16 roundings
        blocked = hit < length * 0.99
        smooth = smooth_here(target, points)
        for state, holds in ((ViewState.VISIBLE, free), (ViewState.OCCLUDED, blocked)):
            chosen = states == state
            assert holds[chosen & smooth].all(), (target.key, state)
            assert (chosen & ~holds).sum() < 0.01 * len(points), (target.key, state)
        assert not (smooth & (states == ViewState.INCONSISTENT)).any(), "nothing can be seen through here"
        seen += np.isin(states, [ViewState.VISIBLE, ViewState.OCCLUDED]).sum()
    assert seen > points.size / 3


def test_unknown_is_exactly_outside_the_picture_where_everything_is_measured(views):
    points = view_points(views[0]).T.astype(np.float64)
    for target in views:
        pixels, depth = project(transform(points, np.linalg.inv(target.world_from_camera)), target.intrinsics)
        inside = (depth > 0) & ((pixels >= 0) & (pixels < [WIDTH, HEIGHT])).all(axis=1)
        near_edge = (np.abs(pixels) < 1e-3).any(axis=1) | (np.abs(pixels - [WIDTH, HEIGHT]) < 1e-3).any(axis=1)
        unknown = view_states(points, target) == ViewState.UNKNOWN
        np.testing.assert_array_equal(unknown[~near_edge], ~inside[~near_edge])


# Invariants


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.floats(15, 400), st.floats(15, 400), st.floats(-20, 20), st.floats(-200, 200))
def test_a_frame_against_itself_is_visible_where_measured(seed, fx, fy, skew, far):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(rng=rng).as_matrix()
    matrix[:3, 3] = rng.normal(size=3) + far
    distance = rng.uniform(0.5, 60, (20, 30)).astype(np.float16)
    distance[rng.random(distance.shape) < 0.1] = np.nan
    intrinsics = np.array([[fx, skew, rng.uniform(-5, 35)], [0, fy, rng.uniform(-5, 25)], [0, 0, 1]])
    view = SceneView("self", intrinsics, matrix, distance)
    expected = np.where(np.isnan(distance), ViewState.UNKNOWN, ViewState.VISIBLE).reshape(-1)
    np.testing.assert_array_equal(axis_states(view_points(view), view), expected)


def test_a_points_state_depends_on_neither_its_place_nor_its_company(views):
    points = np.concatenate([view_points(view).T for view in views])
    assert len(points) > 2 * CHUNK
    together = view_states(points, views[1])
    order = np.random.default_rng(0).permutation(len(points))
    np.testing.assert_array_equal(view_states(points[order], views[1]), together[order])
    np.testing.assert_array_equal(view_states(points[5:2000:3], views[1]), together[5:2000:3])
    assert view_states(points[:0], views[1]).shape == (0,)


def test_points_are_the_unprojected_pixels(views):
    for view in views:
        exact = transform(unproject(view.distance, view.intrinsics), view.world_from_camera)
        np.testing.assert_allclose(view_points(view).T, exact.reshape(-1, 3), atol=2e-6)
        row, column = np.random.default_rng(0).integers(0, (HEIGHT, WIDTH), (50, 2)).T
        np.testing.assert_array_equal(pixel_points(view, row, column).T, view_points(view).T[row * WIDTH + column])


# Traps, by name


def test_trap_euclidean_distance_not_planar_depth():
    target = wall(3.0)
    points = unproject(target.distance, STRAIGHT).reshape(-1, 3)
    assert (view_states(points, target) == ViewState.VISIBLE).all()
    planar = camera(planar_depth(target.distance, STRAIGHT))
    states = view_states(points, planar).reshape(HEIGHT, WIDTH)
    assert (states[[0, 0, -1, -1], [0, -1, 0, -1]] == ViewState.OCCLUDED).all()


@pytest.mark.parametrize("intrinsics", [STRAIGHT, SKEWED], ids=["straight", "tilt-shift"])
def test_trap_half_pixel_and_skew(intrinsics):
    """A point anywhere between a pixel's edges gets that pixel's answer, by the textbook formula."""
    near, far = 2.0, 4.0
    board = np.where(np.indices((HEIGHT, WIDTH)).sum(axis=0) % 2, near, far)
    rng = np.random.default_rng(1)
    for row, column in rng.integers(0, (HEIGHT, WIDTH), (40, 2)):
        for dx, dy in ((0.02, 0.5), (0.98, 0.5), (0.5, 0.02), (0.5, 0.98)):
            ray = np.linalg.solve(intrinsics, [column + dx, row + dy, 1])
            point = 3.0 * ray / np.linalg.norm(ray)
            expected = ViewState.OCCLUDED if board[row, column] == near else ViewState.INCONSISTENT
            assert view_states(point[None], camera(board, intrinsics)) == expected


def test_trap_points_behind_the_camera_are_unknown():
    target = wall(3.0)
    front = unproject(target.distance, STRAIGHT).reshape(-1, 3)
    assert not view_states(-front, target).any()
    assert not view_states(np.array([[0.0, 0, 0], [1, 0, 0], [0, -2, 0]]), target).any()


@pytest.mark.parametrize("missing", [np.nan, np.inf, 0.0])
def test_trap_unmeasured_background_is_unknown_not_occluded(missing):
    points = unproject(wall(3.0).distance, STRAIGHT).reshape(-1, 3)
    distance = wall(3.0).distance.copy()
    distance[:, 40:60] = missing
    states = view_states(points, camera(distance)).reshape(HEIGHT, WIDTH)
    assert (states[:, 40:60] == ViewState.UNKNOWN).all()
    assert (np.delete(states, np.s_[40:60], axis=1) == ViewState.VISIBLE).all()


@pytest.mark.filterwarnings("error")
def test_unmeasured_points_are_unknown():
    source = wall(3.0).distance.copy()
    source[10:20] = np.nan
    source[30] = np.inf
    source[40] = 0
    states = axis_states(view_points(camera(source)), wall(3.0)).reshape(HEIGHT, WIDTH)
    assert not states[[*range(10, 20), 30, 40]].any() and states[[0, 25, 50]].all()


@pytest.mark.parametrize("seen", [0.3, 1.0, 1.999, 2.0, 10.0, 60.0])
@pytest.mark.parametrize("tau", [0.0, 0.02])
def test_tolerance_is_tau_and_half_a_float16_step(seen, tau):
    target = camera(np.full((HEIGHT, WIDTH), seen))
    stored = target.distance[0, 0]
    half = float(np.spacing(stored)) / 2
    edges = (float(stored) - half) / (1 + tau), (float(stored) + half) / (1 - tau)
    rho = np.array([edges[0] * 0.99999, edges[0] * 1.00001, edges[1] * 0.99999, edges[1] * 1.00001])
    ray = np.array([0.1, -0.2, 1]) / np.linalg.norm([0.1, -0.2, 1])
    names = ["INCONSISTENT", "VISIBLE", "VISIBLE", "OCCLUDED"]
    assert [ViewState(s).name for s in view_states(rho[:, None] * ray, target, tau)] == names


# Real RGB-D frames


@pytest.fixture(scope="module")
def rgbd(shared):
    """Open3D's five frames: planar depth in uint16 millimetres (0: none), integer-centre intrinsics."""
    folder = shared / "hypersim/rgbd_samples/open3d_testdata_rgbd"
    published = json.loads((folder / "camera_primesense.json").read_text())["intrinsic_matrix"]
    intrinsics = np.array(published).reshape(3, 3).T
    intrinsics[:2, 2] += 0.5
    lines = [line.split() for line in (folder / "trajectory.log").read_text().splitlines()]
    poses = np.array([line for line in lines if len(line) == 4], float).reshape(-1, 4, 4)
    frames = []
    for index, matrix in enumerate(poses):
        planar = np.asarray(Image.open(folder / f"depth/{index:05}.png")).astype(np.float64) / 1000
        distance = np.where(planar > 0, planar, np.nan) / pixel_rays(intrinsics, *planar.shape)[..., 2]
        frames.append(SceneView(str(index), intrinsics, matrix, distance.astype(np.float16)))
    return frames


def two_way_consistent(source, target):
    """Pixels (h * w,) that come back within 1 pixel and 1 % of depth by way of the target's own measurement."""
    height, width = source.distance.shape
    points = unproject(source.distance, source.intrinsics).reshape(-1, 3)
    there = np.linalg.inv(target.world_from_camera) @ source.world_from_camera
    pixels, depth = project(transform(points, there), target.intrinsics)
    with np.errstate(invalid="ignore"):
        inside = (depth > 0) & ((pixels >= 0) & (pixels < [width, height])).all(axis=1)
    column, row = np.where(inside[:, None], pixels, 0).astype(int).T
    measured = unproject(target.distance, target.intrinsics)[row, column]
    back, back_depth = project(transform(measured, np.linalg.inv(there)), source.intrinsics)
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2) + 0.5
    with np.errstate(invalid="ignore"):
        close = np.linalg.norm(back - centres, axis=1) < 1
        return inside & close & (np.abs(back_depth / points[:, 2] - 1) < 0.01)


def figures(source, target):
    states = axis_states(view_points(source), target)
    valid = np.isfinite(source.distance).sum()
    share = {state.name.lower(): np.count_nonzero(states == state) / valid for state in ViewState}
    return SimpleNamespace(**share, consistent=two_way_consistent(source, target).sum() / valid)


def test_published_figures_of_the_real_pair(rgbd):
    """Shares of the source's measured pixels, tau 0.02."""
    found = figures(rgbd[0], rgbd[4])
    assert found.visible == pytest.approx(0.917, abs=0.001)
    assert found.occluded == pytest.approx(0.019, abs=0.001)
    assert found.consistent == pytest.approx(0.883, abs=0.001)


def test_real_frames_part_as_the_camera_moves_on(rgbd):
    points = view_points(rgbd[0])
    visible = [np.count_nonzero(axis_states(points, target) == ViewState.VISIBLE) for target in rgbd]
    assert visible[0] == np.isfinite(points[0]).sum() and (np.diff(visible) < 0).all()


def test_visible_holds_whatever_is_consistent(rgbd, views):
    for source, target in ((rgbd[1], rgbd[3]), (views[0], views[1])):
        consistent = two_way_consistent(source, target)
        states = axis_states(view_points(source), target)
        assert (states[consistent] == ViewState.VISIBLE).mean() > 0.99


def test_a_camera_in_the_room_sees_itself_the_same_from_a_copy(views):
    copy = photograph((0.0, 0.3, -3.0), (-0.3, 0.0, 1.0))
    np.testing.assert_array_equal(axis_states(view_points(copy), views[0]), ViewState.VISIBLE)
