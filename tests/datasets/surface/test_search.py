"""The fast ways of the signed distance's search, each against the slow one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.surface.mesh_boundary import CHANGE, Boundary, reach
from tessera.datasets.surface.mesh_crossings import crossing_faces
from tessera.datasets.surface.mesh_nearest import nearest
from tessera.datasets.surface.mesh_topology import topology
from tessera.datasets.surface.mesh_tree import STACK, mesh_tree
from tessera.datasets.surface.pseudonormals import feature_normals, pseudonormals
from tessera.datasets.surface.space_curve import along_curve
from tessera.datasets.surface.surface import Surface
from tessera.datasets.surface.threads import in_threads

from .shapes import brute_distances, brute_winding, joined, sphere, torus, turned


def soup(rng, count, narrow):
    """Triangles that lie on, in and through each other, many with corners in common, some narrow."""
    vertices = np.round(rng.normal(size=(count // 2 + 3, 3)), 1)
    vertices[:: max(narrow, 1)] *= [1, 1, 1e-7 if narrow else 1]
    return vertices, rng.integers(0, len(vertices), (count, 3))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([3, 40, 900]), st.floats(-12, 10), st.sampled_from([0.0, 1e4]),
       st.sampled_from([0, 2, 5]))  # fmt: skip
def test_eight_at_once_find_what_one_by_one_do(seed, count, exponent, away, narrow):
    rng = np.random.default_rng(seed)
    mesh = soup(rng, count, narrow)
    vertices = (mesh[0] + away) * 10.0**exponent
    points = np.concatenate([mesh[0][:20], rng.normal(size=(30, 3)), 1e3 * rng.normal(size=(5, 3))]) + away
    points = points * 10.0**exponent
    found = nearest(mesh_tree(vertices, mesh[1]), points)
    known = brute_distances(points, (vertices, mesh[1]))
    scale = 10.0**exponent * (1 + away)
    np.testing.assert_allclose(found.distance, known.min(1), atol=1e-11 * scale, rtol=1e-10)
    of_face = known[np.arange(len(points)), found.face]
    np.testing.assert_allclose(of_face, known.min(1), atol=1e-11 * scale, rtol=1e-10)


def test_a_tree_is_the_same_with_any_number_of_threads():
    mesh = sphere(subdivisions=5)
    trees = [mesh_tree(*mesh, threads) for threads in (1, 3)]
    assert len(trees[0].children) > 4000
    for name in ("boxes", "children", "triangles", "order"):
        np.testing.assert_array_equal(*(getattr(tree, name) for tree in trees))
    for one, other in zip(*(tree.wide for tree in trees), strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_triangle_is_in_one_leaf_whose_box_holds_it():
    tree = mesh_tree(*torus())
    wide, seen = tree.wide, np.zeros(len(tree.faces), int)
    for node, side in zip(*np.nonzero(np.isfinite(wide.boxes[:, 0])), strict=True):
        below = wide.children[node, side]
        if below < 0:
            first, count = wide.spans[-1 - below]
            assert 0 < count <= 8
            seen[first : first + count] += 1
            corners = tree.vertices[tree.faces[tree.order[first : first + count]]].reshape(-1, 3)
            assert (corners >= wide.boxes[node, :3, side]).all() and (corners <= wide.boxes[node, 3:, side]).all()
    assert (seen == 1).all()


def test_surfaces_and_signs_are_the_same_with_any_number_of_threads():
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (20_000, 3))
    for mesh in (torus(), (torus()[0], torus()[1][100:]), joined(sphere(), sphere(1.0, (0.5, 0, 0)))):
        one, other = Surface(*mesh), Surface(*mesh, threads=3)
        assert one.report == other.report
        found, again = one.signed_distance(points), other.signed_distance(points)
        np.testing.assert_array_equal(found.distance, again.distance)
        assert found.doubt == again.doubt


@pytest.mark.parametrize("hole", [0.0, 0.2, 0.6])
def test_a_number_that_stands_for_others_tells_their_side(hole):
    """Also of two balls in each other, and of what is turned inside out."""
    mesh = joined(sphere(), sphere(1.0, (0.5, 0, 0)), turned(sphere(0.3)))
    middle = mesh[0][mesh[1]].mean(1)
    mesh = mesh[0], mesh[1][np.linalg.norm(middle - [-0.7, 0.7, 0], axis=1) > hole]
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-1.6, 1.6, (20_000, 3)), rng.normal([-0.7, 0.7, 0], 0.1, (20_000, 3))])
    surface = Surface(*mesh, method="winding")
    assert (surface.report.open_edges > 0) == (hole > 0)
    inside = surface.signed_distance(points).distance < 0
    np.testing.assert_array_equal(inside, surface.winding_number(points) > 0.5)


def test_within_reach_a_winding_number_changes_as_little_as_is_said():
    mesh = sphere(subdivisions=2)
    rng = np.random.default_rng(0)
    mesh = mesh[0], mesh[1][rng.uniform(size=len(mesh[1])) < 0.97]
    tree, stack = mesh_tree(*mesh), np.empty(STACK, np.int32)
    boundary = Boundary(tree, topology(tree.vertices, tree.faces))
    assert not boundary.closed
    points = np.concatenate([rng.uniform(-2, 2, (150, 3)), mesh[0][:80] * 1.1, mesh[0][:80] * 0.9])
    clear = nearest(tree, points).distance
    far = np.array([reach(*p, c, *boundary.tables, stack) for p, c in zip(points, clear, strict=True)])
    assert (far <= clear).all() and (far > 0.05 * clear).mean() > 0.5
    way = rng.normal(size=points.shape)
    there = points + way * (0.999 * far / np.linalg.norm(way, axis=1))[:, None]
    change = np.abs(brute_winding(points, mesh) - brute_winding(there, mesh))
    assert change.max() < CHANGE


def test_faces_without_area_have_no_say():
    """A point that was closest to one was outside, whatever lay around it."""
    vertices, faces = torus(sections=8)
    edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    needles = np.concatenate([np.stack([edges[:, 0], edges[:, 1], edges[:, 1]], 1), faces])
    (a, b, c), new = faces[0], len(vertices)
    on_edge = vertices[a] + (vertices[b] - vertices[a]) / 2
    split = np.concatenate([[[a, b, new], [a, new, c], [new, b, c]], faces[1:]])
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (20_000, 3))
    known = Surface(vertices, faces).signed_distance(points).distance
    for mesh, flat in (((vertices, needles), len(edges)), ((np.concatenate([vertices, [on_edge]]), split), 1)):
        surface = Surface(*mesh)
        assert surface.report.flat_faces == flat and surface.report.open_edges == 0
        assert surface.report.method == "winding"
        np.testing.assert_allclose(surface.signed_distance(points).distance, known, atol=1e-14)


def test_normals_by_face_are_those_of_its_features():
    vertices, faces = torus(sections=8)
    found = topology(vertices, faces)
    by_face, normals = pseudonormals(vertices, faces, found), feature_normals(vertices, faces, found)
    np.testing.assert_array_equal(by_face[:, 0], normals.faces)
    np.testing.assert_array_equal(by_face[:, 1:4], normals.edges[found.edges])
    np.testing.assert_array_equal(by_face[:, 4:], normals.places[found.corners])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 40))
def test_crossings_are_those_of_all_pairs(seed, count):
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(count, 3))
    faces = np.array([rng.permutation(count)[:3] for _ in range(count)]) if count > 3 else np.array([[0, 1, 1]])
    tree = mesh_tree(vertices, faces)
    known = np.zeros(len(faces), bool)
    for i in range(len(faces)):
        for j in range(i):
            if _pierces(vertices, faces[i], faces[j]) or _pierces(vertices, faces[j], faces[i]):
                known[i] = known[j] = True
    np.testing.assert_array_equal(crossing_faces(tree, faces.astype(np.int64), 2), known)


def _pierces(vertices, face, other):
    """Whether an edge of one face goes through another, by the signs of volumes."""
    a, b, c = vertices[other]

    def volume(*corners):
        return np.linalg.det(np.array(corners[1:]) - corners[0])

    for begin, end in zip(face, np.roll(face, -1), strict=True):
        if begin in other or end in other:
            continue
        p, q = vertices[begin], vertices[end]
        sides = [volume(p, q, a, b), volume(p, q, b, c), volume(p, q, c, a)]
        if volume(a, b, c, p) * volume(a, b, c, q) < 0 and (min(sides) > 0 or max(sides) < 0):
            return True
    return False


@pytest.mark.parametrize("count", [0, 1, 2, 5000])
def test_points_along_a_curve_are_all_there_and_close_together(count):
    points = np.random.default_rng(0).normal(size=(count, 3))
    order = along_curve(points)
    np.testing.assert_array_equal(np.sort(order), np.arange(count))
    if count > 2:
        steps, before = (np.linalg.norm(np.diff(p, axis=0), axis=1).mean() for p in (points[order], points))
        assert steps < 0.2 * before
    np.testing.assert_array_equal(along_curve(np.zeros((count, 3))), np.arange(count))


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_a_thread_is_raised(threads):
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda part: 1 // part, [1, 0], threads)
