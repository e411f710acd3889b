"""Light on a scan: how much of the light from each side reaches a vertex, and random light.

Precomputed radiance transfer (P. Sloan et al., 2002) for matt surfaces: a vertex has nine numbers, the light has nine
for each colour, in real spherical harmonics up to the second order, and their products sum up to the light that the
vertex sends out, shadows of the person on itself included.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .mesh_raster import MeshRays

VERSION = 2  # raised whenever a picture changes
DIRECTIONS = 12  # a side of the grid of directions that are looked into: 144
LIFT = 5e-4  # metres that a ray begins off the surface
AT_ONCE = 1 << 20  # rays
GAMMA = 2.2
SOFT = np.array([1.0] + [2 / 3] * 3 + [0.25] * 5)  # a lamp as wide as a cosine: sharper ones ring at so few numbers
Floats = NDArray[np.float64]


def harmonics(directions: Floats) -> Floats:
    """(n, 9) real spherical harmonics of unit vectors (n, 3), in the order (0, 0), (1, -1), (1, 0), ... (2, 2)."""
    x, y, z = directions.T
    return np.stack([
        np.full_like(x, 0.28209479177387814), 0.4886025119029199 * y, 0.4886025119029199 * z, 0.4886025119029199 * x,
        1.0925484305920792 * x * y, 1.0925484305920792 * y * z, 0.31539156525252005 * (3 * z * z - 1),
        1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y),
    ], 1)  # fmt: skip


def sphere_grid(side: int = DIRECTIONS) -> Floats:
    """(side^2, 3) unit vectors, each in the middle of a cell of the same solid angle."""
    z = 1 - 2 * (np.arange(side) + 0.5) / side
    angle = 2 * np.pi * (np.arange(side)[:, None] + (np.arange(side) % 2)[None] / 2) / side
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.broadcast_to(z, angle.shape)], -1).reshape(
        -1, 3
    )


def transfer(vertices: Floats, normals: Floats, rays: MeshRays, side: int = DIRECTIONS) -> NDArray[np.float32]:
    """How much of the light from each side each vertex sends on: white all around gives 1 where nothing is in the way.

    Args:
        vertices: (V, 3) metres.
        normals: (V, 3) unit vectors.
        rays: the mesh that is in the way.
        side: of the grid of directions.

    Returns:
        (V, 9) float32.
    """
    directions = sphere_grid(side)
    basis = harmonics(directions)
    out = np.zeros((len(vertices), 9))
    begin = vertices + LIFT * normals
    step = max(1, AT_ONCE // len(directions))
    for first in range(0, len(vertices), step):
        some = slice(first, first + step)
        cosine = np.maximum(normals[some] @ directions.T, 0)
        vertex, direction = np.nonzero(cosine > 0)
        cosine[vertex, direction] *= ~rays.occluded(begin[some][vertex], directions[direction])
        out[some] = cosine @ basis * (4 / len(directions))
    return out.astype(np.float32)


def random_light(rng: np.random.Generator) -> Floats:
    """(9, 3) light of a scene: some from all around, more from above, and one or two lamps, each of its own colour.

    White light that is one everywhere has sqrt(4 pi) as its first number, and nothing else.
    """
    white = np.zeros((9, 3))
    white[0] = np.sqrt(4 * np.pi)
    light = white * rng.uniform(0.45, 0.75) * rng.uniform(0.92, 1.08, 3)
    lamps = [np.array([0.0, 1.0, 0.0])]
    for _ in range(rng.integers(1, 3)):
        lamps.append(rng.normal(size=3) * [1.0, 0.6, 1.0])
    for lamp in lamps:
        towards = lamp / np.linalg.norm(lamp)
        colour = rng.uniform(0.1, 0.4) * rng.uniform(0.85, 1.15, 3)
        light += np.pi * harmonics(towards[None])[0][:, None] * SOFT[:, None] * colour
    return light / max(float(_irradiance(light).max()), 1.0)  # where it is brightest, white is just white


def _irradiance(light: Floats) -> Floats:
    """(n, 3) what a matt surface sends on of a light (9, 3), nothing in the way, where it looks all around."""
    directions = sphere_grid()
    basis = harmonics(directions)
    found: Floats = np.maximum(directions @ directions.T, 0) @ basis * (4 / len(directions)) @ light
    return found


def shaded(albedo: NDArray[Any], sent: NDArray[np.floating], light: Floats) -> NDArray[np.uint8]:
    """Pixels as a camera sees them: colour times the light that is sent out, with gamma, as PIFu renders.

    Args:
        albedo: (n, 3) colours of the texture, 0 to 255.
        sent: (n, 9) transfer at the pixels.
        light: (9, 3).
    """
    shade = np.clip(sent @ light, 0, 1) ** (1 / GAMMA)
    return np.rint(np.clip(albedo * shade, 0, 255)).astype(np.uint8)
