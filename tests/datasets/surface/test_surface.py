"""Signed distances against shapes that are known without a mesh, and against every triangle asked in turn."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.datasets.surface.mesh_nearest import nearest
from tessera.datasets.surface.mesh_tree import mesh_tree
from tessera.datasets.surface.surface import Surface

from .shapes import (
    box,
    box_distance,
    brute_distances,
    brute_winding,
    joined,
    sphere,
    torus,
    turned,
    unwelded,
)  # fmt: skip


def cloud(seed, count=4000, reach=2.0):
    return np.random.default_rng(seed).uniform(-reach, reach, (count, 3))


def near(mesh, seed, sigma=0.02, count=4000):
    """Points around a mesh's surface."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(3), count)
    corners = mesh[0][np.asarray(mesh[1])[rng.integers(0, len(mesh[1]), count)]]
    return (corners * weights[..., None]).sum(1) + rng.normal(size=(count, 3)) * sigma


def test_box_is_exact():
    surface = Surface(*box())
    for points in (cloud(0), near(box(), 1)):
        found = surface.signed_distance(points)
        np.testing.assert_allclose(found.distance, box_distance(points), atol=1e-14)
    assert surface.report.method == "pseudonormal" and surface.report.open_edges == 0 == found.doubt


@pytest.mark.parametrize("subdivisions", [2, 4])
def test_sphere(subdivisions):
    """Within what its triangles lie under it."""
    mesh = sphere(subdivisions=subdivisions)
    sag = 1 - np.linalg.norm(mesh[0][mesh[1]].mean(1), axis=1).min()
    points = np.concatenate([cloud(0), near(mesh, 1)])
    found = Surface(*mesh).signed_distance(points).distance - (np.linalg.norm(points, axis=1) - 1)
    assert found.min() > -1e-12 and found.max() <= sag * 1.001


def test_torus():
    mesh = torus(sections=96)
    points = np.concatenate([cloud(0), near(mesh, 1)])
    ring = np.linalg.norm(points[:, :2], axis=1) - 1
    known = np.hypot(ring, points[:, 2]) - 0.3
    assert np.abs(Surface(*mesh).signed_distance(points).distance - known).max() < 2e-3


def test_closest_points_are_what_is_said_of_them():
    mesh = torus()
    points = cloud(0)
    found = Surface(*mesh).signed_distance(points)
    closest = np.einsum("nk,nki->ni", found.bary, mesh[0][mesh[1][found.face]])
    np.testing.assert_allclose(np.linalg.norm(points - closest, axis=1), np.abs(found.distance), atol=1e-15)
    assert (found.bary >= 0).all() and np.abs(found.bary.sum(1) - 1).max() < 1e-15


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.sampled_from([0.0, 1e-15, 1e-9, 1e-4, 1.0]))
@example(0, 1, 0.0)
def test_distance_to_any_triangles_is_that_to_the_closest_of_all(seed, count, width):
    """Needles, points and doubled faces among them; on corners and edges, and far away."""
    rng = np.random.default_rng(seed)
    a, along = rng.normal(size=(count, 3)), rng.normal(size=(count, 3))
    c = a + along * rng.uniform(-1, 2, (count, 1)) + width * rng.normal(size=(count, 3))
    vertices = np.stack([a, a + along, c], 1).reshape(-1, 3)
    mesh = (
        vertices,
        rng.integers(0, len(vertices), (count, 3)) if seed % 3 == 0 else np.arange(3 * count).reshape(-1, 3),
    )
    points = np.concatenate([rng.normal(size=(40, 3)), vertices, 1e3 * rng.normal(size=(3, 3)),
                             (vertices + np.roll(vertices, 1, 0)) / 2])  # fmt: skip
    found, all_of_them = nearest(mesh_tree(*mesh), points), brute_distances(points, mesh)
    np.testing.assert_allclose(found.distance, all_of_them.min(1), atol=1e-9)
    of_face = all_of_them[np.arange(len(points)), found.face]
    np.testing.assert_allclose(found.distance, of_face, atol=1e-9)


def test_neither_other_points_nor_threads_change_a_result():
    tree, points = mesh_tree(*torus()), cloud(0, 20_000)
    whole = nearest(tree, points)
    some = np.random.default_rng(1).permutation(len(points))[:5000]
    for found in (nearest(tree, points, threads=3), nearest(tree, points[some])):
        chosen = some if len(found.face) == len(some) else slice(None)
        for one, other in zip(whole, found, strict=True):
            np.testing.assert_array_equal(one[chosen], other)


def test_of_faces_at_one_distance_the_first_is_taken():
    mesh = joined(box(), box(), box())
    found = nearest(mesh_tree(*mesh), cloud(0))
    assert found.face.max() < 12


@pytest.mark.parametrize("shape", [box(), torus(sections=12), sphere(subdivisions=1)])
def test_winding_number_is_the_sum_of_all_solid_angles(shape):
    part = shape[0], shape[1][: len(shape[1]) * 2 // 3]
    points = np.concatenate([cloud(0, 300), near(part, 1, 0.05, 300)])
    for mesh in (shape, part, turned(part)):
        surface = Surface(*mesh, method="winding")
        surface.topology.side[:] = 1  # as they are
        exact = brute_winding(points, mesh)
        wrong = np.abs(surface.winding_number(points) - exact)
        assert wrong.max() < 0.05 and wrong[np.abs(exact - 0.5) < 0.15].max(initial=0) < 5e-3


def test_winding_number_of_many_triangles():
    mesh = sphere(subdivisions=4)
    part = mesh[0], mesh[1][mesh[0][mesh[1]].mean(1)[:, 2] < 0.3]
    hole = cloud(1, 300) * [0.4, 0.4, 0.1] + [0, 0, 0.3]
    points = np.concatenate([cloud(0, 100), near(part, 1, 0.1, 100), hole])
    exact = brute_winding(points, part)
    wrong = np.abs(Surface(*part).winding_number(points) - exact)
    close = np.abs(exact - 0.5) < 0.15
    assert wrong.max() < 0.05 and close.sum() > 50 and wrong[close].max() < 5e-3


def test_seams_of_a_texture_are_no_holes():
    whole, apart = Surface(*torus()), Surface(*unwelded(torus()))
    assert apart.report == whole.report and apart.report.method == "pseudonormal"
    points = np.concatenate([cloud(0), torus()[0]])
    np.testing.assert_array_equal(whole.signed_distance(points).distance, apart.signed_distance(points).distance)


@pytest.mark.parametrize("which", [slice(None), slice(0, 40), slice(0, None, 7)])
def test_faces_that_look_the_wrong_way_are_turned(which):
    mesh = torus()
    surface = Surface(*turned(mesh, which))
    assert surface.report.turned_faces == len(mesh[1][which]) and surface.report.method == "pseudonormal"
    points = cloud(0)
    expected = Surface(*mesh).signed_distance(points).distance
    np.testing.assert_allclose(surface.signed_distance(points).distance, expected, atol=1e-14)


def test_a_hollow_ball_is_empty_in_the_middle():
    surface = Surface(*joined(sphere(1.0), turned(sphere(0.5))))
    assert surface.report.method == "pseudonormal" and not surface.report.nested
    points = cloud(0)
    away = np.linalg.norm(points, axis=1)
    clear = (np.abs(away - 1) > 0.02) & (np.abs(away - 0.5) > 0.02)
    inside = surface.signed_distance(points).distance < 0
    np.testing.assert_array_equal(inside[clear], ((away > 0.5) & (away < 1))[clear])


def test_trap_eyeballs_in_a_head_are_inside():
    """A closed part in another, both facing outwards: pseudonormals say that around it is outside."""
    surface = Surface(*joined(sphere(1.0), sphere(0.2, (0.3, 0, 0))))
    assert surface.report.nested and surface.report.method == "winding"
    points = cloud(0)
    away = np.linalg.norm(points, axis=1)
    clear = np.abs(away - 1) > 0.02
    np.testing.assert_array_equal((surface.signed_distance(points).distance < 0)[clear], (away < 1)[clear])


def test_parts_that_cross_are_one_body():
    surface = Surface(*joined(sphere(1.0), sphere(1.0, (1.2, 0, 0))))
    assert surface.report.crossing_faces > 0 and surface.report.method == "winding"
    points = cloud(0)
    away = np.minimum(np.linalg.norm(points, axis=1), np.linalg.norm(points - [1.2, 0, 0], axis=1))
    clear = np.abs(away - 1) > 0.02
    np.testing.assert_array_equal((surface.signed_distance(points).distance < 0)[clear], (away < 1)[clear])


def test_a_face_through_another_is_a_crossing_and_a_touch_is_none():
    flat = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]])
    through = np.array([[0.2, 0.2, -1], [0.2, 0.2, 1], [0.3, 0.3, 2.0]])
    above = through + np.array([0, 0, 1.5])
    faces = np.arange(6).reshape(2, 3)
    assert Surface(np.concatenate([flat, through]), faces).report.crossing_faces == 2
    assert Surface(np.concatenate([flat, above]), faces).report.crossing_faces == 0
    assert Surface(np.concatenate([flat, flat + np.array([0, 0, 1e-9])]), faces).report.crossing_faces == 0
    for mesh in (box(), torus(), sphere(), joined(box(), sphere(0.2))):
        assert Surface(*mesh).report.crossing_faces == 0


def test_trap_an_open_mesh_has_an_inside():
    """Labels of scans with holes came out all wrong by parity of rays."""
    mesh = sphere(subdivisions=4)
    keep = np.linalg.norm(mesh[0][mesh[1]].mean(1) - [0, 0, 1], axis=1) > 0.25
    surface = Surface(mesh[0], mesh[1][keep])
    assert surface.report.open_edges > 0 and surface.report.method == "winding"
    points = cloud(0)
    away = np.linalg.norm(points, axis=1)
    clear = (np.abs(away - 1) > 0.02) & (np.linalg.norm(points - [0, 0, 1], axis=1) > 0.4)
    found = surface.signed_distance(points)
    np.testing.assert_array_equal((found.distance < 0)[clear], (away < 1)[clear])
    assert 0 < found.doubt < 0.02


@pytest.mark.parametrize("mesh", [torus(), sphere(), joined(box(), turned(sphere(0.4)))])
def test_both_ways_to_tell_a_sign_agree(mesh):
    points = np.concatenate([cloud(0), near(mesh, 1, 0.005), mesh[0] * 1.0001, mesh[0] * 0.9999])
    one, other = (Surface(*mesh, method=method).signed_distance(points) for method in ("pseudonormal", "winding"))
    np.testing.assert_array_equal(one.distance, other.distance)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(-6, 6))
def test_scale_and_place_do_not_matter(seed, exponent):
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    scale, move = 10.0**exponent, rng.normal(size=3)
    vertices, faces = torus(sections=16)
    points = cloud(seed, 200)
    plain = Surface(vertices, faces).signed_distance(points).distance
    moved = Surface(scale * (vertices @ turn + move), faces).signed_distance(scale * (points @ turn + move)).distance
    np.testing.assert_allclose(moved / scale, plain, atol=1e-12)


@pytest.mark.parametrize(
    ("vertices", "faces", "what"),
    [
        (np.zeros((3, 3)), np.zeros((0, 3), int), "0 faces"),
        (np.zeros((3, 3)), np.array([[0, 1, 3]]), "vertices 0 to 3 of 3"),
        (np.zeros((3, 3)), np.array([[0, 1, -1]]), "vertices -1 to 1"),
        (np.array([[0, 0, 0], [1, 0, 0], [0, np.nan, 0]]), np.array([[0, 1, 2]]), "not finite"),
        (np.zeros((3, 2)), np.array([[0, 1, 2]]), r"vertices \(V, 3\)"),
        (np.zeros((3, 3)), np.array([[0.0, 1, 2]]), "faces name"),
    ],
)
def test_what_is_no_mesh_is_refused(vertices, faces, what):
    with pytest.raises(FormatError, match=what):
        Surface(vertices, faces)


def test_points_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not finite"):
        Surface(*box()).signed_distance([[0, 0, np.nan]])


def test_no_points():
    found = Surface(*box()).signed_distance(np.zeros((0, 3)))
    assert found.distance.shape == (0,) and found.bary.shape == (0, 3)
