"""Surfels against analytic surfaces and a slow grouping by dictionaries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.pipelines.labels import surfels as surfels_label
from tessera.pipelines.labels.surfels import SurfelBuilder, surfel_keys


def sphere(seed, count, radius=1.5, centre=(0.3, -2.0, 1.0)):
    """Points (count, 3) on a sphere and their outward normals."""
    normal = np.random.default_rng(seed).normal(size=(count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return np.asarray(centre) + radius * normal, normal


def fused(spacing, *frames, most=4_000_000):
    builder = SurfelBuilder(spacing, most)
    for frame in frames:
        builder.add(*frame)
    return builder.finish()


def by_dictionaries(spacing, points, normals, weights, colours):
    """Mean position, direction, colour and weight of each (cell, axis, sign), in Python floats."""
    groups = {}
    for i, (point, normal) in enumerate(zip(points, normals, strict=True)):
        axis = max(range(3), key=lambda a: abs(normal[a]))
        groups.setdefault((*(int(c // spacing) for c in point), axis, normal[axis] < 0), []).append(i)
    rows = []
    for _, members in sorted(groups.items()):
        w = weights[members]
        normal = w @ normals[members]
        rows.append([*(w @ points[members] / w.sum()), *(normal / np.linalg.norm(normal)),
                     *(w @ colours[members] / w.sum()), w.sum()])  # fmt: skip
    return np.array(rows)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.05, 0.3, 1.0]), st.integers(1, 3))
def test_against_dictionaries(seed, spacing, frames):
    rng = np.random.default_rng(seed)
    points, normals = sphere(seed, 300)
    weights, colours = rng.uniform(0.1, 2, 300), np.exp(rng.normal(size=(300, 3)))
    parts = [(points[i::frames], normals[i::frames], weights[i::frames], colours[i::frames]) for i in range(frames)]
    found = fused(spacing, *parts)
    expected = by_dictionaries(spacing, points, normals, weights, colours)
    rows = np.column_stack([found.position, found.normal, found.colour, found.weight])
    np.testing.assert_allclose(rows, expected, rtol=2e-5, atol=2e-6)
    assert {array.dtype for array in (found.position, found.normal, found.colour, found.weight)} == {np.dtype("f4")}


def test_sphere_points_stay_on_the_sphere():
    found = fused(0.02, *((*sphere(seed, 50_000), np.ones(50_000)) for seed in range(4)))
    offset = found.position - np.array([0.3, -2.0, 1.0])
    radius = np.linalg.norm(offset, axis=1)
    sagitta = 3 * 0.02**2 / (8 * 1.5)  # a chord as long as a cell's diagonal
    assert (radius < 1.5 + 1e-6).all() and (radius > 1.5 - sagitta - 1e-6).all()
    assert ((offset / radius[:, None] * found.normal).sum(axis=1) > np.cos(0.02)).all()
    np.testing.assert_array_equal(found.colour, 0)


def test_plane_is_covered_once_a_cell():
    grid = np.stack(np.meshgrid(np.arange(-2, 2, 0.004), np.arange(0, 1, 0.004)), axis=-1).reshape(-1, 2) + 0.002
    points = np.column_stack([grid, np.full(len(grid), 0.713)])
    found = fused(0.02, (points, np.tile([0.0, 0, 1], (len(points), 1)), np.ones(len(points))))
    assert len(found.weight) == 200 * 50
    np.testing.assert_allclose(found.position[:, 2], 0.713, atol=1e-6)
    np.testing.assert_array_equal(found.weight, 25)
    np.testing.assert_allclose(found.position[:, :2] / 0.02 % 1, 0.5, atol=1e-3)


@pytest.mark.parametrize("tilt", np.arange(0, 1.6, 0.2))
def test_trap_sides_of_a_thin_board_stay_apart(tilt):
    """A board of 3 mm in cells of 20 mm, at any tilt: no mean lies inside the board."""
    rng = np.random.default_rng(0)
    normal = np.array([np.sin(tilt), 0.3, np.cos(tilt)]) / np.hypot(1, 0.3)
    basis = np.linalg.svd(normal[None])[2][1:]
    flat = rng.uniform(-0.5, 0.5, (40_000, 2)) @ basis
    side = rng.choice([-1.0, 1.0], (40_000, 1))
    found = fused(0.02, (flat + side * 0.0015 * normal, side * normal, np.ones(40_000)))
    height = found.position @ normal
    np.testing.assert_allclose(np.abs(height), 0.0015, atol=1e-5)
    np.testing.assert_allclose(found.normal, np.sign(height)[:, None] * normal, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_too_many_surfels_double_the_spacing(seed):
    points, normals = sphere(seed, 4000)
    one = (points, normals, np.ones(4000), np.abs(points))
    found = fused(0.05, one, most=900)
    assert len(found.weight) <= 900 and found.spacing in (0.1, 0.2, 0.4, 0.8)
    coarse = fused(found.spacing, one)
    np.testing.assert_array_equal(found.key, coarse.key)
    for name in ("position", "normal", "colour", "weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(coarse, name), rtol=1e-4, atol=1e-5)
    assert len(fused(found.spacing / 2, one).weight) > 900


def test_doubling_amid_frames_ends_where_all_frames_at_once_end(monkeypatch):
    monkeypatch.setattr(surfels_label, "PENDING", 1500)
    frames = [(*sphere(seed, 1000), np.ones(1000)) for seed in range(12)]
    found = fused(0.05, *frames, most=1200)
    together = fused(0.05, [np.concatenate(part) for part in zip(*frames, strict=True)], most=1200)
    assert found.spacing == together.spacing > 0.05
    np.testing.assert_array_equal(found.key, together.key)
    np.testing.assert_allclose(found.position, together.position, atol=1e-5)
    np.testing.assert_allclose(found.weight, together.weight, rtol=1e-5)


def test_keys_tell_which_surfels_a_frame_made():
    frames = [(*sphere(seed, 2000), np.ones(2000)) for seed in range(3)]
    found = fused(0.05, *frames)
    assert (np.diff(found.key) > 0).all()
    touched = np.zeros(len(found.key), bool)
    for points, normals, _ in frames:
        rows = found.rows(surfel_keys(points, normals, found.spacing))
        assert (rows >= 0).all()
        assert (np.abs(found.position[rows] - points) < 0.05 + 1e-6).all()
        touched[rows] = True
    assert touched.all()
    assert (found.rows(surfel_keys(np.array([[99.0, 0, 0]]), np.array([[0, 0, 1.0]]), 0.05)) == -1).all()


def test_same_frames_give_the_same_bytes():
    frames = [(*sphere(seed, 3000), np.ones(3000)) for seed in range(3)]
    one, two = fused(0.03, *frames), fused(0.03, *frames)
    assert one.position.tobytes() == two.position.tobytes() and one.normal.tobytes() == two.normal.tobytes()


def test_points_without_place_direction_or_weight_are_left_out():
    points, normals = np.zeros((7, 3)), np.tile([0.0, 0, 1], (7, 1))
    weights, colours = np.ones(7), np.ones((7, 3))
    points[0, 1], normals[1], normals[2, 0], weights[3], weights[4] = np.nan, 0, np.inf, 0, np.nan
    colours[5] = np.inf  # renderers overflow float16: such a point has a place, but no colour
    colours[6] = 3
    found = fused(0.1, (points, normals, weights, colours))
    np.testing.assert_array_equal(found.weight, [2])
    np.testing.assert_array_equal(found.colour, [[3, 3, 3]])


def test_colour_is_the_mean_of_the_frames_that_have_one():
    points, normals = sphere(0, 100)
    weights = np.full(100, 2.0)
    found = fused(0.5, (points, normals, weights), (points, normals, weights, np.full((100, 3), 7.0)))
    np.testing.assert_allclose(found.colour, 7, rtol=1e-6)


def test_nothing_gives_nothing():
    found = fused(0.02, (np.full((5, 3), np.nan), np.zeros((5, 3)), np.ones(5)))
    assert found.position.shape == found.normal.shape == found.colour.shape == (0, 3)
    assert (found.rows(np.arange(3)) == -1).all()


def test_points_beyond_the_lattice_are_refused():
    with pytest.raises(ValueError, match="reach beyond"):
        fused(0.02, (np.array([[20_000.0, 0, 0]]), np.array([[0, 0, 1.0]]), np.ones(1)))
