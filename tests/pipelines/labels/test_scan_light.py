"""Light on shapes for which it is known."""

import numpy as np
import pytest
from tessera.datasets.surface.mesh_topology import topology
from tessera.datasets.surface.mesh_tree import mesh_tree
from tessera.datasets.surface.pseudonormals import vertex_normals
from tessera.pipelines.labels.mesh_raster import MeshRays
from tessera.pipelines.labels.scan_light import harmonics, random_light, shaded, sphere_grid, transfer

from ...datasets.surface.shapes import box, joined, sphere

WHITE = np.sqrt(4 * np.pi) * np.eye(9)[0]
COSINE = np.array([1.0, 2 / 3, 2 / 3, 2 / 3, 0.25, 0.25, 0.25, 0.25, 0.25])  # R. Ramamoorthi and P. Hanrahan, 2001


def lit(mesh, side=12):
    tree = mesh_tree(*mesh)
    normals = vertex_normals(tree.vertices, tree.faces, topology(tree.vertices, tree.faces))
    return tree.vertices, normals, transfer(tree.vertices, normals, MeshRays(tree), side)


def test_harmonics_are_orthonormal():
    basis = harmonics(sphere_grid(60))
    np.testing.assert_allclose(basis.T @ basis * 4 * np.pi / 3600, np.eye(9), atol=5e-3)


@pytest.mark.parametrize(("side", "most"), [(12, 0.03), (40, 0.004)])
def test_a_ball_sends_on_what_a_cosine_lets_through(side, most):
    _, normals, sent = lit(sphere(0.5, subdivisions=3), side)
    assert np.abs(sent - harmonics(normals) * COSINE).max() < most
    assert np.abs(sent @ WHITE - 1).max() < most * np.sqrt(4 * np.pi)


def test_light_from_one_side_lights_that_side():
    _, normals, sent = lit(sphere(0.5, subdivisions=3))
    for axis in range(3):
        lamp = harmonics(np.eye(3)[axis][None])[0]
        assert np.corrcoef(sent @ lamp, np.maximum(normals[:, axis], 0))[0, 1] > 0.97


def test_no_light_gets_into_a_closed_room():
    _, _, sent = lit(joined(sphere(1.0), sphere(0.3)))
    inner = sent[len(sphere()[0]) :]
    assert (inner == 0).all()


def test_a_roof_keeps_the_light_away():
    """Of a floor with a wide roof above it: what is left comes from the sides."""
    floor, roof = box((1.0, 0.1, 1.0)), (box((6.0, 0.1, 6.0))[0] + np.array([0, 0.4, 0]), box()[1])
    open_floor, covered = lit(floor)[2], lit(joined(floor, roof))[2]
    top = floor[0][:, 1] > 0
    assert ((covered[:8] @ WHITE)[top] < 0.75 * (open_floor @ WHITE)[top]).all()


def test_a_random_light_is_bright_enough_and_not_too_bright():
    _, _, sent = lit(sphere(0.5))
    means = [np.clip(sent @ random_light(np.random.default_rng(seed)), 0, 1).mean() for seed in range(60)]
    assert min(means) > 0.5 and max(means) < 0.99 and np.std(means) > 0.03


def test_shading_keeps_the_colour_under_white_light():
    albedo = np.random.default_rng(0).integers(0, 256, (50, 3)).astype(np.uint8)
    sent = np.tile(WHITE / (4 * np.pi), (50, 1))
    light = np.repeat(WHITE[:, None], 3, 1)
    np.testing.assert_array_equal(shaded(albedo, sent, light), albedo)
    half = shaded(albedo, sent / 2, light)
    np.testing.assert_allclose(half, albedo * 0.5 ** (1 / 2.2), atol=0.51)
