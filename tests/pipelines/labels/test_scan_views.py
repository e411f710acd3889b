"""Cameras round a person, what they see of it, and which vertices they see."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.surface.mesh_topology import topology
from tessera.datasets.surface.mesh_tree import mesh_tree
from tessera.datasets.surface.pseudonormals import vertex_normals
from tessera.pipelines.labels.body_visible import visible
from tessera.pipelines.labels.mesh_raster import MeshRays
from tessera.pipelines.labels.scan_camera import scan_camera

from ...datasets.surface.shapes import box, joined, sphere, torus

CAMERAS = st.tuples(st.floats(0, 360), st.floats(0.5, 2.2), st.sampled_from([64, 129]), st.floats(-40, 40),
                    st.sampled_from(["orthographic", "perspective"]))  # fmt: skip


def look(mesh, *camera):
    tree, camera = mesh_tree(*mesh), scan_camera(*camera)
    return tree, camera, *MeshRays(tree).front_and_back(camera)


def test_calib_is_that_of_icon():
    """The formula of the references, in their units: 100 a raw unit, scaled to 180, 102.4 to the edge."""
    raw_height, metres = 0.5785, 1 / 0.43  # a scan of THuman2.0; metres a unit by its fit
    for yaw in (0, 80, 230):
        turn = np.radians(yaw)
        extrinsic = np.eye(4)
        extrinsic[:3, :3] = [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
        scan_scale, ortho = 1.8 / raw_height, 0.4
        intrinsic = np.diag([scan_scale / ortho, -scan_scale / ortho, scan_scale / ortho, 1]) @ np.diag(
            [1 / 256] * 3 + [1]
        )
        icon = intrinsic @ extrinsic @ np.diag([100, 100, 100, 1])
        ours = scan_camera(yaw, raw_height * metres, 512).calib @ np.diag([metres, metres, metres, 1])
        np.testing.assert_allclose(ours, icon, atol=1e-12)


def test_a_person_takes_450_of_512_pixels():
    camera = scan_camera(30, 1.65, 512)
    pixels, _ = camera.project(np.array([[0, 0.825, 0], [0, -0.825, 0.0]]))
    np.testing.assert_allclose(pixels, [[256, 31], [256, 481]], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(CAMERAS, st.integers(0, 2**32))
def test_rays_go_through_the_pixels_that_points_are_projected_to(given_camera, seed):
    camera = scan_camera(*given_camera)
    origins, away = camera.rays()
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(0, camera.size, (2, 50))
    points = origins[rows, columns] + away[rows, columns] * (camera.distance + rng.uniform(-1, 1, (50, 1)))
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels, np.stack([columns, rows], 1) + 0.5, atol=1e-6)
    assert (depth > 0).all()


@settings(max_examples=40, deadline=None)
@given(CAMERAS)
def test_calib_and_intrinsics_agree(given_camera):
    """At the depth of the origin also for a perspective camera."""
    camera = scan_camera(*given_camera)
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (20, 3))
    if camera.kind == "perspective":
        forward = camera.world_from_camera[:3, 2]
        points -= (points @ forward)[:, None] * forward
    cube = points @ camera.calib[:3, :3].T + camera.calib[:3, 3]
    pixels, depth = camera.project(points)
    np.testing.assert_allclose((cube[:, :2] + 1) / 2 * camera.size, pixels, atol=1e-6)
    height = given_camera[1]
    np.testing.assert_allclose(cube[:, 2] * height * 102.4 / 180, camera.distance - depth, atol=1e-9)


def test_a_person_that_is_turned_by_90_degrees_looks_to_the_right():
    pixels, _ = scan_camera(90, 1.8, 512).project(np.array([[0, 0, 0.2]]))
    assert pixels[0, 0] > 300


def test_a_raised_camera_sees_the_head_nearer_than_the_feet():
    _, depth = scan_camera(0, 1.8, 512, 30).project(np.array([[0, 0.8, 0], [0, -0.8, 0.0]]))
    assert depth[0] < depth[1]


@pytest.mark.parametrize("kind", ["orthographic", "perspective"])
def test_depth_of_a_sphere(kind):
    radius = 0.6
    _, camera, front, back = look(sphere(radius, subdivisions=5), 40, 1.8, 128, 10, kind)
    origins, away = camera.rays()
    middle = -(origins * away).sum(-1)
    square = middle**2 - (origins**2).sum(-1) + radius**2
    known = square > 0
    assert (known != front.mask).mean() < 0.01 and (front.mask == back.mask).all()
    both = (square > 0.02) & front.mask
    forward = camera.world_from_camera[:3, 2]
    for seen, sign in ((front, -1), (back, 1)):
        place = origins + away * (middle + sign * np.sqrt(np.maximum(square, 0)))[..., None]
        assert np.abs(seen.depth - place @ forward)[both].max() < 2e-3
    assert np.isnan(front.depth[~front.mask]).all() and (front.face[~front.mask] == -1).all()


@pytest.mark.parametrize("kind", ["orthographic", "perspective"])
def test_depth_goes_back_to_the_surface(kind):
    """A pixel's ray, at its depth, ends on the face that is said to be there."""
    tree, camera, *sides = look(torus(0.6, 0.2), 70, 1.8, 200, 25, kind)
    for seen in sides:
        origins, away = (each[seen.mask] for each in camera.rays())
        along = (seen.depth[seen.mask] + camera.distance) / (away @ camera.world_from_camera[:3, 2])
        on_ray = origins + along[:, None] * away
        on_face = seen.gathered(tree.vertices, tree.faces)
        assert np.linalg.norm(on_ray - on_face, axis=1).max() < 5e-6


def test_the_back_is_on_the_pixels_of_the_front_and_not_mirrored():
    """Of a box and a small one beside it: both are left in both pictures; the near side is in front."""
    tree, _, front, back = look(
        joined(box((0.4, 1.6, 0.4)), (box((0.2, 0.2, 0.2))[0] + [-0.6, 0, 0], box()[1])), 0, 1.8, 128
    )
    assert (front.mask == back.mask).all() and front.mask[64, 10:30].any() and not front.mask[64, 98:].any()
    small = front.face >= 12
    np.testing.assert_array_equal(small, back.face >= 12)
    np.testing.assert_allclose(front.depth[front.mask & ~small], -0.2, atol=1e-6)
    np.testing.assert_allclose(back.depth[front.mask & ~small], 0.2, atol=1e-6)
    normals = vertex_normals(tree.vertices, tree.faces, topology(tree.vertices, tree.faces))
    assert (front.gathered(normals, tree.faces)[:, 2] > 0).all() and (
        back.gathered(normals, tree.faces)[:, 2] < 0
    ).all()


def test_scan_vertices_are_projected_into_the_mask():
    tree, camera, front, _ = look(torus(0.5, 0.2, 96), 30, 1.5, 256, 15)
    pixels, _ = camera.project(tree.vertices)
    at = np.floor(pixels).astype(int)
    grown = front.mask.copy()
    for axis in (0, 1):
        grown |= np.roll(grown, 1, axis) | np.roll(grown, -1, axis)
    assert grown[at[:, 1], at[:, 0]].all()


def seen_from(mesh, *camera):
    tree = mesh_tree(*mesh)
    normals = vertex_normals(tree.vertices, tree.faces, topology(tree.vertices, tree.faces))
    return tree, normals, visible(tree.vertices, normals, MeshRays(tree), scan_camera(*camera))


@pytest.mark.parametrize("kind", ["orthographic", "perspective"])
def test_half_of_a_sphere_is_seen(kind):
    tree, _, seen = seen_from(sphere(0.5, subdivisions=4), 25, 1.8, 64, 20, kind)
    camera = scan_camera(25, 1.8, 64, 20, kind)
    unit = tree.vertices / 0.5
    limit = 0.5 / camera.distance if kind == "perspective" else 0.0
    towards = unit @ -camera.world_from_camera[:3, 2]
    sure = np.abs(towards - limit) > 0.02
    np.testing.assert_array_equal(seen[sure], (towards > limit)[sure])


def test_what_lies_behind_is_not_seen():
    far = sphere(0.3, (0, 0, -1))
    _, _, seen = seen_from(joined(box((1.0, 1.0, 0.1)), far), 0, 1.8, 64)
    assert not seen[8:].any() and seen[:8].sum() == 4
    _, _, seen = seen_from(joined(box((1.0, 1.0, 0.1)), far), 180, 1.8, 64)
    assert seen[8:].any()


def test_icon_247_feet_are_seen():
    """A tall body: the lowest part is as visible as the rest; the references' raster ended above it."""
    tall = sphere(1.0, subdivisions=4)[0] * [0.25, 0.9, 0.2], sphere(subdivisions=4)[1]
    tree, normals, seen = seen_from(tall, 0, float(np.ptp(tall[0][:, 1])), 64)
    low = tree.vertices[:, 1] < np.quantile(tree.vertices[:, 1], 0.12)
    facing = normals[:, 2] > 0.05
    assert seen[low & facing].mean() > 0.9 and not seen[normals[:, 2] < -0.05].any()


def met_by_any(mesh, origins, away):
    """Whether rays meet any triangle: solves for the place on each, plainly."""
    a, b, c = (mesh[0][mesh[1][:, i]] for i in range(3))
    hit = np.zeros(len(origins), bool)
    for number, origin in enumerate(origins):
        matrix = np.stack([np.broadcast_to(-away, a.shape), b - a, c - a], -1)
        t, u, v = np.linalg.solve(matrix, (origin - a)[..., None])[..., 0].T
        hit[number] = ((t > 0) & (u >= 0) & (v >= 0) & (u + v <= 1)).any()
    return hit


def test_visibility_is_that_of_an_independent_ray_cast():
    mesh = torus(0.5, 0.2, 24)
    tree, normals, seen = seen_from(mesh, 35, 1.4, 64, 60)
    towards = -scan_camera(35, 1.4, 64, 60).world_from_camera[:3, 2]
    facing = np.flatnonzero(normals @ towards > 0)
    hit = met_by_any(mesh, tree.vertices[facing] + 1e-4 * normals[facing], towards)
    np.testing.assert_array_equal(seen[facing], ~hit)
    assert 0.05 < hit.mean() < 0.6
