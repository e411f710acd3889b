"""Signed distances against analytic shapes and Open3D, and their validity against what was never seen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import RawDataError
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.labels import scene_sdf
from tessera.pipelines.labels.scene_sdf import BAND, SurfaceIndex, signed_distance
from tessera.pipelines.labels.surfels import Surfels
from tessera.pipelines.labels.voxels import VoxelGrid

from .analytic_room import pose
from .surfel_shapes import BOX, Known, Meshes, box_sides, fused, rectangle


def around(points, normals, sigma, count=6000, seed=0):
    """Points near given ones, along their normals and in all directions."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(points), size=count)
    return points[rows] + sigma * (rng.normal(size=(count, 1)) * normals[rows] + 0.5 * rng.normal(size=(count, 3)))


def test_sphere():
    rng = np.random.default_rng(1)
    normals = rng.normal(size=(60_000, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = normals * 0.4 + [0.013, 1.7, -2.2]
    places = around(points, normals, 0.1)
    sdf, _ = signed_distance(places, SurfaceIndex(fused(points, normals)), Known())
    error = np.abs(sdf - (np.linalg.norm(places - [0.013, 1.7, -2.2], axis=1) - 0.4))
    assert np.median(error) < 5e-4 and np.quantile(error, 0.99) < 2.5e-3
    assert sdf.dtype == np.float32


@pytest.mark.parametrize("sigma", [0.01, 0.05])
@pytest.mark.parametrize("inwards", [False, True], ids=["box", "room_corner"])
def test_sharp_edges_and_corners_are_those_of_open3d(sigma, inwards):
    points, normals = box_sides(*BOX, inwards)
    edge = (np.minimum(points - BOX[0], BOX[1] - points) < 0.03).sum(axis=1) >= 2
    places = around(points[edge], normals[edge], sigma)
    room = np.stack([BOX[0] - 9, BOX[1] + 9])
    exact = Meshes(room, [BOX]).signed(places) * (-1 if inwards else 1)
    sdf, valid = signed_distance(places, SurfaceIndex(fused(points, normals)), Known(), band=1)
    error = np.abs(sdf - exact)
    assert np.median(error) < 1.5e-3 and np.quantile(error[valid], 0.98) < 0.01
    wrong = (sdf < 0) != (exact < 0)
    assert wrong[valid & (np.abs(exact) > 2e-3)].mean() < 0.003
    assert valid.mean() > 0.95


def test_discs_that_stand_out_beyond_an_edge_would_be_wrong(monkeypatch):
    """Why discs cut each other: without it the signs beside a sharp edge are wrong many times as often."""
    points, normals = box_sides(*BOX)
    edge = (np.minimum(points - BOX[0], BOX[1] - points) < 0.02).sum(axis=1) >= 2
    places = around(points[edge], normals[edge], 0.01)
    exact, index = (
        Meshes(np.stack([BOX[0] - 9, BOX[1] + 9]), [BOX]).signed(places),
        SurfaceIndex(fused(points, normals)),
    )

    def wrong():
        return ((signed_distance(places, index, Known())[0] < 0) != (exact < 0))[np.abs(exact) > 2e-3].mean()

    cut = wrong()
    monkeypatch.setattr(scene_sdf, "_shares", lambda discs, share, reach: np.ones_like(share))
    assert wrong() > 5 * cut


def test_thin_board_seen_from_both_sides_is_one_centimetre_thick():
    low, high = [-0.4, -0.3, 0.0], [0.4, 0.3, 0.01]
    index = SurfaceIndex(fused(*box_sides(low, high)))
    rng = np.random.default_rng(2)
    inside = rng.uniform([-0.37, -0.27, 0.0015], [0.37, 0.27, 0.0085], (4000, 3))
    sdf, valid = signed_distance(inside, index, Known())
    assert valid.all() and (sdf < 0).all()
    np.testing.assert_allclose(sdf, np.abs(inside[:, 2] - 0.005) - 0.005, atol=1e-4)
    above = inside + rng.choice([-1, 1], (4000, 1)) * [0, 0, 0.0135]
    sdf, valid = signed_distance(above, index, Known())
    assert valid.mean() > 0.99 and (sdf > 0).all()


def test_thin_board_seen_from_one_side_is_solid_for_the_band_and_no_more():
    points, normals = rectangle([-0.4, -0.3, 0.01], [0.8, 0, 0], [0, 0.6, 0])
    index = SurfaceIndex(fused(points, normals))
    depth = np.linspace(0.001, 0.1, 500)
    behind = np.stack([np.full(500, 0.053), np.full(500, 0.047), 0.01 - depth], axis=1)
    sdf, valid = signed_distance(behind, index, Known(VoxelState.OCCLUDED))
    np.testing.assert_allclose(sdf, -depth, atol=5e-4)  # never clipped
    np.testing.assert_array_equal(valid, depth <= BAND)
    for state in (VoxelState.FREE, VoxelState.UNOBSERVED):  # a frame saw through; no frame looked
        assert not signed_distance(behind, index, Known(state))[1].any()


def test_points_beside_an_edge_of_which_one_side_was_not_seen_are_not_valid():
    """The top of a box alone: beside it and below its plane nothing is known, and a disc stands out there."""
    points, normals = rectangle([-0.4, -0.3, 0.0], [0.8, 0, 0], [0, 0.6, 0])
    beside = np.stack([np.full(300, 0.4 + 0.012), np.linspace(-0.25, 0.25, 300), np.full(300, -0.004)], axis=1)
    rim = np.concatenate([points, points[np.abs(points[:, 0] - 0.39) < 0.008] + [0.01, 0, -0.02]])
    bent = np.concatenate([normals, np.tile([1.0, 0, 0], (len(rim) - len(points), 1))])
    sdf, valid = signed_distance(beside, SurfaceIndex(fused(rim, bent)), Known())
    assert ((sdf > 0) | ~valid).all()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.floats(-0.04, 0.04))
def test_plane_of_any_direction_and_place(seed, height):
    rng = np.random.default_rng(seed)
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    corner = rng.uniform(-20, 20, 3)
    points, normals = rectangle(corner, 0.3 * frame[0], 0.3 * frame[1])
    feet = corner + rng.uniform(0.05, 0.25, (50, 1)) * frame[0] + rng.uniform(0.05, 0.25, (50, 1)) * frame[1]
    sdf, _ = signed_distance(feet + height * normals[0], SurfaceIndex(fused(points, normals)), Known())
    np.testing.assert_allclose(sdf, height, atol=1.5e-3)  # far discs are small: the worst place is between four
    assert np.median(np.abs(sdf - height)) < 1e-4


def test_valid_positive_distance_has_no_unknown_voxel_nearer():
    points, normals = rectangle([-0.5, -0.5, 0], [1, 0, 0], [0, 1, 0])
    index = SurfaceIndex(fused(points, normals))
    above = np.array([[0.013, 0.02, 0.3]] * 3)
    for unknown, expected in ((0.3, True), (0.27, True), (0.25, False), (0.0, False)):  # begins half a voxel early
        assert (signed_distance(above, index, Known(VoxelState.FREE, unknown))[1] == expected).all()
    for state in (VoxelState.OCCLUDED, VoxelState.UNOBSERVED):
        assert not signed_distance(above, index, Known(state))[1].any()


def test_far_points_are_not_drawn_in_by_discs_beyond_an_edge():
    """Half a metre beside a table's top, level with it: the edge is what is nearest."""
    points, normals = rectangle([-0.4, -0.3, 0.0], [0.8, 0, 0], [0, 0.6, 0])
    beside = np.stack([np.full(300, 0.9), np.linspace(-0.25, 0.25, 300), np.zeros(300)], axis=1)
    sdf, _ = signed_distance(beside, SurfaceIndex(fused(points, normals)), Known())
    assert np.abs(np.abs(sdf) - 0.5).max() < 0.012 and abs(np.abs(sdf).mean() - 0.5) < 0.005


@pytest.fixture(scope="module")
def house():
    """A room with a box on its floor and a thin board, photographed from five places; nothing sees the box's back."""
    room = np.array([[-1.6, -1.3, -0.0], [1.5, 1.4, 2.3]])
    boxes = [np.array([[-0.45, 0.5, 0.0], [0.35, 1.1, 0.7]]), np.array([[0.7, -0.6, 1.0], [1.3, 0.0, 1.01]])]
    meshes = Meshes(room, boxes)
    intrinsics = np.array([[120.0, 0, 96], [0, 120, 72], [0, 0, 1]])
    eyes = [(-1.2, -1.0, 1.6), (1.2, -1.0, 1.7), (0.0, -1.1, 0.5), (-1.0, -0.9, 0.9), (0.3, -1.0, 2.1)]
    aims = [(0.2, 0.8, 0.4), (-0.3, 0.8, 0.2), (0.9, -0.2, 1.0), (1.2, 0.6, 1.0), (0.2, 0.5, 0.0)]
    pictures = [meshes.photograph(pose(np.array(e), a), intrinsics, 144, 192) for e, a in zip(eyes, aims, strict=True)]
    grid = VoxelGrid(0.04, np.array([[0, 0, 1.28, 2.56], [0, 0, 1.28, 2.56]]))
    points, normals = [], []
    for view, normal in pictures:
        grid.observe(view)
        places = view.world_rays() * view.distance.astype(np.float32)[..., None] + view.centre.astype(np.float32)
        points.append(places.reshape(-1, 3))
        normals.append(normal.reshape(-1, 3))
    surfels = fused(np.concatenate(points), np.concatenate(normals))
    return meshes, grid, surfels


def test_photographed_room_against_open3d(house):
    meshes, grid, surfels = house
    rng = np.random.default_rng(4)
    near = around(surfels.position.astype(float), surfels.normal.astype(float), 0.02, 20_000)
    places = np.concatenate([near, rng.uniform([-1.28, -1.28, 0], [1.28, 1.28, 2.56], (20_000, 3))])
    sdf, valid = signed_distance(places, SurfaceIndex(surfels), grid)
    exact = meshes.signed(places)
    assert valid[:20_000].mean() > 0.2 and 0.1 < valid[20_000:].mean() < 0.9
    error = np.abs(sdf - exact)[valid]
    assert np.median(error) < 2e-3 and np.quantile(error, 0.98) < 0.02
    clear = valid & (np.abs(exact) > 3e-3)
    assert ((sdf < 0) != (exact < 0))[clear].mean() < 0.01
    outside = valid & (sdf > 0)
    assert (sdf - exact)[outside].max() < 0.04 * np.sqrt(3)  # nothing unseen is nearer by more than a voxel's diagonal


def test_room_without_validity_would_be_wrong(house):
    """What the masks are for: the unseen back of the box makes the distances of unseen points wrong by far more."""
    meshes, grid, surfels = house
    places = np.random.default_rng(5).uniform([-1.28, -1.28, 0], [1.28, 1.28, 2.56], (20_000, 3))
    sdf, valid = signed_distance(places, SurfaceIndex(surfels), grid)
    exact = meshes.signed(places)
    wrong = np.abs(sdf - exact) > 0.05
    assert wrong[~valid].mean() > 0.05 and wrong[valid].mean() < 0.002


def test_each_point_alone_gives_the_same(monkeypatch):
    points, normals = box_sides(*BOX)
    index, places = SurfaceIndex(fused(points, normals)), around(points, normals, 0.05, 1000)
    whole = signed_distance(places, index, Known())
    monkeypatch.setattr(scene_sdf, "CHUNK", 7)
    for one, other in zip(whole, signed_distance(places, index, Known()), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_surfels(count):
    normal = np.tile(np.float32([0, 0, 1]), (count, 1))
    position = np.float32([[0.1 * k, 0, 0] for k in range(count)])
    surfels = Surfels(np.arange(count), position, normal, 0 * normal, np.ones(count, np.float32), 0.02)
    sdf, valid = signed_distance(np.array([[0, 0, 0.05], [0, 0, -0.01]]), SurfaceIndex(surfels), Known())
    np.testing.assert_allclose(sdf, [0.05, -0.01], atol=1e-6)
    assert valid.all()
    empty, none = signed_distance(np.empty((0, 3)), SurfaceIndex(surfels), Known())
    assert len(empty) == len(none) == 0


def test_scene_without_surfels_says_so():
    none = np.empty((0, 3), np.float32)
    with pytest.raises(RawDataError, match="no surface point"):
        SurfaceIndex(Surfels(np.empty(0, np.int64), none, none, none, np.empty(0, np.float32), 0.02))
