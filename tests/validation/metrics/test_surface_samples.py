"""Places drawn from meshes, and samples that stand in for a surface."""

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from scipy.stats import chisquare
from tessera.validation.metrics.normal_map import vertex_normals
from tessera.validation.metrics.surface_samples import MeshSurface, OrientedSamples, sample_surface

from .shapes import grid, sphere, sphere_samples, torus_distance, torus_samples

DENSITY = 50_000  # samples a square metre: 100,000 on the 2 m^2 of a person
MILLIMETRE = 1e-3


def rng(seed=0):
    return np.random.default_rng(seed)


def test_places_lie_in_the_faces_they_are_said_to_lie_in():
    vertices, faces = sphere(subdivisions=2)
    points, face = sample_surface(vertices, faces, 2000, rng())
    assert points.dtype == np.float64 and face.dtype == np.int32 and points.shape == (2000, 3)
    bary = trimesh.triangles.points_to_barycentric(vertices[faces[face]], points)
    assert bary.min() > -1e-9
    again = np.einsum("nk,nki->ni", bary, vertices[faces[face]])
    np.testing.assert_allclose(again, points, atol=1e-12)


def test_faces_are_drawn_by_their_area():
    mesh = trimesh.creation.box((1, 2, 5)).subdivide()
    vertices, faces = mesh.vertices, mesh.faces
    _, face = sample_surface(vertices, faces, 50_000, rng())
    found = np.bincount(face, minlength=len(faces))
    assert chisquare(found, mesh.area_faces / mesh.area * 50_000).pvalue > 1e-3


def test_places_in_one_triangle_are_even():
    points, _ = sample_surface([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], 100_000, rng())
    np.testing.assert_allclose(points.mean(0), [1 / 3, 1 / 3, 0], atol=3e-3)
    np.testing.assert_allclose(np.cov(points[:, :2].T), [[1 / 18, -1 / 36], [-1 / 36, 1 / 18]], atol=1e-3)


def test_the_same_seed_draws_the_same_places_and_faces_without_area_none():
    vertices, faces = sphere(subdivisions=1)
    flat = np.concatenate([[[0, 0, 1]], faces, [[3, 3, 3]]])
    one, face = sample_surface(vertices, flat, 500, rng(4))
    other, _ = sample_surface(vertices, flat, 500, rng(4))
    np.testing.assert_array_equal(one, other)
    assert face.min() > 0 and face.max() <= len(faces)


def test_even_places_keep_apart_as_those_of_trimesh():
    mesh = trimesh.creation.icosphere(subdivisions=4)
    points, _ = sample_surface(mesh.vertices, mesh.faces, 1000, rng(), even=True)
    away, _ = cKDTree(points).query(points, 2)
    assert away[:, 1].min() >= np.sqrt(mesh.area / 3000)
    theirs, _ = trimesh.sample.sample_surface_even(mesh, 1000, seed=0)
    assert abs(len(points) - len(theirs)) < 100


@pytest.mark.parametrize("faces", [np.empty((0, 3), int), [[0, 0, 1]]])
def test_nothing_is_drawn_from_a_mesh_without_area(faces):
    with pytest.raises(ValueError, match="mesh"):
        sample_surface(np.eye(3), faces, 10, rng())


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        sample_surface(*sphere(), 0, rng())


def errors(samples, known, seed=1, heights=(0.0, 0.0001, 0.002, 0.02)):
    """Of the samples' distances, at some heights on both sides of other places of the same surface."""
    places, normals = known
    offsets = np.array([sign * height for height in heights for sign in (-1, 1)])[:, None, None]
    points = (places + offsets * normals).reshape(-1, 3)
    return points, samples.distance(points).reshape(len(offsets), -1)


def test_samples_of_a_sphere_of_5_cm_measure_within_three_tenths_of_a_millimetre():
    radius = 0.05
    count = int(DENSITY * 4 * np.pi * radius**2)  # 1570
    samples = OrientedSamples(*sphere_samples(count, radius))
    points, found = errors(samples, sphere_samples(20_000, radius, seed=1))
    off = found - np.abs(np.linalg.norm(points, axis=1) - radius).reshape(found.shape)
    assert np.abs(off).mean() < 0.01 * MILLIMETRE and np.abs(off).max() < 0.3 * MILLIMETRE


def test_samples_of_a_torus_as_thick_as_an_arm_do_as_well():
    major, minor = 0.15, 0.04
    count = int(DENSITY * 4 * np.pi**2 * major * minor)
    samples = OrientedSamples(*torus_samples(count, major, minor))
    points, found = errors(samples, torus_samples(20_000, major, minor, seed=1))
    off = found - torus_distance(points, major, minor).reshape(found.shape)
    assert np.abs(off).mean() < 0.01 * MILLIMETRE and np.abs(off).max() < 0.3 * MILLIMETRE


def test_sharp_edges_cost_little():
    """A box of 10 cm: discs of one side reach over its edges."""
    box = trimesh.creation.box((0.1, 0.1, 0.1))
    places, face = sample_surface(box.vertices, box.faces, int(DENSITY * box.area), rng())
    samples = OrientedSamples(places, box.face_normals[face])
    others, face = sample_surface(box.vertices, box.faces, 20_000, rng(1))
    points, found = errors(samples, (others, box.face_normals[face]), heights=(0.0, 0.002, 0.005))
    away = np.abs(points) - 0.05
    known = np.abs(np.linalg.norm(away.clip(0), axis=1) + away.max(1).clip(max=0)).reshape(found.shape)
    assert np.abs((found - known).mean(1)).max() < 0.2 * MILLIMETRE
    assert (np.abs(found - known) < 0.1 * MILLIMETRE).mean() > 0.95


@pytest.mark.parametrize("height", [0.0, 0.005, 0.05])
def test_samples_of_a_real_scan_measure_as_its_mesh_does(shared, height):
    """A statue in robes, as tall as a person, with two and a half times a person's area."""
    mesh = trimesh.load(shared / "scans" / "hermes.ply")
    vertices, faces = np.asarray(mesh.vertices) * (1.8 / mesh.extents.max()), np.asarray(mesh.faces)
    places, face = sample_surface(vertices, faces, 100_000, rng())
    bary = trimesh.triangles.points_to_barycentric(vertices[faces[face]], places)
    normals = np.einsum("nk,nki->ni", bary, vertex_normals(vertices, faces)[faces[face]])
    points = sample_surface(vertices, faces, 10_000, rng(1))[0] + height * sphere_samples(10_000, 1.0, seed=2)[1]
    off = OrientedSamples(places, normals).distance(points) - MeshSurface(vertices, faces).distance(points)
    assert abs(off.mean()) < 0.3 * MILLIMETRE and np.abs(off).mean() < 0.4 * MILLIMETRE


def test_the_nearest_sample_alone_would_be_biased_by_millimetres():
    """What the discs are for."""
    places, _ = sphere_samples(1570, 0.05)
    others, _ = sphere_samples(20_000, 0.05, seed=1)
    assert cKDTree(places).query(others)[0].mean() > 2 * MILLIMETRE


def test_a_plane_is_exact_and_its_border_reached_over_by_little():
    places = np.concatenate([rng().uniform(0, 1, (20_000, 2)), np.zeros((20_000, 1))], 1)
    samples = OrientedSamples(places, np.tile([0, 0, 2.0], (len(places), 1)))
    inner = rng(1).uniform([0.02, 0.02, -0.1], [0.98, 0.98, 0.1], (5000, 3))
    off = np.abs(samples.distance(inner) - np.abs(inner[:, 2]))
    assert np.quantile(off, 0.999) < 1e-12
    spacing = 20_000**-0.5
    beyond = samples.distance([[1.2, 0.5, 0.0]])[0]
    assert 0.2 - 3 * spacing < beyond < 0.2 + spacing


def test_two_sheets_back_to_back_stay_apart():
    flat = rng().uniform(-0.1, 0.1, (4000, 2))
    up = np.where(np.arange(4000) % 2, 1.0, -1.0)
    samples = OrientedSamples(np.column_stack([flat, 0.001 * up]), np.column_stack([0 * flat, up]))
    points = np.column_stack([rng(1).uniform(-0.08, 0.08, (1000, 2)), np.full(1000, 0.003)])
    assert np.quantile(np.abs(samples.distance(points) - 0.002), 0.99) < 1e-5


def test_points_are_measured_each_by_itself_however_many_there_are():
    samples = OrientedSamples(*sphere_samples(500, 1.0))
    points = rng(1).normal(size=(70_000, 3))
    found = samples.distance(points)
    np.testing.assert_array_equal(found[::9973], np.concatenate([samples.distance(p) for p in points[::9973]]))
    assert samples.distance(np.empty((0, 3))).shape == (0,)


def test_samples_without_normals_are_points():
    places = rng().uniform(size=(500, 3))
    points = rng(1).uniform(size=(300, 3))
    found = OrientedSamples(places, np.zeros((500, 3))).distance(points)
    np.testing.assert_allclose(found, cKDTree(places).query(points)[0], rtol=1e-12)


def test_many_samples_at_one_place_are_measured():
    found = OrientedSamples(np.zeros((20, 3)), np.tile([0, 0, 1.0], (20, 1))).distance([[0, 3, 4]])
    np.testing.assert_allclose(found, 5)


def test_turning_and_scaling_samples_does_as_much_to_distances():
    places, normals = sphere_samples(1000, 1.0)
    turn = trimesh.transformations.random_rotation_matrix(rng(2).uniform(size=3))[:3, :3]
    points = rng(1).normal(size=(200, 3))
    one = OrientedSamples(places, normals).distance(points)
    other = OrientedSamples(1000 * places @ turn.T, normals @ turn.T).distance(1000 * points @ turn.T)
    np.testing.assert_allclose(other, 1000 * one, rtol=1e-6)


def test_bad_samples_and_points_are_refused():
    places, normals = sphere_samples(100, 1.0)
    with pytest.raises(ValueError, match="8"):
        OrientedSamples(places[:8], normals[:8])
    with pytest.raises(ValueError, match="not"):
        OrientedSamples(places, normals[:50])
    for damaged in (places * np.nan, places):
        with pytest.raises(ValueError, match="finite"):
            OrientedSamples(damaged, normals * np.nan)
    with pytest.raises(ValueError, match="finite"):
        OrientedSamples(places, normals).distance([[0, np.nan, 0]])


def test_draws_of_samples_hold_each_once():
    samples = OrientedSamples(*sphere_samples(100, 1.0))
    drawn = samples.draw(40, rng())
    assert len(np.unique(drawn, axis=0)) == 40 and len(samples.draw(1000, rng())) == 100


def test_distance_to_a_mesh_is_exact():
    points = rng().uniform(-2, 2, (2000, 3))
    away = np.abs(points[:, :2]).clip(1) - 1
    known = np.sqrt((away**2).sum(1) + (points[:, 2] - 0.5) ** 2)
    np.testing.assert_allclose(MeshSurface(*grid(height=0.5)).distance(points), known, atol=1e-14)
