"""What the frames of a scene know together: made once a scene, used by the labels of each of its frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...datasets.stages import Stages
from ...datasets.voxels import block_keys
from .covisibility import best_neighbours, covisibility_matrix
from .normals import Normals
from .octree import frame_cube
from .octree_seen import occupied_voxels
from .probes import ProbeScene
from .scene_sdf import SurfaceIndex
from .scene_view import SceneView
from .surfels import SurfelBuilder, Surfels
from .voxels import VoxelGrid

SPACING = 0.02  # metres between surfels
LIGHT_SPACING = 2 * SPACING  # ... that light the probes
MOST_LIGHTS = 1_000_000
FARTHEST = 10_000.0  # metres from the world's origin along an axis; surfels reach no further, and skies may


@dataclass(frozen=True)
class SceneParts:
    """What of a scene is wanted, and the size of its frames' cubes.

    Attributes:
        pairs: covisibility of its frames.
        surface: surfels and voxels.
        lights: coloured surfels.
        cube_side: side of a frame's cube in metres.
        depth: a cube has 2^depth voxels a side.
    """

    pairs: bool
    surface: bool
    lights: bool
    cube_side: float
    depth: int

    @property
    def any(self) -> bool:
        """Whether anything is wanted at all."""
        return self.pairs or self.surface or self.lights

    @property
    def voxel(self) -> float:
        """Side of a voxel in metres."""
        return self.cube_side / 2**self.depth


@dataclass(frozen=True)
class FramePoints:
    """What a frame gives to the fusion: its N measured pixels that have a normal and are not `FARTHEST` away.

    Attributes:
        points: (N, 3) float32 metres, world.
        normals: (N, 3) float32 unit, world.
        weights: (N,) float32, 1 / distance^2: a near view measures finer, and rounds less.
        pixels: (N,) int64 which pixels they are.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    weights: NDArray[np.float32]
    pixels: NDArray[np.int64]


def frame_points(view: SceneView, normals: Normals) -> FramePoints:
    """Points of a frame, always the same for the same frame: its probes take their own light out again."""
    pixels, points = _near_points(view, normals.valid)
    distance = view.distance.ravel()[pixels].astype(np.float32)
    turned = normals.normal.reshape(-1, 3)[pixels] @ view.world_from_camera[:3, :3].T.astype(np.float32)
    return FramePoints(points, turned, np.float32(1) / (distance * distance), pixels)


def bare_points(view: SceneView, normals: Normals | None) -> NDArray[np.float32]:
    """(M, 3) float32 world points in metres of the measured pixels that have no normal."""
    return _near_points(view, np.ones(view.distance.shape, np.bool_) if normals is None else ~normals.valid)[1]


def _near_points(view: SceneView, wanted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pixels (N,) among the wanted (h, w) that measured something within FARTHEST, and their world points (N, 3)."""
    pixels = np.flatnonzero((view.distance > 0).ravel() & wanted.ravel())
    if not len(pixels):
        return pixels, np.empty((0, 3), np.float32)
    distance = view.distance.ravel()[pixels].astype(np.float32)
    points = view.world_rays().reshape(-1, 3)[pixels] * distance[:, None] + view.centre.astype(np.float32)
    if not np.abs(points).max() < FARTHEST:  # inf and NaN, too: a distance may have left float16's range
        near = (np.abs(points) < FARTHEST).all(axis=1)
        pixels, points = pixels[near], points[near]
    return pixels, points


@dataclass
class Scene:
    """A fused scene.

    Attributes:
        seed: seed of the scene's keyed choices.
        views: its frames, in the order in which they were read.
        cubes: (F, 4) float64 their cubes; None like all that follows where it was not asked for.
        covisibility: (F, F) float32 of the views, symmetric.
        grid: voxels of all cubes.
        surfels: surface, 2 cm apart.
        lights: surface of known colour, 4 cm apart.
        bare: (V, 3) voxels of points that have no normal, and so no surfel.
    """

    seed: int
    parts: SceneParts
    views: Sequence[SceneView]
    cubes: NDArray[np.float64] | None = None
    covisibility: NDArray[np.float32] | None = None
    grid: VoxelGrid | None = None
    surfels: Surfels | None = None
    lights: Surfels | None = None
    bare: NDArray[np.int32] | None = None

    @cached_property
    def place(self) -> dict[str, int]:
        """Number of each view by the key of its record."""
        return {view.key: number for number, view in enumerate(self.views)}

    @cached_property
    def neighbours(self) -> list[NDArray[np.int64]]:
        """Numbers of each view's neighbours, best first."""
        assert self.covisibility is not None
        return best_neighbours(self.covisibility)

    @cached_property
    def index(self) -> SurfaceIndex:
        """The surface, ready for queries."""
        assert self.surfels is not None
        return SurfaceIndex(self.surfels)

    @cached_property
    def probe_scene(self) -> ProbeScene:
        """The coloured surface, ready for rays."""
        assert self.lights is not None
        return ProbeScene(self.lights)

    @cached_property
    def occupied(self) -> NDArray[np.int32]:
        """(V, 3) voxels that hold a surfel, or a point that has no normal."""
        assert self.surfels is not None and self.bare is not None
        return np.concatenate([occupied_voxels(self.surfels.position, self.parts.voxel), self.bare])


class SceneFusion:
    """Takes in the frames of a scene one by one, and gives the scene.

    Args:
        parts: what is wanted of it.
        seed: seed of the scene's keyed choices.
        stages: where time is noted.
    """

    def __init__(self, parts: SceneParts, seed: int, stages: Stages) -> None:
        self.parts, self.seed, self.stages = parts, seed, stages
        self._begin()

    def _begin(self) -> None:
        self._views: list[SceneView] = []
        self._cubes: list[NDArray[np.float64]] = []
        self._bare: list[NDArray[np.int32]] = []
        self._surfels = SurfelBuilder(SPACING)

    @property
    def wants_normals(self) -> bool:
        """Whether `add` makes use of normals."""
        return self.parts.surface or self.parts.lights

    def add(self, view: SceneView, normals: Normals | None, hdr: NDArray[np.float16] | None) -> None:
        """Take in one frame that has measured something.

        Args:
            view: its camera and distance.
            normals: (h, w, 3) clean normals in the camera's frame, or None.
            hdr: (h, w, 3) linear radiance, or None.
        """
        self._views.append(view)
        if not self.wants_normals:
            return
        with self.stages("fuse cubes"):
            self._cubes.append(frame_cube(view.points(), self.parts.cube_side, self.parts.depth))
        with self.stages("fuse surface"):
            bare = bare_points(view, normals)
            if len(bare):
                self._bare.append(occupied_voxels(bare, self.parts.voxel))
            if normals is None:
                return
            given = frame_points(view, normals)
            colour = None if hdr is None else hdr.reshape(-1, 3)[given.pixels]
            self._surfels.add(given.points, given.normals, given.weights, colour)

    def _without_surfels(self, surfels: Surfels) -> NDArray[np.int32]:
        """Voxels (V, 3) of bare points, less those in which a frame with normals has seen a surface."""
        bare = np.unique(np.concatenate([np.empty((0, 3), np.int32), *self._bare]), axis=0)
        held = block_keys(occupied_voxels(surfels.position, self.parts.voxel))
        return bare[~np.isin(block_keys(bare), held)]

    def finish(self) -> Scene:
        """The scene; the fusion is empty afterwards, and can take in another one."""
        scene = Scene(self.seed, self.parts, self._views)
        if self.parts.pairs:
            with self.stages("fuse pairs"):
                scene.covisibility = covisibility_matrix(scene.views)
        if self.wants_normals:
            scene.cubes = cubes = np.reshape(self._cubes, (-1, 4))
            with self.stages("fuse surface"):
                scene.surfels = self._surfels.finish()
                scene.lights = self._surfels.lights(MOST_LIGHTS) if self.parts.lights else None
            if scene.views:
                with self.stages("fuse voxels"):
                    scene.grid = VoxelGrid(self.parts.voxel, cubes)
                    for view in scene.views:
                        scene.grid.observe(view)
                    scene.bare = self._without_surfels(scene.surfels)
                    scene.grid.doubt(scene.bare)
        self._begin()
        return scene
