"""One frame's judgement of voxel blocks: free, surface, occluded or unobserved.

Facts 3.3, per voxel, one frame: with the Euclidean distance rho from the camera to a voxel's centre and the distance D
of the pixel that holds its projection, phi = D - rho; free where phi > mu, surface where |phi| <= mu, occluded where
phi < -mu, unobserved out of view or where D is not known. mu = 1.5 delta, delta = sqrt(3) / 2 of the voxel's side.
Surface is told apart by whether the frame saw as far as the centre (phi >= 0): behind it nobody knows what there is.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ...datasets.voxels import BLOCK
from .scene_view import SceneView

# Levels of a judgement, which sort as states do: unobserved, occluded, surface, surface seen to the centre, free.
UNSEEN, HIDDEN, BEHIND, REACHED, THROUGH = range(5)
SURFACE_BAND = 1.5 * sqrt(3) / 2  # mu in voxels

_CORNERS = np.stack(np.meshgrid(*[[0.0, BLOCK - 1.0]] * 3, indexing="ij"), axis=-1).reshape(8, 3)


class BlockJudge:
    """Judges the blocks of a voxel lattice by one frame.

    Args:
        view: the frame.
        voxel: side of a voxel in metres.
    """

    def __init__(self, view: SceneView, voxel: float) -> None:
        self._height, self._width = view.distance.shape
        self._voxel, self._band = voxel, SURFACE_BAND * voxel
        self._centre = view.centre
        self._pixel_from_world = (view.intrinsics @ view.world_from_camera[:3, :3].T).astype(np.float32)
        nowhere = np.float32(np.nan)  # distance at the pixel of whatever is out of view
        self._distance = np.append(view.distance.astype(np.float32), nowhere)

    def in_view(self, blocks: NDArray[np.int32]) -> NDArray[np.intp]:
        """Rows of the blocks (B, 3) of which a voxel's centre may be in view; no other is.

        A block is out of view if all its corners are on the outer side of one of the planes that bound the view.
        """
        corners = self._first_centre(blocks)[:, None] + (_CORNERS * self._voxel).astype(np.float32)
        u, v, w = np.moveaxis(corners @ self._pixel_from_world.T, -1, 0)
        outer = (w <= 0, u < 0, v < 0, u > self._width * w, v > self._height * w)
        return np.flatnonzero(~np.logical_or.reduce([side.all(axis=1) for side in outer]))

    def judge(self, blocks: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Levels (B, 8, 8, 8) uint8 of every voxel of blocks (B, 3).

        Projection is linear along each axis of a block, in homogeneous coordinates: pixels are u / w and v / w.
        """
        axes = self._first_centre(blocks)[..., None] + np.arange(BLOCK, dtype=np.float32) * np.float32(self._voxel)
        x, y, z = axes[:, 0, :, None, None], axes[:, 1, None, :, None], axes[:, 2, None, None, :]
        u, v, w = (row[0] * x + row[1] * y + row[2] * z for row in self._pixel_from_world)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            np.divide(1, w, out=w)
            u *= w
            v *= w
            seen = (w > 0) & (u >= 0) & (u < self._width) & (v >= 0) & (v < self._height)
            pixel = v.astype(np.int32) * self._width + u.astype(np.int32)
        pixel[~seen] = self._distance.size - 1
        phi = self._distance[pixel]
        phi -= np.sqrt(x * x + y * y + z * z)
        near, before = phi >= -self._band, phi > self._band
        steps = (phi == phi, near, phi >= 0, before)  # NaN is none of them
        return np.add.reduce([step.view(np.uint8) for step in steps], dtype=np.uint8)

    def _first_centre(self, blocks: NDArray[np.int32]) -> NDArray[np.float32]:
        """Centres (B, 3) of the blocks' first voxels, metres from the camera along the world's axes."""
        return ((blocks * BLOCK + 0.5) * self._voxel - self._centre).astype(np.float32)
