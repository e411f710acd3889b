"""Pinhole geometry against the textbook formula pixel by pixel, OpenCV, and analytic shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from tessera.datasets.camera import pixel_rays, planar_depth, project, transform, unproject

SKEWED = np.array([[400.0, 7.5, 30.2], [0, 380.0, 24.9], [0, 0, 1]])
HEIGHT, WIDTH = 48, 64

INTRINSICS = st.builds(
    lambda fx, fy, cx, cy, skew: np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]]),
    *[st.floats(20, 900)] * 2,
    *[st.floats(-20, 80)] * 2,
    st.floats(-30, 30),
)


def test_one_ray_by_hand():
    intrinsics = np.array([[2.0, 0, 2], [0, 2, 1], [0, 0, 1]])
    rays = pixel_rays(intrinsics, 2, 4)
    assert rays.shape == (2, 4, 3) and rays.dtype == np.float64
    expected = np.array([(0.5 - 2) / 2, (1.5 - 1) / 2, 1])  # column 0, row 1: its centre is at (0.5, 1.5)
    np.testing.assert_allclose(rays[1, 0], expected / np.linalg.norm(expected), rtol=1e-15)


@settings(max_examples=30, deadline=None)
@given(INTRINSICS)
def test_rays_solve_the_projection_equation_pixel_by_pixel(intrinsics):
    rays = pixel_rays(intrinsics, 3, 5)
    for row in range(3):
        for column in range(5):
            ray = np.linalg.solve(intrinsics, [column + 0.5, row + 0.5, 1])
            np.testing.assert_allclose(rays[row, column], ray / np.linalg.norm(ray), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(INTRINSICS, st.integers(0, 1000))
def test_points_seen_at_a_pixel_project_back_to_its_centre(intrinsics, seed):
    distance = np.random.default_rng(seed).uniform(0.1, 50, (HEIGHT, WIDTH))
    points = unproject(distance, intrinsics)
    pixels, depth = project(points, intrinsics)
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    np.testing.assert_allclose(pixels[..., 0], columns, atol=1e-8)
    np.testing.assert_allclose(pixels[..., 1], rows, atol=1e-8)
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), distance, rtol=1e-12)
    np.testing.assert_allclose(depth, points[..., 2], rtol=1e-12)


def test_distance_to_a_plane_gives_constant_planar_depth():
    rays = pixel_rays(SKEWED, HEIGHT, WIDTH)
    distance = 3.25 / rays[..., 2]  # the plane z = 3.25 is hit after this length
    np.testing.assert_allclose(planar_depth(distance, SKEWED), 3.25, rtol=1e-12)
    assert np.ptp(distance) > 0.01


def test_a_sphere_around_the_camera_has_constant_distance_not_depth():
    points = unproject(np.full((HEIGHT, WIDTH), 2.0), SKEWED)
    np.testing.assert_allclose((points**2).sum(-1), 4, rtol=1e-12)
    assert np.ptp(planar_depth(np.full((HEIGHT, WIDTH), 2.0), SKEWED)) > 0.005


def test_opencv_projects_to_the_same_pixels():
    cv2 = pytest.importorskip("cv2")
    intrinsics = SKEWED * [[1, 0, 1], [1, 1, 1], [1, 1, 1]]  # OpenCV knows no skew
    points = np.random.default_rng(0).uniform([-1, -1, 1], [1, 1, 5], (50, 3))
    pixels, depth = project(points, intrinsics)
    centre_origin = intrinsics - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]  # OpenCV's first pixel centre is at 0
    expected = cv2.projectPoints(points, np.zeros(3), np.zeros(3), centre_origin, None)[0][:, 0]
    np.testing.assert_allclose(pixels - 0.5, expected, atol=1e-9)
    np.testing.assert_array_equal(depth, points[:, 2])


@pytest.mark.filterwarnings("error")
def test_points_in_the_camera_plane_have_no_depth_and_cause_no_warning():
    pixels, depth = project(np.array([[0.0, 0, 0], [1, 2, 0], [0, 0, -1]]), SKEWED)
    np.testing.assert_array_equal(depth, [0, 0, -1])
    assert pixels.shape == (3, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_stored_distances_are_worked_on_in_full_precision(dtype):
    distance = np.full((HEIGHT, WIDTH), 1.5, dtype)
    assert unproject(distance, SKEWED).dtype == planar_depth(distance, SKEWED).dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(unproject(distance, SKEWED), axis=-1), 1.5, rtol=1e-12)


def test_nan_distances_stay_nan_and_local():
    distance = np.ones((HEIGHT, WIDTH))
    distance[3, 4] = np.nan
    bad = np.isnan(unproject(distance, SKEWED)).any(-1)
    assert bad[3, 4] and bad.sum() == 1


@given(st.integers(0, 1000))
def test_transform_is_the_homogeneous_product_and_its_inverse_goes_back(seed):
    rng = np.random.default_rng(seed)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.random(rng=rng).as_matrix()
    matrix[:3, 3] = rng.normal(size=3)
    points = rng.normal(size=(2, 5, 3))
    found = transform(points, matrix)
    expected = (matrix @ np.append(points, np.ones((2, 5, 1)), axis=-1)[..., None])[..., :3, 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(transform(found, np.linalg.inv(matrix)), points, atol=1e-12)
