import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.training.fields.grid import FieldError, evaluate_dense
from tessera.training.fields.marching import extract_mesh
from tessera.training.fields.octree import evaluate_octree


def sphere(radius, centre=(0.0, 0.0, 0.0)):
    return lambda points: radius - (points - torch.tensor(centre)).norm(dim=1)


def ellipsoid(points):
    """Occupancy of a person's size in the cube of the references."""
    return torch.sigmoid(8 * (1 - (points / torch.tensor([0.3, 0.88, 0.2])).square().sum(1)))


def torus(points):
    return 0.15 - torch.stack([points[:, :2].norm(dim=1) - 0.6, points[:, 2]]).norm(dim=0)


def two_spheres(points):
    return torch.maximum(sphere(0.3, (-0.5, 0.1, 0))(points), sphere(0.25, (0.45, 0, 0.1))(points))


def wavy(points):
    return torch.sin(5 * points[:, 0]) * torch.cos(4 * points[:, 1]) + torch.sin(6 * points[:, 2] + 1)


def capsule(points, start, end, radius):
    along = torch.tensor(end) - torch.tensor(start)
    share = ((points - torch.tensor(start)) @ along / along.dot(along)).clamp(0, 1)
    return radius - (points - torch.tensor(start) - share[:, None] * along).norm(dim=1)


def ball_with_rod(points):
    """A ball with a rod of two cells of 2 / 128 across, which a lattice of 16 cells hardly meets."""
    return torch.maximum(
        sphere(0.3, (-0.6, -0.6, -0.6))(points), capsule(points, (-0.6,) * 3, (0.85, 0.6, 0.7), 1 / 64)
    )


class Counted:
    """Remembers every point that a field was asked at."""

    def __init__(self, field):
        self.field, self.asked = field, []

    def __call__(self, points):
        self.asked.append(points.clone())
        return self.field(points)


def assert_same_mesh(field, resolution, coarse, level=0.0, **options):
    grid = evaluate_octree(field, resolution, level, coarse, **options)
    dense = evaluate_dense(field, resolution)
    for inside in ("above", "below"):
        one, other = (extract_mesh(each, level, inside) for each in (grid, dense))
        np.testing.assert_array_equal(one.faces, other.faces)
        np.testing.assert_allclose(one.vertices, other.vertices, rtol=0, atol=1e-6)
    return grid


@pytest.mark.parametrize("field", [sphere(0.7), torus, two_spheres, wavy, sphere(1.2)])
def test_the_mesh_is_that_of_the_dense_lattice(field):
    grid = assert_same_mesh(field, 64, 16)
    assert grid.evaluated < 65**3


@settings(max_examples=25, deadline=None)
@given(
    centre=st.tuples(*[st.floats(-0.4, 0.4)] * 3),
    radius=st.floats(0.27, 0.5),
    level=st.floats(-0.05, 0.05),
    margin=st.sampled_from([0.0, 0.02, 0.2]),
    coarse=st.sampled_from([8, 16, 32]),
)
def test_any_sphere_that_holds_a_coarse_point_has_the_mesh_of_the_dense_lattice(centre, radius, level, margin, coarse):
    assert_same_mesh(sphere(radius, centre), 32, coarse, level, margin=margin)


def test_a_field_that_equals_the_level_at_lattice_points_has_the_mesh_of_the_dense_lattice():
    def steps(points):
        return (4 * (0.5 - points.abs().sum(1))).round().clamp(-1, 1)

    assert_same_mesh(steps, 32, 8)


def test_a_thin_rod_is_followed_by_conflicts_as_far_as_it_goes():
    assert_same_mesh(ball_with_rod, 128, 16)


def test_a_rod_that_was_met_nowhere_is_found_with_a_margin_only():
    def rod(points):
        return capsule(points, (0.06, 0.06, -0.5), (0.06, 0.06, 0.5), 0.02)

    with pytest.raises(FieldError):
        extract_mesh(evaluate_octree(rod, 64, 0.0, 16), 0.0)
    assert_same_mesh(rod, 64, 16, margin=0.1)


def test_a_field_within_the_margin_everywhere_is_evaluated_everywhere():
    assert evaluate_octree(sphere(0.5), 32, 0.0, 8, margin=2.0).evaluated == 33**3


def test_every_cell_that_the_surface_crosses_and_its_ring_are_evaluated_not_interpolated():
    grid = evaluate_octree(ball_with_rod, 64, 0.0, 16)
    truth = evaluate_dense(ball_with_rod, 64).values
    above = truth > 0
    corners = np.stack([above[i : i + 64, j : j + 64, k : k + 64] for i in (0, 1) for j in (0, 1) for k in (0, 1)])
    for cell in np.argwhere(corners.any(0) & ~corners.all(0)):
        ring = tuple(slice(max(c - 1, 0), c + 3) for c in cell)
        np.testing.assert_allclose(grid.values[ring], truth[ring], rtol=0, atol=1e-6)


def test_no_value_lies_on_the_wrong_side_of_the_level():
    grid = evaluate_octree(ball_with_rod, 128, 0.0, 16)
    np.testing.assert_array_equal(grid.values > 0, evaluate_dense(ball_with_rod, 128).values > 0)


def test_no_point_is_evaluated_twice_and_the_count_is_that_of_the_field():
    field = Counted(ball_with_rod)
    grid = evaluate_octree(field, 64, 0.0, 16, chunk=1000)
    points = torch.cat(field.asked)
    assert len(points) == grid.evaluated == len(points.unique(dim=0))
    assert max(map(len, field.asked)) <= 1000


def test_a_person_needs_less_than_8_percent_of_the_evaluations_at_256():
    grid = evaluate_octree(ellipsoid, 256)
    share = grid.evaluated / 257**3
    print(f"{grid.evaluated} of {257**3} points evaluated: {share:.2%}")
    assert share < 0.08


def test_the_points_are_those_of_the_box_in_the_order_x_y_z():
    low, high = (-1.0, 0.0, 2.0), (1.0, 4.0, 2.5)
    for axis in range(3):
        for grid in (
            evaluate_octree(lambda p, axis=axis: p[:, axis], 8, 0.5, 4, low, high),
            evaluate_dense(lambda p, axis=axis: p[:, axis], 8, low, high),
        ):
            expected = np.moveaxis(np.broadcast_to(np.linspace(low[axis], high[axis], 9), (9, 9, 9)), 2, axis)
            np.testing.assert_allclose(grid.values, expected, atol=1e-6)
            assert (grid.values.dtype, grid.resolution, grid.low, grid.high) == (np.float32, 8, low, high)


@pytest.mark.parametrize("evaluate", [evaluate_octree, evaluate_dense])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused_with_its_place(evaluate, value):
    def field(points):
        hit = (points - torch.tensor([0.5, -0.25, 0.0])).abs().amax(1) < 1e-3
        return sphere(0.5)(points).masked_fill(hit, value)

    with pytest.raises(FieldError, match=rf"{value} at \(0.5, -0.25, 0\) and not finite at 1 of"):
        evaluate(field, 32)


def test_a_field_of_another_shape_is_refused():
    with pytest.raises(FieldError, match=r"\(100, 1\) for 100 points"):
        evaluate_dense(lambda points: points[:, :1], 16, chunk=100)


def test_half_precision_fields_give_float32_grids_without_gradients():
    weight = torch.ones(3, requires_grad=True)
    grid = evaluate_octree(lambda points: (0.5 - (points * weight).norm(dim=1)).bfloat16(), 32, 0.0, 16)
    assert grid.values.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resolution": 100}, "100 is not 32"),
        ({"resolution": 96}, "96 is not 32"),
        ({"resolution": 16}, "16 is not 32"),
        ({"coarse": 0}, "is not 0"),
        ({"margin": -0.1}, "margin -0.1"),
        ({"level": float("nan")}, "level nan"),
        ({"chunk": 0}, "chunk of 0"),
        ({"low": (1, -1, -1)}, "no volume"),
        ({"high": (1, float("inf"), 1)}, "no volume"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(options, words):
    with pytest.raises(ValueError, match=words):
        evaluate_octree(sphere(0.5), **options)
