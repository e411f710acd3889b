"""The four kinds of Hypersim camera and their rays.

Camera space: x right, y up, looking along -z. A kind is its `M_cam_from_uv` (3, 3): the ray through image
coordinates u (right) and v (up), both in (-1, 1), is M (u, v, 1). It does not depend on the resolution.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array

NEAR, FAR = 1.0, 1000.0


@dataclass(frozen=True)
class Camera:
    """One kind: rows of `M_cam_from_uv`, and whether the table calls it a physical (lens-shifted) camera."""

    physical: bool
    cam_from_uv: tuple[tuple[float, float, float], tuple[float, float, float], tuple[float, float, float]]

    def matrix(self) -> Array:
        """`M_cam_from_uv` as (3, 3) float64."""
        return np.array(self.cam_from_uv)


STANDARD = Camera(False, ((0.5773502886169104, 0.0, 0.0), (0.0, 0.4330127164626828, 0.0), (0.0, 0.0, -1.0)))
TILT_SHIFT = Camera(True, ((0.579607251426182, 0.0, -0.06955286861651404),
                           (0.0, 0.4346865334657201, 0.09273312506660672),
                           (0.0, 0.004054126980668954, -1.003909173803896)))  # fmt: skip
SKEWED = Camera(True, ((0.5816325918420933, 0.0, 0.0), (0.0, 0.4521482462309275, 0.0),
                       (0.16414578812081862, -0.031774812884525834, -1.0334879501698204)))  # fmt: skip
STRONG_TILT = Camera(True, ((0.7903225369878771, 0.0, 0.0), (0.0, 0.4439377392550294, 0.0),
                            (0.0, -0.39276232880718764, -1.3688787409561254)))  # fmt: skip


def projection(cam_from_uv: Array) -> Array:
    """`M_proj` (4, 4) float64 that belongs to `M_cam_from_uv` (3, 3).

    Rows 0, 1 and 3 are the inverse's three rows, row 2 is an OpenGL depth row with near 1 and far 1000: so are all 482
    published rows.
    """
    uv_from_cam = np.linalg.inv(cam_from_uv)
    matrix = np.zeros((4, 4))
    matrix[[0, 1, 3], :3] = uv_from_cam
    matrix[2, :3] = uv_from_cam[2] * (FAR + NEAR) / (FAR - NEAR)
    matrix[2, 3] = -2.0 * FAR * NEAR / (FAR - NEAR)
    return matrix


def rays(cam_from_uv: Array, height: int, width: int) -> Array:
    """Unit rays (height, width, 3) float64 through all pixel centres, camera space; row 0 is the top."""
    u = -1.0 + (2.0 * np.arange(width) + 1.0) / width
    v = 1.0 - (2.0 * np.arange(height) + 1.0) / height
    way = u[None, :, None] * cam_from_uv[:, 0] + v[:, None, None] * cam_from_uv[:, 1] + cam_from_uv[:, 2]
    return way / np.linalg.norm(way, axis=-1, keepdims=True)


def look_at(positions: ArrayLike, targets: ArrayLike) -> Array:
    """Orientations (N, 3, 3) float64 of upright cameras at (N, 3) that look at (N, 3): columns right, up, back."""
    back = np.asarray(positions, float) - np.asarray(targets, float)
    back /= np.linalg.norm(back, axis=-1, keepdims=True)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right, axis=-1, keepdims=True)
    return np.stack([right, np.cross(back, right), back], axis=-1)
