"""What is made once a scene beside the plain way, each stage timed alone, with how far the results agree."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...datasets.voxels import VoxelState
from ...pipelines.labels import covisibility, scene_sdf, surfels, unknown, visibility
from ...pipelines.labels.octree import frame_cube
from ...pipelines.labels.scene import LIGHT_SPACING, MOST_LIGHTS, SPACING, frame_points
from ...pipelines.labels.voxels import VoxelGrid
from . import plain
from .fused import Fused
from .race import Row, race


def cubes(fused: Fused, repeats: int) -> Row:
    """Cubes of all frames."""
    views, parts = fused.scene.views, fused.scene.parts
    return race(
        "cubes", len(views), repeats,
        lambda: [frame_cube(view.points(), parts.cube_side, parts.depth) for view in views],
        lambda: [plain.cube(view, parts.cube_side, parts.voxel) for view in views],
        lambda a, b: f"{np.abs(np.subtract(a, b)).max():.0e} m at most",
    )  # fmt: skip


def surface(fused: Fused, repeats: int) -> Row:
    """Surfels 2 and 4 cm apart."""

    def ours() -> tuple[surfels.Surfels, surfels.Surfels]:
        builder = surfels.SurfelBuilder(SPACING)
        for given in fused.given:
            own = frame_points(given.view, given.normals)
            builder.add(own.points, own.normals, own.weights, given.hdr.reshape(-1, 3)[own.pixels])
        return builder.finish(), builder.lights(MOST_LIGHTS)

    def first() -> tuple[NDArray, ...]:
        points = []
        for given in fused.given:
            valid = given.normals.valid & (given.view.distance > 0)
            turned = given.normals.normal[valid] @ given.view.world_from_camera[:3, :3].T
            weight = 1 / given.view.distance[valid].astype(np.float64) ** 2
            points.append((plain.world_points(given.view)[valid], turned, weight, given.hdr[valid].astype(np.float64)))
        places, normals, weights, colours = (np.concatenate(parts) for parts in zip(*points, strict=True))
        return tuple(plain.surfels(places, normals, weights, colours, side) for side in (SPACING, LIGHT_SPACING))

    def agree(a: tuple[surfels.Surfels, surfels.Surfels], b: tuple[NDArray, ...]) -> str:
        apart, counts = [], [f"{len(fine.key)} and {len(other)}" for fine, other in zip(a, b, strict=True)]
        for fine, other in zip(a, b, strict=True):
            nearest = scene_sdf.SurfaceIndex(fine)._tree.query(other[:, :3])[0]
            apart.append(f"{np.quantile(nearest, 0.999):.0e} m")
        return f"{'; '.join(counts)} surfels; apart (99.9 %) {', '.join(apart)}"

    return race("surfels", len(fused.given), repeats, ours, first, agree)


def voxels(fused: Fused, repeats: int) -> Row:
    """States of the voxels of all cubes."""
    voxel, views, boxes = fused.scene.parts.voxel, fused.scene.views, fused.scene.cubes
    assert boxes is not None

    def ours() -> VoxelGrid:
        grid = VoxelGrid(voxel, boxes)
        for view in views:
            grid.observe(view)
        return grid

    corner = VoxelGrid(voxel, boxes).states.blocks[:, None] * 8 + np.indices((8, 8, 8)).reshape(3, -1).T
    centres = (corner.reshape(-1, 3) + 0.5) * voxel
    return race(
        "voxels", len(views), repeats, ours, lambda: plain.voxels(views, centres, voxel),
        lambda a, b: f"{np.mean(a.states.states.ravel() == b):.5%} of {len(b)} states",
    )  # fmt: skip


def far_from_unknown(fused: Fused, repeats: int) -> Row:
    """Distances of all voxels to the unknown, once a scene."""
    assert fused.scene.grid is not None
    held = fused.scene.grid.states
    first = held.blocks.min(axis=0)
    place = (held.blocks - first).T
    count = place.max(axis=1) + 1
    dense = np.zeros((count[0], 8, count[1], 8, count[2], 8), np.bool_)
    dense[place[0], :, place[1], :, place[2]] = held.states >= VoxelState.SURFACE

    def agree(a: NDArray, b: NDArray) -> str:
        theirs = b.reshape(dense.shape)[place[0], :, place[1], :, place[2]]
        return f"{np.abs(np.sqrt(a) - theirs)[theirs < unknown.REACH - 1].max():.0e} voxels at most"

    return race(
        "distance to the unknown", len(fused.scene.views), repeats,
        lambda: unknown.squared_distances(held.states >= VoxelState.SURFACE, held.blocks),
        lambda: plain.unknown_distance(dense.reshape(count * 8)), agree,
    )  # fmt: skip


def pairs(fused: Fused, repeats: int) -> Row:
    """Covisibility of all pairs."""
    views = fused.scene.views
    across = round(np.sqrt(views[0].distance.size / covisibility.SAMPLES))

    def agree(a: NDArray, b: NDArray) -> str:
        best = [[set(row.tolist()) for row in covisibility.best_neighbours(matrix)] for matrix in (a, b)]
        same = sum(len(x & y) for x, y in zip(*best, strict=True)) / max(sum(map(len, best[0])), 1)
        return f"{np.abs(a - b).mean():.1%} apart on average (other pixels); {same:.0%} of the neighbours"

    return race(
        f"pairs of {len(views)} frames", len(views), repeats, lambda: covisibility.covisibility_matrix(views),
        lambda: plain.pairs(views, visibility.TAU, across), agree,
    )  # fmt: skip


STAGES: tuple[Callable[[Fused, int], Row], ...] = (cubes, surface, voxels, far_from_unknown, pairs)
