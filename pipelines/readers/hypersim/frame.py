"""A frame of a Hypersim scene as its reader gives it: at the size and in the camera that are stored."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ....datasets.camera import transform
from ...labels.normals import Normals
from ...labels.octree import frame_cube
from ...labels.scene import Scene
from ...labels.scene_view import camera_rays


@dataclass(frozen=True)
class View:
    """What a reader does with frames: their size, which modalities, and the constancy check."""

    size: tuple[int, int]
    colour: bool = True
    distance: bool = True
    normals: str | None = "normal"
    intrinsic: bool = False
    semantic: bool = False
    max_constant: float = 0.3


@dataclass(frozen=True)
class Frame:
    """One frame, ready for the labels; arrays of (h, w) at the output size, None where the raw file is missing.

    Attributes:
        key: key of its record.
        intrinsics: (3, 3) float64 pixels, corner origin, of the output size.
        world_from_camera: (4, 4) float64 metres, OpenCV camera axes.
        cam_from_uv: (3, 3) float64, the raw camera matrix, independent of the size.
        hdr: (h, w, 3) float16 linear radiance, finite.
        nonfinite: number of raw colour values that were infinite or NaN.
        tone_scale: exposure of the whole trajectory.
        frame_tone_scale: exposure of this frame alone.
        distance: (h, w) float16 Euclidean metres, NaN where not measured.
        normals: cleaned normals in the stored camera's frame.
        intrinsic: albedo, illumination, residual, each (h, w, 3) float32.
        semantic: (h, w) int8, NYU40 class, -1 unknown.
        instance: (h, w) int16, -1 unknown.
        surface_normals: clean geometric normals, where a scene is fused (`normals` may be those of bump maps).
        scene: what all frames of the scene know together, where a label asks for it.
    """

    key: str
    intrinsics: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    cam_from_uv: NDArray[np.float64]
    size: tuple[int, int]
    hdr: NDArray[np.float16] | None
    nonfinite: int
    tone_scale: float
    frame_tone_scale: float
    distance: NDArray[np.float16] | None
    normals: Normals | None
    intrinsic: tuple[NDArray[np.float32], ...] | None
    semantic: NDArray[np.int8] | None
    instance: NDArray[np.int16] | None
    surface_normals: Normals | None = None
    scene: Scene | None = None

    @property
    def number(self) -> int | None:
        """Number of this frame among its scene's views; None without a scene, or where nothing was measured."""
        return self.scene.place.get(self.key) if self.scene else None

    @cached_property
    def rays(self) -> NDArray[np.float64]:
        """(h, w, 3) unit viewing rays in the stored camera's frame."""
        return camera_rays(self.intrinsics, *self.size)

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(h, w) where distance was measured."""
        return np.zeros(self.size, np.bool_) if self.distance is None else ~np.isnan(self.distance)

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """(N, 3) float64 world points in metres of the valid pixels, in row order."""
        assert self.distance is not None
        local = self.distance[self.valid].astype(np.float64)[:, None] * self.rays[self.valid]
        return transform(local, self.world_from_camera)

    def cube(self, side: float, depth: int) -> NDArray[np.float64]:
        """(4,) the cube of the frame's octree and query points: centre x, y, z and side, metres, world."""
        if self.scene is not None and self.scene.cubes is not None and self.number is not None:
            return self.scene.cubes[self.number]
        return frame_cube(self.points, side, depth)
