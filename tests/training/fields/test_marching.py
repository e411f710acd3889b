import numpy as np
import pytest
import torch
import trimesh
from tessera.datasets.errors import TesseraError
from tessera.training.fields.grid import FieldGrid, evaluate_dense
from tessera.training.fields.marching import extract_mesh
from tessera.training.fields.mesh import Mesh, largest_component, upright

RESOLUTION = 64
CELL = 2 / RESOLUTION


def oracle(mesh):
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def sphere_grid(radius=0.7, sign=1, **options):
    return evaluate_dense(lambda points: sign * (radius - points.norm(dim=1)), RESOLUTION, **options)


@pytest.mark.parametrize(("inside", "sign"), [("above", 1), ("below", -1)])
def test_a_sphere_is_closed_turned_outwards_and_of_the_right_size(inside, sign):
    mesh = extract_mesh(sphere_grid(sign=sign), 0.0, inside)
    solid = oracle(mesh)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.01)
    assert abs(np.linalg.norm(mesh.vertices, axis=1) - 0.7).max() < CELL / 2
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int32)


def test_vertices_are_in_the_frame_of_the_box():
    low, high, centre = (0.0, -2.0, 5.0), (1.0, 2.0, 5.5), torch.tensor([0.5, 1.0, 5.25])
    grid = evaluate_dense(lambda points: 0.2 - (points - centre).norm(dim=1), RESOLUTION, low, high)
    mesh = extract_mesh(grid, 0.0)
    np.testing.assert_allclose(mesh.vertices.mean(0), centre, atol=0.01)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), 0.4, atol=0.02)


def test_a_surface_that_the_box_cuts_is_closed_at_its_border():
    solid = oracle(extract_mesh(sphere_grid(1.2), 0.0))
    assert solid.is_watertight
    np.testing.assert_array_equal(solid.bounds, [[-1] * 3, [1] * 3])
    cap = np.pi * 0.2**2 * (3 * 1.2 - 0.2) / 3
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 1.2**3 - 6 * cap, rel=0.01)


def test_a_cube_of_ones_that_fills_a_corner_is_closed():
    values = np.zeros((9, 9, 9), np.float32)
    values[:5, :5, :5] = 1
    solid = oracle(extract_mesh(FieldGrid(values, values.size)))
    assert solid.is_watertight
    np.testing.assert_allclose(solid.bounds, [[-1] * 3, [0.125] * 3], atol=1e-6)


def test_noise_gives_a_closed_mesh_with_every_edge_in_two_faces():
    values = np.random.default_rng(0).random((17, 17, 17), np.float32)
    mesh = extract_mesh(FieldGrid(values, values.size))
    edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()


@pytest.mark.parametrize("inside", ["above", "below"])
@pytest.mark.parametrize("level", [-5.0, 5.0])
def test_a_field_that_never_crosses_is_refused_with_its_range(level, inside):
    grid = sphere_grid()
    words = f"never crosses {level:.4g}: its values lie between {grid.values.min():.4g} and {grid.values.max():.4g}"
    with pytest.raises(ValueError, match=words) as caught:
        extract_mesh(grid, level, inside)
    assert isinstance(caught.value, TesseraError)


def test_a_constant_field_at_the_level_has_no_surface():
    with pytest.raises(ValueError, match="never crosses"):
        extract_mesh(FieldGrid(np.full((5, 5, 5), 0.5, np.float32), 125))


def test_inside_is_above_or_below():
    with pytest.raises(ValueError, match="within"):
        extract_mesh(sphere_grid(), 0.0, "within")


def test_of_two_spheres_the_larger_is_kept_whole():
    def field(points):
        far = torch.tensor([0.6, 0.6, 0.6])
        return torch.maximum(0.4 - (points + 0.3).norm(dim=1), 0.2 - (points - far).norm(dim=1))

    both = extract_mesh(evaluate_dense(field, RESOLUTION), 0.0)
    kept = oracle(largest_component(both))
    expected = max(oracle(both).split(), key=lambda part: len(part.vertices))
    assert kept.is_watertight and kept.volume == pytest.approx(expected.volume)
    assert (len(kept.vertices), len(kept.faces)) == (len(expected.vertices), len(expected.faces))
    np.testing.assert_allclose(kept.bounds, [[-0.7] * 3, [0.1] * 3], atol=CELL / 2)


def test_the_largest_part_leaves_vertices_without_faces_out():
    vertices = np.arange(24.0).reshape(8, 3)
    mesh = largest_component(Mesh(vertices, np.array([[1, 2, 3], [7, 5, 4], [6, 4, 5]], np.int32)))
    np.testing.assert_array_equal(mesh.vertices, vertices[4:])
    np.testing.assert_array_equal(mesh.faces, [[3, 1, 0], [2, 0, 1]])
    assert mesh.faces.dtype == np.int32


def test_the_largest_part_of_nothing_is_nothing():
    mesh = largest_component(Mesh(np.zeros((2, 3)), np.zeros((0, 3), np.int32)))
    assert mesh.vertices.shape == mesh.faces.shape == (0, 3)


def test_upright_turns_y_upwards_and_keeps_faces_outwards():
    mesh = extract_mesh(sphere_grid(), 0.0)
    turned = upright(mesh)
    np.testing.assert_array_equal(turned.vertices, mesh.vertices * [1, -1, 1])
    assert oracle(turned).volume == pytest.approx(oracle(mesh).volume)
