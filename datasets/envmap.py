"""Equirectangular environment maps: which way each texel looks, how much of the sphere it covers, and turning a map.

The convention, in a frame whose z points up: row 0 touches +z, the last row -z; the middle of the map looks along +x, a
quarter to its left along +y, its left and right edges along -x. Seen as a picture it is not mirrored: what is to the
left of somebody who stands at the probe and looks along +x is to the left of the middle. Texel (row, column) covers
polar angles [row, row + 1) pi / height and azimuths pi - [column, column + 1) 2 pi / width.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Camera axes of a direction in a map whose middle looks along the optical axis with the picture's top up.
CAMERA_FROM_MAP = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


@dataclass(frozen=True)
class TexelRays:
    """Directions that sample every texel of a map evenly; read-only, in the order of the texels' sub-rows.

    Attributes:
        direction: (R, 3) float64 unit vectors.
        texel: (R,) int64 flat index of the texel that each belongs to.
        solid_angle: (R,) float64 steradians that each stands for; 4 pi in all.
    """

    direction: Array
    texel: NDArray[np.int64]
    solid_angle: Array


def texel_directions(height: int, width: int) -> Array:
    """Unit vectors (height, width, 3) float64 through the texels' centres."""
    polar = (np.arange(height) + 0.5) * np.pi / height
    azimuth = np.pi - (np.arange(width) + 0.5) * 2 * np.pi / width
    flat = np.sin(polar)[:, None]
    high = np.broadcast_to(np.cos(polar)[:, None], (height, width))
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), high], axis=-1)


def texel_of(directions: NDArray[np.floating], height: int, width: int) -> NDArray[np.int64]:
    """Row and column of the texel that each direction falls into.

    Args:
        directions: (..., 3) vectors of any length but zero.
        height: rows of the map.
        width: columns of the map.

    Returns:
        (..., 2) int64 rows and columns.
    """
    x, y, z = np.moveaxis(np.asarray(directions, np.float64), -1, 0)
    row = np.arctan2(np.hypot(x, y), z) * (height / np.pi)
    column = (np.pi - np.arctan2(y, x)) * (width / (2 * np.pi))
    return np.stack([np.minimum(row.astype(np.int64), height - 1), column.astype(np.int64) % width], axis=-1)


def solid_angles(height: int, width: int) -> Array:
    """Steradians (height, width) float64 of each texel; they add up to 4 pi."""
    edges = np.cos(np.arange(height + 1) * np.pi / height)
    return np.repeat((edges[:-1] - edges[1:])[:, None] * (2 * np.pi / width), width, axis=1)


@lru_cache(maxsize=8)
def texel_rays(height: int, width: int, fine: int) -> TexelRays:
    """Sample directions, `fine` sub-rows a texel, with sub-columns of about the same angle (fewer towards the poles).

    Args:
        height: rows of the map.
        width: columns of the map.
        fine: sub-rows of a texel, 1 or more.

    Returns:
        the rays; between `fine` and `fine`^2 of them a texel.
    """
    rows = height * fine
    middle = np.sin((np.arange(rows) + 0.5) * np.pi / rows)
    each = np.ceil(fine * middle).astype(np.int64)
    row = np.repeat(np.arange(rows), each * width)
    column = np.arange(len(row)) - np.repeat(np.cumsum(each * width) - each * width, each * width)
    polar = (row + 0.5) * np.pi / rows
    azimuth = np.pi - (column + 0.5) * 2 * np.pi / (each[row] * width)
    direction = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
    edges = np.cos(np.arange(rows + 1) * np.pi / rows)
    share = (edges[:-1] - edges[1:]) * 2 * np.pi / (each * width)
    rays = TexelRays(direction, (row // fine) * width + column // each[row], share[row])
    for values in (rays.direction, rays.texel, rays.solid_angle):
        values.setflags(write=False)
    return rays


def gather(values: NDArray[np.floating], hit: NDArray[np.bool_], rays: TexelRays, texels: int) -> tuple[Array, Array]:
    """Means of what the rays of each texel found, weighted by solid angle.

    Args:
        values: (..., R, 3) radiance that each ray found, finite where it hit.
        hit: (..., R) which rays found something.
        rays: the rays.
        texels: number of texels, height x width.

    Returns:
        (..., texels, 3) float64 plain means over the rays that hit, zero where none did; (..., texels) float64 share of
        each texel's solid angle that was hit.
    """
    maps = int(np.prod(hit.shape[:-1]))
    index = (np.arange(maps)[:, None] * texels + rays.texel).ravel()
    weight = np.where(hit, rays.solid_angle, 0).ravel()
    found = np.bincount(index, weight, maps * texels)
    colour = np.where(hit[..., None], values, 0).reshape(-1, 3)
    sums = np.stack([np.bincount(index, weight * colour[:, k], maps * texels) for k in range(3)], axis=-1)
    whole = np.bincount(rays.texel, rays.solid_angle, texels)
    mean = sums / np.where(found > 0, found, 1)[:, None]
    return mean.reshape(*hit.shape[:-1], texels, 3), found.reshape(*hit.shape[:-1], texels) / whole


def camera_map(
    radiance: NDArray[np.floating], mask: NDArray[np.uint8], world_from_camera: Array, fine: int = 4
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """World-axes maps turned into a camera's axes.

    In the result the middle looks along the camera's optical axis, the top row along the picture's up (-y), and what is
    left in the picture is left of the middle. Each new texel is the mean over `fine` x `fine` look-ups.

    Args:
        radiance: (..., height, width, 3) in world axes.
        mask: (..., height, width) uint8, 1 where the radiance is known.
        world_from_camera: (4, 4) float64; only its rotation counts.
        fine: look-ups along each side of a texel.

    Returns:
        float32 radiance and uint8 mask of the same shapes; a texel is known where at least half of it is.
    """
    *maps, height, width = mask.shape
    rays = texel_rays(height, width, fine)
    world = rays.direction @ (world_from_camera[:3, :3] @ CAMERA_FROM_MAP).T
    source = np.moveaxis(texel_of(world, height, width), -1, 0)
    hit = mask[..., source[0], source[1]] > 0
    mean, share = gather(radiance[..., source[0], source[1], :].astype(np.float64), hit, rays, height * width)
    known = share >= 0.5
    turned = np.where(known[..., None], mean, 0).astype(np.float32)
    return turned.reshape(*maps, height, width, 3), known.astype(np.uint8).reshape(*maps, height, width)
