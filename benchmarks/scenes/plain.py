"""The scene labels as one would write them first, in plain numpy and scipy: float64, one thing at a time, no culling.

Each function does what one stage of ours does; `compare.py` times both and says how far their results agree.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ...datasets.camera import project, transform, unproject
from ...datasets.envmap import texel_of
from ...datasets.octree import morton_decode, morton_encode, unpack
from ...datasets.visibility import ViewState
from ...datasets.voxels import VoxelState
from ...pipelines.labels.scene_sdf import BAND, SurfaceIndex, _agreement, _nearest_disc
from ...pipelines.labels.scene_view import SceneView
from ...pipelines.labels.surfels import Surfels
from ...pipelines.labels.voxel_view import SURFACE_BAND
from ...pipelines.labels.voxels import VoxelGrid

Doubles = NDArray[np.floating]
States = NDArray[np.uint8]
Bits = dict[int, NDArray[np.bool_]]


def world_points(view: SceneView) -> Doubles:
    """(h, w, 3) world points of all pixels, NaN where not measured."""
    return transform(unproject(view.distance, view.intrinsics), view.world_from_camera)


def cube(view: SceneView, side: float, voxel: float) -> Doubles:
    """(4,) cube around the box between two percentiles of the points."""
    points = world_points(view).reshape(-1, 3)
    points = points[np.isfinite(points).all(axis=1)]
    middle = np.mean([np.percentile(points, 2, axis=0), np.percentile(points, 98, axis=0)], axis=0)
    return np.append(np.round(middle / voxel) * voxel, side)


def surfels(points: Doubles, normals: Doubles, weights: Doubles, colours: Doubles, spacing: float) -> Doubles:
    """(N, 9) means of position, normal and colour by cell and direction of the normal, of the points of all frames."""
    axis = np.abs(normals).argmax(axis=1)
    face = 2 * axis + (np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] < 0)
    cell = np.floor(points / spacing).astype(np.int64) + (1 << 19)
    packed = ((cell[:, 0] << 20 | cell[:, 1]) << 20 | cell[:, 2]) << 3 | face
    keys, group = np.unique(packed, return_inverse=True)
    total, sums = np.zeros(len(keys)), np.zeros((len(keys), 9))
    np.add.at(total, group, weights)
    np.add.at(sums, group, weights[:, None] * np.concatenate([points, normals, colours], axis=1))
    means = sums / total[:, None]
    means[:, 3:6] /= np.linalg.norm(means[:, 3:6], axis=1, keepdims=True)
    return means


def look(points: Doubles, view: SceneView) -> tuple[Doubles, Doubles]:
    """Distance (N,) of world points from a camera, and what its picture says in their direction (NaN: nothing)."""
    local = transform(points.astype(np.float64), np.linalg.inv(view.world_from_camera).astype(np.float64))
    place, depth = project(local, view.intrinsics)
    height, width = view.distance.shape
    inside = (depth > 0) & (place >= 0).all(axis=1) & (place[:, 0] < width) & (place[:, 1] < height)
    seen = np.full(len(points), np.nan)
    column, row = place[inside].astype(int).T
    seen[inside] = view.distance[row, column]
    return np.linalg.norm(local, axis=1), seen


def voxels(views: Sequence[SceneView], centres: Doubles, voxel: float) -> States:
    """(N,) `VoxelState` of voxels by their centres (N, 3): every one is projected into every frame."""
    states, band = np.zeros(len(centres), np.uint8), SURFACE_BAND * voxel
    for view in views:
        rho, seen = look(centres, view)
        phi = seen - rho
        state = np.select([phi > band, phi >= -band, phi < -band], [VoxelState.FREE, VoxelState.SURFACE,
                          VoxelState.OCCLUDED], VoxelState.UNOBSERVED)  # fmt: skip
        states = np.maximum(states, state.astype(np.uint8))
    return states


def unknown_distance(known: NDArray[np.bool_]) -> Doubles:
    """Distance in voxels from the centre of every voxel of a dense box to that of the nearest unknown one."""
    return distance_transform_edt(np.pad(known, 1))[1:-1, 1:-1, 1:-1]


def states(points: Doubles, target: SceneView, tau: float) -> States:
    """(N,) `ViewState` of points (N, 3), NaN where not measured."""
    with np.errstate(invalid="ignore"):
        rho, seen = look(points, target)
        slack = tau * rho + np.spacing(seen.astype(np.float16)).astype(np.float64) / 2
    off = rho - seen
    kinds = [ViewState.VISIBLE, ViewState.OCCLUDED, ViewState.INCONSISTENT]
    return np.select([np.abs(off) <= slack, off > 0, off < 0], kinds, ViewState.UNKNOWN).astype(np.uint8)


def share(points: Doubles, target: SceneView, tau: float) -> float:
    """Share of the measured points that a frame sees."""
    measured = np.isfinite(points[:, 0]).sum()
    return (states(points, target, tau) == ViewState.VISIBLE).sum() / max(measured, 1)


def pairs(views: Sequence[SceneView], tau: float, across: int) -> Doubles:
    """(F, F) covisibility from a grid of pixels of each frame, pair by pair."""
    matrix = np.eye(len(views))
    clouds = [world_points(view)[across // 2 :: across, across // 2 :: across].reshape(-1, 3) for view in views]
    for i in range(len(views)):
        for j in range(i):
            both = share(clouds[i], views[j], tau), share(clouds[j], views[i], tau)
            matrix[i, j] = matrix[j, i] = min(both)
    return matrix


def visibility(view: SceneView, targets: Sequence[SceneView], tau: float) -> tuple[States, Doubles]:
    """(targets, h, w) states of a frame's pixels in its neighbours, and (targets,) covisibility with each."""
    seen, shared = [], []
    for target in targets:
        points = world_points(view).reshape(-1, 3)
        seen.append(states(points, target, tau).reshape(view.distance.shape))
        back = share(world_points(target).reshape(-1, 3), view, tau)
        shared.append(min(share(points, target, tau), back))
    return np.array(seen), np.array(shared)


class PlainIndex(SurfaceIndex):
    """The surface in a tree as it comes: balanced and compact."""

    def __init__(self, surfels: Surfels) -> None:
        self.spacing, self._normal = surfels.spacing, surfels.normal
        self._tree = cKDTree(surfels.position.astype(np.float64))


def signed_distance(
    points: Doubles, index: PlainIndex, grid: VoxelGrid
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Distance (N,) and validity (N,) of all points at once, in the order in which they come."""
    discs = index.nearest(points)
    distance = _nearest_disc(discs, index.spacing)
    agree = _agreement(discs, distance, index.spacing) >= 0.5
    state, known = grid.lookup(points), grid.unknown_distance(points) + np.float32(grid.states.voxel / 2)
    before = (distance >= 0) & (state >= VoxelState.SURFACE) & (known >= distance)
    behind = (distance < 0) & (distance >= -BAND) & (state != VoxelState.FREE) & (state != VoxelState.UNOBSERVED)
    return distance, agree & (before | behind)


def probes(lights: Surfels, positions: Doubles, colour: NDArray, lit: NDArray, height: int, width: int) -> Doubles:
    """(P, h, w, 3) radiance from the nearest surfel in each texel, NaN where there is none; a z-buffer of splats."""
    maps = np.full((len(positions), height * width, 3), np.nan)
    for radiance, position in zip(maps, positions, strict=True):
        offset = lights.position - position
        distance = np.linalg.norm(offset, axis=1)
        row, column = texel_of(offset, height, width).T
        texel = row * width + column
        nearest = np.full(height * width, np.inf)
        np.minimum.at(nearest, texel, distance)
        front = (distance <= nearest[texel]) & lit & (np.einsum("nc,nc->n", offset, lights.normal) < 0)
        radiance[texel[front]] = colour[front]
    return maps.reshape(len(positions), height, width, 3)


def octree(
    packed: States, cube: Doubles, depth: int, full_depth: int, grid: VoxelGrid, surface: Surfels
) -> tuple[Bits, Bits]:
    """Observed and occupied nodes by depth: of each node, all its voxels are gone through."""
    tree, side = unpack(packed, depth, full_depth), 2**depth
    unit = (morton_decode(np.arange(8**depth, dtype=np.uint32)) + 0.5) / side
    known = grid.lookup(cube[:3] + cube[3] * (unit - 0.5)) >= VoxelState.SURFACE
    local = np.floor(((surface.position.astype(np.float64) - cube[:3]) / cube[3] + 0.5) * side).astype(np.int64)
    full = np.zeros(8**depth, bool)
    full[morton_encode(local[((local >= 0) & (local < side)).all(axis=1)], depth)] = True
    observed, occupied = {}, {}
    for d in range(full_depth, depth + 1):
        count = 8 ** (depth - d)
        inside = [slice(key * count, (key + 1) * count) for key in tree.keys[d].tolist()]
        occupied[d] = tree.split[d] | np.array([full[part].any() for part in inside], bool)
        observed[d] = occupied[d] | np.array([known[part].all() for part in inside], bool)
    return observed, occupied
