"""A frame as the labels of its scene see it: where the camera stood, and how far each pixel saw."""

from dataclasses import dataclass

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
        height, width = self.distance.shape
        rays = pixel_rays(self.intrinsics, height, width)[::stride, ::stride]
        return (rays @ self.world_from_camera[:3, :3].T).astype(np.float32)

    def points(self) -> NDArray[np.float64]:
        """(N, 3) float64 world points in metres of the pixels that measured something, in row order."""
        valid = ~np.isnan(self.distance)
        rays = pixel_rays(self.intrinsics, *self.distance.shape)[valid]
        return transform(self.distance[valid].astype(np.float64)[:, None] * rays, self.world_from_camera)
