"""A frame as the labels of its scene see it: where the camera stood, and how far each pixel saw."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...datasets.camera import pixel_rays, transform


@dataclass(frozen=True)
class SceneView:
    """One frame of a scene.

    Attributes:
        key: key of the frame's record.
        intrinsics: (3, 3) float64 pixels, corner origin, upper triangular.
        world_from_camera: (4, 4) float64 metres, OpenCV camera axes.
        distance: (h, w) float16 Euclidean metres along each pixel's ray as stored, NaN where not measured.
    """

    key: str
    intrinsics: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    distance: NDArray[np.float16]

    @property
    def centre(self) -> NDArray[np.float64]:
        """(3,) float64 camera centre, metres, world."""
        return self.world_from_camera[:3, 3]

    def world_rays(self, stride: int = 1) -> NDArray[np.float32]:
        """(ceil(h / stride), ceil(w / stride), 3) float32 unit viewing rays in the world, of every stride-th pixel."""
        rays = camera_rays(self.intrinsics, *self.distance.shape)[::stride, ::stride]
        return (rays @ self.world_from_camera[:3, :3].T).astype(np.float32)

    def points(self) -> NDArray[np.float64]:
        """(N, 3) float64 world points in metres of the pixels that measured something, in row order."""
        valid = ~np.isnan(self.distance)
        rays = camera_rays(self.intrinsics, *self.distance.shape)[valid]
        return transform(self.distance[valid].astype(np.float64)[:, None] * rays, self.world_from_camera)


def camera_rays(intrinsics: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """`pixel_rays`, read-only and kept, for the frames of a scene share a lens and each is asked several times."""
    return _camera_rays(np.asarray(intrinsics, np.float64).tobytes(), height, width)


@lru_cache(maxsize=2)
def _camera_rays(intrinsics: bytes, height: int, width: int) -> NDArray[np.float64]:
    rays = pixel_rays(np.frombuffer(intrinsics).reshape(3, 3), height, width)
    rays.setflags(write=False)
    return rays
