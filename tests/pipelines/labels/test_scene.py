"""What a frame gives to the fusion of its scene."""

import numpy as np
import pytest
from tessera.datasets.octree import OctreeStructure, leaf_centres
from tessera.datasets.stages import Stages
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.labels.normals import Normals
from tessera.pipelines.labels.scene import FARTHEST, Scene, SceneFusion, SceneParts, frame_points
from tessera.pipelines.labels.scene_view import SceneView

HEIGHT, WIDTH = 12, 16
SHAPE = HEIGHT, WIDTH
INTRINSICS = np.array([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]])


def wall(metres: float = 2.0) -> SceneView:
    """A frame of a flat field of distances."""
    return SceneView("a", INTRINSICS, np.eye(4), np.full(SHAPE, metres, np.float16))


def facing() -> Normals:
    normal = np.zeros((*SHAPE, 3), np.float32)
    normal[..., 2] = -1
    return Normals(normal, np.ones(SHAPE, bool), np.zeros(SHAPE, bool))


@pytest.mark.parametrize("sky", [20_000.0, 65_504.0, np.inf])
def test_trap_one_pixel_of_a_sky_does_not_cost_the_scene(sky: float) -> None:
    """Its point is left out of the surface, as is one that is no number; the rest is as if it had no distance."""
    view, without = wall(), wall()
    view.distance[3, 5], without.distance[3, 5] = sky, np.nan
    view.distance[6, 8] = without.distance[6, 8] = 1.5
    given, wanted = frame_points(view, facing()), frame_points(without, facing())
    assert len(given.pixels) == HEIGHT * WIDTH - 1 and np.abs(given.points).max() < FARTHEST
    for name, values in vars(wanted).items():
        np.testing.assert_array_equal(getattr(given, name), values)
    fusion = SceneFusion(SceneParts(True, True, True, 10.24, 7), 0, Stages())
    fusion.add(view, facing(), np.ones((*SHAPE, 3), np.float16))
    scene = fusion.finish()
    assert scene.surfels is not None and np.abs(scene.surfels.position).max() < 3


def fused(normals: Normals | None) -> Scene:
    fusion = SceneFusion(SceneParts(True, True, True, 10.24, 7), 0, Stages())
    fusion.add(wall(), normals, None)
    return fusion.finish()


def test_trap_what_has_no_normal_is_neither_empty_nor_known() -> None:
    """Found by review: pixels with a distance but a zero normal (#26, #104) give no surfel."""
    view, holed, patch = wall(), facing(), (slice(3, 7), slice(4, 9))
    holed.valid[patch] = False
    whole, scene = fused(facing()), fused(holed)
    points = (view.world_rays() * view.distance[..., None].astype(np.float32))[patch].reshape(-1, 3)
    voxel = scene.parts.voxel
    leaves = {tuple(cell) for cell in np.floor(points / voxel).astype(int).tolist()}
    assert leaves <= {tuple(cell) for cell in scene.occupied.tolist()} and len(scene.bare) >= len(leaves) - 2
    assert not len(whole.bare) and leaves <= {tuple(cell) for cell in whole.occupied.tolist()}
    assert scene.grid is not None and whole.grid is not None
    bare = {tuple(cell) for cell in scene.bare.tolist()}
    there = np.array([tuple(cell) in bare for cell in np.floor(points / voxel).astype(int).tolist()])
    assert (scene.grid.unknown_distance(points[there]) == 0).all() and there.any()
    assert (whole.grid.unknown_distance(points[there]) > 0.02).all()


def test_scene_without_any_normal_still_knows_what_is_occupied() -> None:
    scene = fused(None)
    assert scene.surfels is not None and not len(scene.surfels.key) and len(scene.occupied) > 100


def test_nodes_are_only_empty_where_a_frame_saw_to_their_centre() -> None:
    """Found by review: the band of SURFACE reaches 10 cm behind a wall, where nobody saw what there is."""
    scene, view = fused(facing()), wall()
    assert scene.grid is not None and scene.cubes is not None
    cube, depth = scene.cubes[0], scene.parts.depth
    states, seen = scene.grid.cube_states(cube, depth), scene.grid.cube_seen(cube, depth)
    tree = OctreeStructure(depth, depth, {depth: np.arange(8**depth, dtype=np.uint32)}, {depth: states > 0})
    centres = leaf_centres(tree, cube)
    beyond = np.linalg.norm(centres - view.centre, axis=1) - 2.0
    surface = (states == VoxelState.SURFACE)[states > 0]
    demoted = surface & (seen[states > 0] == VoxelState.OCCLUDED)
    assert (beyond[demoted] > -1e-6).all() and (beyond[surface & ~demoted] < 1e-6).all() and demoted.sum() > 100
    np.testing.assert_array_equal(
        states != VoxelState.SURFACE, seen == np.where(states == VoxelState.SURFACE, 9, states)
    )
