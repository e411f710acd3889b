"""Surface normals of a frame: unit length, facing the camera, with a validity that says which were usable."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raised whenever a cleaned normal or a mask changes

SHORTEST = 0.5  # a raw normal shorter than this has no trustworthy direction


@dataclass(frozen=True)
class Normals:
    """Cleaned normals of one frame.

    Attributes:
        normal: (H, W, 3) float32 unit vectors towards the camera, frame of the input; exactly zero where not valid.
        valid: (H, W) bool.
        flipped: (H, W) bool, the raw normal pointed away from the camera; never set where not valid.
    """

    normal: NDArray[np.float32]
    valid: NDArray[np.bool_]
    flipped: NDArray[np.bool_]


def clean_normals(normal: NDArray[np.floating], rays: NDArray[np.floating]) -> Normals:
    """Renormalises raw normals and turns them to the camera.

    A visible surface faces the camera when n . r <= 0, with r the pixel's own viewing ray. The sign of n_z decides the
    same only on the optical axis: a wall seen at the image border may have n_z > 0 and still face the camera.

    Args:
        normal: (H, W, 3) float16, float32 or float64, any length, NaN or infinity where unknown.
        rays: (H, W, 3) float viewing rays from the camera outwards, **in the frame of the normals** (here: OpenCV
            camera axes; normals of another axis convention must be rotated before). Length does not matter.

    Returns:
        the normals; invalid are those that are not finite or shorter than 0.5.
    """
    vector = normal.astype(np.float32)
    length = np.sqrt(np.einsum("hwc,hwc->hw", vector, vector))
    valid = (length >= SHORTEST) & np.isfinite(length)
    flipped = (np.einsum("hwc,hwc->hw", vector, rays.astype(np.float32, copy=False)) > 0) & valid
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(flipped, np.float32(-1), np.float32(1)) / length
        vector *= factor[..., None]
    vector[~valid] = 0
    vector += 0  # turns the -0.0 of a flipped zero component into +0.0, so that equal normals have equal bytes
    return Normals(vector, valid, flipped)
