"""Voxel states against a slow float64 judgement, analytic rooms, and the published figures of a real frame."""

from itertools import permutations

import h5py
import numpy as np
import pytest
from tessera.datasets.camera import project, transform
from tessera.datasets.octree import OctreeStructure, leaf_centres
from tessera.datasets.voxels import VoxelState, unpack_states
from tessera.pipelines.labels.scene_view import SceneView
from tessera.pipelines.labels.voxels import VoxelGrid
from tessera.pipelines.readers.hypersim.cameras import decompose, load_camera_parameters, world_from_camera

from .conftest import HYPERSIM

VOXEL = 0.16
MU = 1.5 * np.sqrt(3) / 2 * VOXEL
PLAIN = np.array([[60.0, 0, 48], [0, 60, 36], [0, 0, 1]])
SKEWED = np.array([[57.0, 9, 61], [0, 63, 20], [0, 0, 1]])  # tilt-shift lenses: far off centre, with skew
ROOM = np.array([[-2.03, -1.61, -0.02], [1.95, 1.57, 2.63]])
SPHERE, RADIUS = np.array([0.4, 0.1, 0.9]), 0.55
CUBE = np.array([0.0, 0.0, 1.28, 32 * VOXEL])


def looking(eye, target, roll=0.3):
    """(4, 4) pose at `eye` looking at `target`, OpenCV axes, rolled about the viewing axis."""
    z = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    x = np.cross(z, [0, np.sin(roll), np.cos(roll)])
    x /= np.linalg.norm(x)
    pose = np.eye(4)
    pose[:3] = np.column_stack([x, np.cross(z, x), z, eye])
    return pose


def room_distance(centre, rays):
    """Exact distance from inside the box room to its walls along unit rays."""
    with np.errstate(divide="ignore"):
        return np.where(rays > 0, (ROOM[1] - centre) / rays, (ROOM[0] - centre) / rays).min(axis=-1)


def sphere_distance(centre, rays):
    """Exact distance to the sphere along unit rays, inf where missed."""
    b = rays @ (SPHERE - centre)
    square = b * b - np.sum((SPHERE - centre) ** 2) + RADIUS**2
    return np.where((square >= 0) & (b > 0), b - np.sqrt(np.maximum(square, 0)), np.inf)


def view_of(pose, intrinsics=PLAIN, size=(72, 96), sphere=True, key="frame"):
    blank = SceneView(key, intrinsics, pose, np.zeros(size, np.float16))
    rays = blank.world_rays().astype(float)
    distance = room_distance(blank.centre, rays)
    if sphere:
        distance = np.minimum(distance, sphere_distance(blank.centre, rays))
    return SceneView(key, intrinsics, pose, distance.astype(np.float16))


def views(**options):
    return [
        view_of(looking((-1.5, -1.2, 1.4), (0.5, 0.3, 0.8)), **options),
        view_of(looking((1.6, 1.1, 0.5), (-0.5, -0.5, 1.0), -0.8), SKEWED, **options),
        view_of(looking((1.2, -1.3, 2.2), (0.3, 0.4, 0.2), 2.0), SKEWED, **options),
    ]


def grid_of(seen, cubes=CUBE[None]):
    grid = VoxelGrid(VOXEL, cubes)
    for view in seen:
        grid.observe(view)
    return grid


def all_centres(grid):
    """Centres (B, 8, 8, 8, 3) of all voxels."""
    local = np.stack(np.meshgrid(*[np.arange(8)] * 3, indexing="ij"), axis=-1)
    return (grid.states.blocks[:, None, None, None] * 8 + local + 0.5) * grid.states.voxel


def slow_states(view, centres):
    """One frame's states by the published definition in float64, and which of them are too close to call."""
    pixel, depth = project(transform(centres, np.linalg.inv(view.world_from_camera)), view.intrinsics)
    height, width = view.distance.shape
    inside = (depth > 0) & (pixel >= 0).all(axis=-1) & (pixel < (width, height)).all(axis=-1)
    pixel = np.where(np.isfinite(pixel), pixel, -99.5)
    column, row = np.moveaxis(np.where(inside[..., None], np.floor(pixel), 0).astype(int), -1, 0)
    phi = view.distance.astype(float)[row, column] - np.linalg.norm(centres - view.centre, axis=-1)
    states = np.where(phi > MU, VoxelState.FREE, np.where(phi < -MU, VoxelState.OCCLUDED, VoxelState.SURFACE))
    close = np.abs(np.abs(phi) - MU) < 1e-5
    close |= (np.abs(pixel - np.rint(pixel)) < 1e-3).any(axis=-1)
    return np.where(inside & ~np.isnan(phi), states, VoxelState.UNOBSERVED), close


def test_states_against_a_slow_judgement():
    seen = views()
    seen[0].distance[20:40, 30:60] = np.nan
    grid = grid_of(seen)
    verdicts, close = zip(*(slow_states(view, all_centres(grid)) for view in seen), strict=True)
    expected = np.where(np.any([v == 1 for v in verdicts], axis=0), 1, 0)
    for state in (VoxelState.SURFACE, VoxelState.FREE):
        expected[np.any([v == state for v in verdicts], axis=0)] = state
    differ = grid.states.states != expected
    assert not (differ & ~np.any(close, axis=0)).any()
    assert differ.mean() < 1e-3 and min(np.bincount(expected.ravel())) > 500


def test_states_of_an_empty_room_are_true():
    """Convex, so nothing hides inside: free is inside, occluded outside, surface near a wall, the rest in no view."""
    seen = views(sphere=False)
    grid = grid_of(seen)
    centres, states = all_centres(grid), grid.states.states
    depth_inside = np.minimum(centres - ROOM[0], ROOM[1] - centres).min(axis=-1)
    assert (depth_inside[states == VoxelState.FREE] > 0).all()
    assert (depth_inside[states == VoxelState.OCCLUDED] < 0).all()
    beyond = np.linalg.norm(np.maximum(np.maximum(ROOM[0] - centres, centres - ROOM[1]), 0), axis=-1)
    near = states == VoxelState.SURFACE
    assert depth_inside[near].max() < MU + 0.02 and beyond[near].max() < MU + 0.02
    in_any = np.zeros(states.shape, bool)
    for view in seen:
        in_any |= slow_states(view, centres)[0] > 0
    np.testing.assert_array_equal(states > VoxelState.UNOBSERVED, in_any)
    assert all((states == state).sum() > 300 for state in VoxelState)


def test_field_of_view_by_angles():
    """Unobserved is what lies outside the pyramid of the view, by the angles of a plain camera."""
    pose = looking((-1.5, -1.2, 1.4), (0.5, 0.3, 0.8))
    grid = grid_of([view_of(pose)])
    local = (all_centres(grid) - pose[:3, 3]) @ pose[:3, :3]
    with np.errstate(all="ignore"):
        angle = np.abs(np.arctan2(local[..., :2], local[..., 2:])) - np.arctan(np.array([48, 36]) / 60)
    inside = (angle < 0).all(axis=-1)
    sure = np.abs(angle).min(axis=-1) > 1e-4
    np.testing.assert_array_equal((grid.states.states > 0)[sure], inside[sure])


def test_what_hides_behind_the_sphere():
    seen = views()
    one = grid_of(seen[:1])
    centres = all_centres(one)
    rays = centres - seen[0].centre
    rho = np.linalg.norm(rays, axis=-1)
    hit = sphere_distance(seen[0].centre, rays / rho[..., None])
    blocked = np.isfinite(hit) & (rho > hit + MU + 0.1) & (slow_states(seen[0], centres)[0] > 0)
    states = one.states.states
    assert blocked.sum() > 100 and (states[blocked] == VoxelState.OCCLUDED).mean() > 0.97  # but for the sphere's rim
    inside = np.linalg.norm(centres - SPHERE, axis=-1) < RADIUS - MU - 0.1
    three = grid_of(seen).states.states
    assert not (three[inside] == VoxelState.FREE).any()
    assert (three[blocked] == VoxelState.FREE).any()  # the other frames look behind it


def test_frames_merge_by_the_greater_state_in_any_order():
    alone = [grid_of([view]).states.states for view in views()]
    for order in permutations(views()):
        np.testing.assert_array_equal(grid_of(order).states.states, np.max(alone, axis=0))


def test_trap_distance_is_not_planar_depth():
    """All pixels see the same distance: the surface is a sphere about the camera, not a plane."""
    view = SceneView("ball", PLAIN, looking((0, 0, 1.2), (1, 0.2, 1.2)), np.full((72, 96), 1.7, np.float16))
    grid = grid_of([view])
    states, rho = grid.states.states, np.linalg.norm(all_centres(grid) - view.centre, axis=-1)
    distance = float(np.float16(1.7))
    assert rho[states == VoxelState.FREE].max() < distance - MU < rho[states == VoxelState.FREE].max() + 0.01
    assert rho[states == VoxelState.OCCLUDED].min() > distance + MU > rho[states == VoxelState.OCCLUDED].min() - 0.01


def test_trap_voxels_behind_the_camera_are_not_projected():
    pose = looking((0, 0, 1.2), (1, 0.2, 1.2))
    grid = grid_of([SceneView("wide", np.diag([1e-3, 1e-3, 1]) @ PLAIN, pose, np.full((72, 96), 1.7, np.float16))])
    grid.observe(
        SceneView("wide", PLAIN * [[0.01, 1, 1], [1, 0.01, 1], [1, 1, 1]], pose, np.ones((72, 96), np.float16))
    )
    depth = ((all_centres(grid) - pose[:3, 3]) @ pose[:3, :3])[..., 2]
    observed = grid.states.states > 0
    assert observed.any() and depth[observed].min() > 0


def test_pixels_without_distance_change_nothing():
    grid = grid_of(views())
    before = grid.states.states.copy()
    unknown = views()[0]
    unknown.distance[:] = np.nan
    grid.observe(unknown)
    np.testing.assert_array_equal(grid.states.states, before)


def test_cubes_share_one_lattice():
    """The voxels of overlapping cubes are the same voxels, whatever the cubes' corners are to the blocks."""
    shifted = CUBE + np.array([3 * VOXEL, -5 * VOXEL, 2 * VOXEL, 0])
    grid = grid_of(views(), np.stack([CUBE, shifted]))
    keys = {5: np.arange(8**5, dtype=np.uint32)}
    for cube in (CUBE, shifted):
        centres = leaf_centres(OctreeStructure(5, 5, keys, {5: np.ones(8**5, bool)}), cube)
        np.testing.assert_allclose(centres / VOXEL % 1, 0.5, atol=1e-9)
        np.testing.assert_array_equal(grid.cube_states(cube, 5), grid.lookup(centres))
    assert not grid.cube_states(CUBE + np.array([64 * VOXEL, 0, 0, 0]), 5).any()


def test_blocks_cover_the_cubes_and_little_more():
    rng = np.random.default_rng(0)
    cubes = np.column_stack([rng.integers(-60, 60, (6, 3)) * VOXEL, np.full(6, 32 * VOXEL)])
    grid = VoxelGrid(VOXEL, cubes)
    inside = np.concatenate([cube[:3] + (rng.random((500, 3)) - 0.5) * cube[3] for cube in cubes])
    assert (grid.states.rows(np.floor(inside / VOXEL / 8).astype(int)) >= 0).all()
    gap = np.abs(all_centres(grid)[:, None] - cubes[:, None, None, None, :3]).max(axis=-1) - 16 * VOXEL
    assert gap.min(axis=1).max() < 8 * VOXEL
    assert len(grid.states.blocks) <= 6 * 5**3


@pytest.mark.parametrize(("cube", "depth"), [(CUBE + np.array([0.01, 0, 0, 0]), 5), (CUBE, 6), (CUBE, 4)])
def test_cubes_off_the_lattice_are_refused(cube, depth):
    with pytest.raises(ValueError, match=r"lattice|no voxels of"):
        VoxelGrid(VOXEL, CUBE[None]).cube_states(cube, depth)


@pytest.mark.parametrize("cubes", [np.empty((0, 4)), np.array([[0, 0, np.nan, 1]]), np.array([[0, 0, 0, -1.0]])])
def test_grids_that_cannot_be_are_refused(cubes):
    with pytest.raises(ValueError, match="cannot cover"):
        VoxelGrid(VOXEL, cubes)


def test_record_gives_the_states_back():
    grid = grid_of(views())
    blocks, packed = grid.export()
    back = unpack_states(packed, blocks, VOXEL)
    assert back.states.any(axis=(1, 2, 3)).all()
    points = np.random.default_rng(1).uniform(-4, 4, (20_000, 3))
    np.testing.assert_array_equal(back.lookup(points), grid.lookup(points))


def test_real_frame_has_the_published_shares(shared):
    """Facts 3.3: 128^3 voxels over 10.24 m around one real frame."""
    lens = load_camera_parameters(HYPERSIM / "contrib/mikeroberts3000/metadata_camera_parameters.csv")["ai_037_002"]
    scene = HYPERSIM / "contrib/mikeroberts3000/jupyter/ai_037_002"

    def read(path):
        with h5py.File(scene / path) as file:
            return file["dataset"][:]

    intrinsics, tilt = decompose(lens.cam_from_uv, lens.width, lens.height)
    keyframes = (read(f"_detail/cam_00/camera_keyframe_{name}.hdf5")[0] for name in ("orientations", "positions"))
    pose = world_from_camera(*keyframes, lens.metres_per_unit, tilt)
    view = SceneView("real", intrinsics, pose, read("images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"))
    points = view.centre + view.distance[..., None] * view.world_rays()
    middle = (np.nanmin(points, axis=(0, 1)) + np.nanmax(points, axis=(0, 1))) / 2
    cube = np.append(np.rint(middle / 0.08) * 0.08, 10.24)
    grid = VoxelGrid(0.08, cube[None])
    grid.observe(view)
    shares = np.bincount(grid.cube_states(cube, 7), minlength=4) / 128**3
    np.testing.assert_allclose(shares, [0.442, 0.491, 0.006, 0.062], atol=0.004)
