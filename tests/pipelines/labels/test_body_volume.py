"""Volumes of bodies that are balls and boxes: which voxels are full, and their colours."""

import numpy as np
import pytest
import trimesh
from tessera.pipelines.labels.body_points import body_surface
from tessera.pipelines.labels.body_volume import body_volume, grid_points

from ...datasets.surface.shapes import box, sphere

HALF, SIDE, RADIUS = 1.0, 48, 0.6
CENTRE = np.array([0.2, -0.1, 0.05])


def lattice(half: float, side: int) -> np.ndarray:
    """(side, side, side, 3) centres of voxels, one by one."""
    axis = [-half + (2 * half / side) * (k + 0.5) for k in range(side)]
    return np.array([[[(x, y, z) for z in axis] for y in axis] for x in axis])


def colours(vertices: np.ndarray) -> np.ndarray:
    return (vertices - vertices.min(0)) / np.ptp(vertices, axis=0)


def volume(mesh: tuple[np.ndarray, np.ndarray], half: float = HALF, side: int = SIDE) -> np.ndarray:
    faces = np.asarray(mesh[1], np.int32)
    return body_volume(body_surface(mesh[0], faces), colours(mesh[0]), half, side)


@pytest.fixture(scope="module")
def ball() -> np.ndarray:
    return volume(sphere(RADIUS, CENTRE, 5))


def test_lattice_points_are_voxel_centres_with_x_slowest() -> None:
    np.testing.assert_allclose(grid_points(1.3, 6), lattice(1.3, 6).reshape(-1, 3), atol=1e-12)
    points = grid_points(0.9, 128)
    assert points.shape == (128**3, 3) and points[0].tolist() == [-0.9 * 127 / 128] * 3
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-12)


def test_full_voxels_are_those_whose_centres_lie_inside(ball: np.ndarray) -> None:
    distance = np.linalg.norm(lattice(HALF, SIDE) - CENTRE, axis=-1)
    full = (ball > 0).all(-1)
    np.testing.assert_array_equal(full, (ball > 0).any(-1))  # full ones have no channel of zero
    sure = np.abs(distance - RADIUS) > 1e-3  # the mesh lies up to 0.3 mm within the ball
    np.testing.assert_array_equal(full[sure], (distance < RADIUS)[sure])
    assert ball.dtype == np.uint8 and ball.shape == (SIDE, SIDE, SIDE, 3)
    assert full.sum() * (2 * HALF / SIDE) ** 3 == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)


def test_colours_are_those_of_the_closest_place_on_the_surface(ball: np.ndarray) -> None:
    """A ball's closest place lies along the radius; its colour is linear in the place."""
    away = lattice(HALF, SIDE) - CENTRE
    distance = np.linalg.norm(away, axis=-1)
    some = (distance > 0.1) & (distance < RADIUS - 1e-3)
    wanted = 1 + 254 * (away[some] / distance[some][:, None] + 1) / 2
    assert np.abs(ball[some] - wanted).max() < 1.5 + 254 * 0.02  # faces of 2 cm, whose normals decide from afar
    near = (distance > RADIUS - 0.04) & (distance < RADIUS - 1e-3)
    wanted = 1 + 254 * (away[near] / distance[near][:, None] + 1) / 2
    assert np.abs(ball[near] - wanted).max() < 2.0


def test_colours_of_a_box_against_trimesh() -> None:
    mesh = box((0.9, 1.3, 0.5))
    found = volume(mesh, side=24)
    inside = (found > 0).all(-1)
    points = lattice(HALF, 24)
    np.testing.assert_array_equal(inside, (np.abs(points) < np.array([0.45, 0.65, 0.25])).all(-1))
    closest, off, _ = trimesh.proximity.closest_point_naive(trimesh.Trimesh(*mesh, process=False), points[inside])
    sides = np.sort(np.array([0.45, 0.65, 0.25]) - np.abs(points[inside]), axis=1)
    one = sides[:, 1] - sides[:, 0] > 1e-9  # elsewhere several places are as close
    np.testing.assert_allclose(off, sides[:, 0], atol=1e-12)
    wanted = 1 + 254 * (closest - mesh[0].min(0)) / np.ptp(mesh[0], axis=0)
    assert one.any() and np.abs(found[inside] - wanted)[one].max() <= 0.5 + 1e-6


def test_axes_are_x_y_z_of_the_world() -> None:
    vertices = box((0.4, 0.4, 0.4))[0] + [0.7, 0, -0.7]
    full = (volume((vertices, box()[1]), side=20) > 0).all(-1)
    np.testing.assert_array_equal(np.flatnonzero(full.any((1, 2))), [15, 16, 17, 18])
    np.testing.assert_array_equal(np.flatnonzero(full.any((0, 2))), [8, 9, 10, 11])
    np.testing.assert_array_equal(np.flatnonzero(full.any((0, 1))), [1, 2, 3, 4])


def test_what_reaches_out_of_the_cube_is_cut_off_and_what_is_outside_leaves_it_empty() -> None:
    assert (volume(sphere(3.0), side=8) > 0).all()
    far = sphere(0.3, (5, 0, 0))
    assert not volume(far, side=8).any()


def test_a_vertex_that_no_face_names_changes_nothing(ball: np.ndarray) -> None:
    vertices, faces = sphere(RADIUS, CENTRE, 5)
    more = np.concatenate([vertices, [[0.9, 0.9, 0.9]]])
    surface = body_surface(more, np.asarray(faces, np.int32))
    found = body_volume(surface, np.concatenate([colours(vertices), [[0.5, 0.5, 0.5]]]), HALF, SIDE)
    np.testing.assert_array_equal(found, ball)
