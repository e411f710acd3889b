"""Coordinates as large and as small as floats allow, and closed parts that look inwards."""

import numpy as np
import pytest
from tessera.datasets.errors import FormatError
from tessera.datasets.surface import mesh_tree as trees
from tessera.datasets.surface.mesh_nearest import nearest
from tessera.datasets.surface.mesh_topology import topology
from tessera.datasets.surface.surface import Surface

from .shapes import box, joined, sphere, turned

FAR = (3, 0, 0)


def test_trap_points_that_float32_does_not_hold_are_refused():
    """They were answered with a segmentation fault."""
    surface = Surface(*sphere())
    for ask in (surface.signed_distance, surface.winding_number, lambda points: nearest(surface.tree, points)):
        with pytest.raises(ValueError, match=r"^point 1 lies at \[0.0, -1e\+25, 0.0\]: coordinates beyond 1e\+15"):
            ask([[0, 0, 0], [0, -1e25, 0], [1e30, 0, 0]])


@pytest.mark.parametrize("far", [1e19, 1e25, 1e60])
def test_a_search_beyond_float32_is_one_in_float64(monkeypatch, far):
    monkeypatch.setattr(trees, "LARGEST", np.inf)
    found = nearest(trees.mesh_tree(*box()), [[far, 0, 0], [0, 0, 0], [-far, -far, -far]])
    assert found.distance.tolist() == pytest.approx([far, 0.5, far * 3**0.5]) and set(found.face) <= set(range(12))


def test_trap_vertices_that_float32_does_not_hold_are_refused():
    """A ball with one such vertex was at a distance of 0 from its own centre."""
    vertices, faces = sphere()
    vertices[5] = 1e25, 0, 0
    for build in (Surface, trees.mesh_tree):
        with pytest.raises(FormatError, match=r"^vertex 5 lies at \[1e\+25, 0.0, 0.0\]: coordinates beyond 1e\+15"):
            build(vertices, faces)


@pytest.mark.parametrize("size", [1e-12, 1e-6, 1e14])
def test_meshes_of_any_size_are_exact(size):
    vertices, faces = box()
    points = np.random.default_rng(0).uniform(-2, 2, (500, 3))
    expected = Surface(vertices, faces).signed_distance(points).distance
    found = Surface(size * vertices, faces).signed_distance(size * points).distance
    np.testing.assert_allclose(found / size, expected, atol=1e-12)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e14])
def test_the_farthest_points_are_answered(size):
    vertices, faces = box()
    found = Surface(size * vertices, faces).signed_distance(np.diag([1e15, -1e15, 1e15]))
    np.testing.assert_allclose(found.distance, 1e15 - size * np.array([0.5, 1, 1.5]), rtol=1e-12)


def hole(mesh):
    return mesh[0], mesh[1][5:]


SPHERES = {
    "as they are": (joined(sphere(), sphere(0.5, FAR)), 0),
    "the small one": (joined(sphere(), turned(sphere(0.5, FAR))), 1),
    "the small one, first": (joined(turned(sphere(0.5, FAR)), sphere()), 1),
    "the large one": (joined(turned(sphere()), sphere(0.5, FAR)), 1),
    "both": (turned(joined(sphere(), sphere(0.5, FAR))), 2),
    "all but a large box": (joined(box((9, 9, 1)), turned(joined(sphere(1, (0, 0, 3)), sphere(0.5, (3, 0, 3))))), 2),
}


@pytest.mark.parametrize("which", SPHERES)
def test_trap_closed_parts_are_turned_one_by_one(which):
    """They were turned together: the centre of a smaller ball that was inside out was outside of it."""
    mesh, count = SPHERES[which]
    surface = Surface(*mesh, threads=2)
    assert surface.report.method == "pseudonormal" and not surface.report.nested
    assert surface.report.turned_faces == count * 1280
    centres = [[0, 0, 3], [3, 0, 3], [0, 0, 0]] if "box" in which else [[0, 0, 0], [3, 0, 0]]
    for method in ("pseudonormal", "winding"):
        found = Surface(*mesh, method=method).signed_distance([*centres, [1.7, 0, 1.7]]).distance
        assert (found[:-1] < -0.45).all() and found[-1] > 0.4


def test_an_inverted_part_is_turned_with_what_is_in_it():
    """Of three balls apart, each with a smaller one in it, a cavity stays one, and an eyeball an eyeball."""
    hollow = joined(sphere(1.0), turned(sphere(0.5)))
    other = joined(sphere(0.9, FAR), turned(sphere(0.4, FAR)))
    surface = Surface(*joined(hollow, turned(other)))
    assert surface.report.method == "pseudonormal" and surface.report.turned_faces == len(other[1])
    found = surface.signed_distance([[0, 0, 0], [0.75, 0, 0], FAR, [3.65, 0, 0]]).distance
    np.testing.assert_array_equal(found < 0, [False, True, False, True])
    eye = joined(sphere(0.9, FAR), sphere(0.4, FAR))
    surface = Surface(*joined(hollow, turned(eye)))
    assert surface.report.nested and surface.report.turned_faces == len(eye[1])
    found = surface.signed_distance([[0, 0, 0], [0.75, 0, 0], FAR, [3.65, 0, 0]]).distance
    np.testing.assert_array_equal(found < 0, [False, True, True, True])


def test_parts_in_others_are_left_as_they_are():
    for inner in (sphere(0.5), turned(sphere(0.5))):
        mesh = joined(sphere(1.0), inner)
        assert Surface(*mesh).report.turned_faces == 0
        assert Surface(*turned(mesh)).report.turned_faces == len(mesh[1])
    cavity = joined(hole(sphere(1.0)), turned(sphere(0.5)))
    assert Surface(*cavity).report.turned_faces == 0
    assert not topology(*joined(sphere(), sphere(0.5))).inward.any()
    assert topology(*cavity).inward.tolist() == [False, True]


def test_beside_and_across_an_open_part_closed_ones_are_turned():
    for place in ((3, 0, 0), (1.1, 0, 0)):
        shoe = turned(sphere(0.5, place))
        surface = Surface(*joined(hole(sphere(1.0)), shoe))
        assert surface.report.open_edges > 0 and surface.report.turned_faces == len(shoe[1])
        assert (surface.signed_distance([place, [0.3, 0, 0]]).distance < 0).all()


def test_open_parts_are_turned_together():
    mesh = joined(hole(sphere(1.0)), hole(turned(sphere(0.5, FAR))))
    assert Surface(*mesh).report.turned_faces == 0
    assert Surface(*turned(mesh)).report.turned_faces == len(mesh[1])
