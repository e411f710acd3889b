"""What the records of the stream's benchmark hold: smooth fields that compress like pictures, normals and distances."""

import cv2
import numpy as np
from numpy.typing import NDArray

JPEG_GRAIN = 20  # grey levels: a 500 x 375 picture at quality 90 takes 66 KB
SKIN_GRAIN = 3


def smooth(rng: np.random.Generator, height: int, width: int, channels: int, cell: int) -> NDArray[np.float32]:
    """(height, width, channels) noise of unit strength that changes over `cell` pixels."""
    coarse = rng.standard_normal((height // cell + 2, width // cell + 2, channels)).astype(np.float32)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, np.float32).reshape(height, width, channels)


def photograph(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: large shapes in colour, small ones in grey, and grain."""
    picture = 128 + 50 * smooth(rng, height, width, 3, 80) + 20 * smooth(rng, height, width, 1, 12)
    return (picture + JPEG_GRAIN * smooth(rng, height, width, 1, 3)).clip(0, 255).astype(np.uint8)


def silhouette(height: int, width: int) -> NDArray[np.bool_]:
    """(height, width, 1) bool: a standing figure, a quarter of the picture."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return ((x / 0.35) ** 2 + (y / 0.92) ** 2 < 1)[..., None]


def figure(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: a clothed figure before black."""
    cloth = 110 + 40 * smooth(rng, size, size, 3, 64) + 15 * smooth(rng, size, size, 1, 8)
    grain = SKIN_GRAIN * smooth(rng, size, size, 1, 2)
    return np.where(silhouette(size, size), cloth + grain, 0).clip(0, 255).astype(np.uint8)


def normal_map(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) uint8: unit normals of a rounded, wrinkled figure as colours; grey where there is none."""
    slope = 0.5 * smooth(rng, size, size, 2, 48) + 0.15 * smooth(rng, size, size, 2, 8)
    normal = np.dstack([slope, np.ones((size, size), np.float32)])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    return np.where(silhouette(size, size), np.rint((normal + 1) * 127.5), 127).astype(np.uint8)


def pool(rng: np.random.Generator, count: int) -> dict[str, NDArray]:
    """`points` (count, 3) and `sdf` (count,) float32, metres, around the unit sphere; `occupancy` (count,) uint8."""
    points = rng.standard_normal((count, 3), np.float32)
    sdf = np.linalg.norm(points, axis=1) - 1
    return {"points": points, "sdf": sdf, "occupancy": (sdf < 0).astype(np.uint8)}
