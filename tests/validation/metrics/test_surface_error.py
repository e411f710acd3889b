"""Chamfer and P2S where they are known without measuring."""

import numpy as np
import pytest
import trimesh
from tessera.pipelines.native import import_open3d
from tessera.validation.metrics.surface_error import fixed_error, published_error
from tessera.validation.metrics.surface_samples import OrientedSamples

from .shapes import grid, half_sphere, sphere, sphere_samples


def rng(seed=0):
    return np.random.default_rng(seed)


def distances(mesh, points):
    o3d = import_open3d()
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(*(o3d.core.Tensor(x) for x in (mesh.vertices.astype("f4"), mesh.faces.astype("u4"))))
    return scene.compute_distance(o3d.core.Tensor(points.astype("f4"))).numpy().astype(float)


def test_spheres_in_each_other_are_their_radii_apart():
    found = fixed_error(sphere(0.5, subdivisions=6), sphere(0.52, subdivisions=6))
    for value in (found.chamfer, found.p2s, found.reverse_p2s):
        assert value == pytest.approx(2.0, abs=0.01)
    assert found.unit == "centimetre" and found.samples == (10_000, 10_000)
    assert found.chamfer_within < 0.001


def test_spheres_in_the_cube_are_published_in_its_units():
    found = published_error(sphere(0.5, subdivisions=6), sphere(0.53, subdivisions=6), rng())
    assert found.chamfer == pytest.approx(3.0, abs=0.02) and found.p2s == pytest.approx(3.0, abs=0.02)
    assert "cube" in found.unit and found.samples == (1000, 1000)
    metres = sphere(0.5 / 1.2, subdivisions=6), sphere(0.53 / 1.2, subdivisions=6)
    again = published_error(*metres, rng(), half_sides=1.2)
    assert again.chamfer == pytest.approx(found.chamfer, rel=1e-9) and again.unit == found.unit


def test_a_plane_that_is_moved_is_that_far_off():
    found = fixed_error(grid(height=0.013), grid())
    assert found.chamfer == pytest.approx(1.3, abs=1e-12) and found.chamfer_within < 1e-12


def test_a_sphere_that_is_moved_is_off_by_half_of_that():
    """The mean over a sphere of | |x - t| - r | is |t| / 2 for a small t: |cos| has the mean 1/2."""
    found = fixed_error(sphere(centre=(0.01, 0, 0), subdivisions=6), sphere(subdivisions=6), samples=40_000)
    assert found.p2s == pytest.approx(0.5, abs=2 * found.p2s_within + 0.005)
    assert found.reverse_p2s == pytest.approx(0.5, abs=2 * found.reverse_p2s_within + 0.005)


def test_the_mesh_itself_has_no_error():
    found = fixed_error(sphere(), sphere())
    assert 0 <= found.chamfer < 1e-10


def test_half_a_sphere_lacks_much_and_adds_nothing():
    """From the lower half of the unit sphere the rim is closest, at 2 sin(a / 2), a being the angle below it.

    Over that half its mean is the integral of 2 sin(a / 2) cos(a) from 0 to 90 degrees.
    """
    angle = (np.arange(100_000) + 0.5) * np.pi / 2 / 100_000
    below = (2 * np.sin(angle / 2) * np.cos(angle)).mean() * np.pi / 2
    found = fixed_error(half_sphere(), sphere(subdivisions=6), samples=40_000)
    assert found.p2s == pytest.approx(100 * below / 2, abs=2 * found.p2s_within + 0.5)
    assert found.p2s > 20 and found.reverse_p2s < 1e-10
    assert found.chamfer == pytest.approx(found.p2s / 2)


def test_too_much_shows_in_the_other_direction():
    found = fixed_error(sphere(), half_sphere(), samples=5000)
    assert found.p2s < 0.5 and found.reverse_p2s > 20


def test_published_numbers_are_those_of_the_protocol_with_other_tools():
    """ICON's own steps, with trimesh's samples and Open3D's distances, as far as 1,000 samples tell."""
    one, other = trimesh.creation.capsule(1.0, 0.3), trimesh.creation.capsule(1.05, 0.28)
    theirs = []
    for seed in range(8):
        of_truth = trimesh.sample.sample_surface_even(other, 1000, seed=seed)[0]
        of_found = trimesh.sample.sample_surface_even(one, 1000, seed=seed)[0]
        p2s = distances(one, of_truth).mean() * 100
        theirs.append([p2s, (p2s + distances(other, of_found).mean() * 100) / 2])
    mine = []
    for seed in range(8):
        found = published_error((one.vertices, one.faces), (other.vertices, other.faces), rng(seed), even=True)
        mine.append([found.p2s, found.chamfer])
    gap, spread = np.mean(theirs, 0) - np.mean(mine, 0), np.std(theirs, 0) + np.std(mine, 0)
    assert (np.abs(gap) < 3 * spread / np.sqrt(8)).all()


def test_intervals_hold_the_truth_in_95_of_100_draws():
    predicted, truth = sphere(centre=(0.1, 0, 0), subdivisions=3), sphere(subdivisions=3)
    known = fixed_error(predicted, truth, samples=400_000, seed=99)
    found = [fixed_error(predicted, truth, samples=400, seed=seed) for seed in range(400)]
    for name in ("chamfer", "p2s", "reverse_p2s"):
        held = [abs(getattr(f, name) - getattr(known, name)) <= getattr(f, f"{name}_within") for f in found]
        assert 0.91 <= np.mean(held) <= 0.985


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others():
    one, again, other = (fixed_error(sphere(0.9), sphere(), 2000, seed) for seed in (3, 3, 4))
    assert one == again != other


def test_samples_of_the_truth_do_as_well_as_its_mesh():
    predicted = sphere(0.11, (0.01, 0, 0), subdivisions=5)
    mesh = fixed_error(predicted, sphere(0.1, subdivisions=6), samples=20_000)
    dense = fixed_error(predicted, OrientedSamples(*sphere_samples(6283, 0.1)), samples=20_000)  # 50,000 a m^2
    assert dense.samples == (6283, 20_000)
    assert dense.reverse_p2s == pytest.approx(mesh.reverse_p2s, abs=0.005)  # 0.05 mm
    assert dense.p2s == pytest.approx(mesh.p2s, abs=2 * dense.p2s_within)


def test_a_perfect_prediction_of_samples_is_off_by_next_to_nothing():
    found = fixed_error(sphere(0.1, subdivisions=6), OrientedSamples(*sphere_samples(6283, 0.1)))
    assert found.chamfer < 0.005  # 0.05 mm


def test_one_sample_says_nothing_of_its_spread():
    found = fixed_error(sphere(0.9), sphere(), samples=1)
    assert np.isnan(found.chamfer_within) and np.isfinite(found.chamfer)


@pytest.mark.parametrize("which", ["predicted", "true"])
def test_an_empty_mesh_is_refused_not_perfect(which):
    empty = np.empty((0, 3)), np.empty((0, 3), np.int64)
    meshes = (empty, sphere()) if which == "predicted" else (sphere(), empty)
    with pytest.raises(ValueError, match=f"{which} mesh is empty"):
        fixed_error(*meshes)
    with pytest.raises(ValueError, match=f"{which} mesh is empty"):
        published_error(*meshes, rng())


def test_meshes_that_are_damaged_are_refused():
    vertices, faces = sphere()
    broken = vertices.copy()
    broken[5, 1] = np.nan
    with pytest.raises(ValueError, match="predicted mesh cannot be measured: vertices are not finite"):
        fixed_error((broken, faces), sphere())
    with pytest.raises(ValueError, match="faces name vertices"):
        fixed_error((vertices[:9], faces), sphere())
    with pytest.raises(ValueError, match="area"):
        fixed_error((vertices, np.zeros((3, 3), int)), sphere())
