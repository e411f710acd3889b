"""Light sources of the demo rooms, and the sky behind the window.

Light is counted as the radiance that a white surface would send back (irradiance / pi), the unit of Hypersim's
`diffuse_illumination`; colours are linear RGB.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .arrays import Floats, Point, single
from .materials import Colour, pseudo_random


@dataclass(frozen=True)
class Sky:
    """Radiance of the world outside: a gradient over a hazy line of trees."""

    zenith: Colour = (1.9, 2.9, 4.8)
    horizon: Colour = (5.0, 5.3, 5.6)
    hills: Colour = (1.3, 1.6, 1.8)
    trees: Colour = (0.30, 0.46, 0.22)
    meadow: Colour = (0.62, 0.80, 0.38)

    def radiance(self, directions: Floats) -> Floats:
        """Radiance (N, 3) float32 seen along directions (N, 3) float32, z up; they need not be unit."""
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        height = directions[:, 2] / np.maximum(np.hypot(directions[:, 0], directions[:, 1]), 1e-6)
        ridge = 0.05 + 0.07 * _bumpy(2.0 * azimuth, 3)
        crown = 0.005 + 0.06 * _bumpy(7.0 * azimuth, 5)
        up = np.clip(height, 0.0, 1.0) ** 0.6
        seen = _mix(single([self.horizon]), self.zenith, up)
        seen = _mix(seen, self.hills, np.clip((ridge - height) * 150.0, 0.0, 1.0))
        seen = _mix(seen, self.trees, np.clip((crown - height) * 120.0, 0.0, 1.0))
        near = np.clip(-height * 1.5, 0.0, 1.0)
        return _mix(seen, self.meadow, np.clip((-0.03 - height) * 60.0, 0.0, 1.0) * (0.7 + 0.3 * near)).astype(
            np.float32
        )


def _mix(under: Floats, over: Colour, weight: Floats) -> Floats:
    return under + weight[:, None] * (single(over) - under)


def _bumpy(where: Floats, octaves: int) -> Floats:
    """Value noise (N,) in [0, 1) along a line: smooth between pseudo-random heights, finer ones added."""
    total, weight = np.zeros_like(where), 0.0
    for octave in range(octaves):
        x = where * 2**octave
        cell = np.floor(x)
        part, left = x - cell, cell.astype(np.int64)
        low, high = pseudo_random(left, left + octave), pseudo_random(left + 1, left + 1 + octave)
        total += 0.6**octave * (low + part * part * (3 - 2 * part) * (high - low))
        weight += 0.6**octave
    return total / weight


class Light(Protocol):
    """A source that can be sampled from many points at once."""

    @property
    def samples(self) -> int:
        """Samples that give a smooth result."""
        ...

    def towards(self, points: Floats, shift: Floats) -> Floats:
        """Vectors (N, 3) float32, metres, from points (N, 3) to one sample of the source each.

        `shift` (N, 2) float32 in [0, 1) says where on the source. Anything along the vector blocks the light.
        """
        ...

    def power(self, vectors: Floats) -> Floats:
        """Light (N, 3) float32 that vectors of `towards` bring to a white surface that faces the sample."""
        ...


@dataclass(frozen=True)
class Window:
    """Sky light through a rectangle: `centre`, half edges and the unit normal into the room, metres."""

    centre: Point
    half_across: Point
    half_up: Point
    inward: Point
    sky: Sky
    samples: int = 16

    def towards(self, points: Floats, shift: Floats) -> Floats:
        """See `Light.towards`: evenly over the rectangle."""
        place = (2 * shift - 1) @ single([self.half_across, self.half_up]) + single(self.centre)
        return place - points

    def power(self, vectors: Floats) -> Floats:
        """Radiance x cosine at the window x area / (pi r^2), and never more than a sky all around would give."""
        square = np.einsum("ij,ij->i", vectors, vectors)
        cosine = np.maximum(-(vectors @ single(self.inward)), 0.0) / np.sqrt(square)
        area = 4.0 * np.linalg.norm(self.half_across) * np.linalg.norm(self.half_up)
        return self.sky.radiance(vectors) * np.minimum(cosine * float(area / np.pi) / square, 1.0)[:, None]


@dataclass(frozen=True)
class Sun:
    """A distant disc: vector towards it, tangent of its angular radius, light on a surface that faces it."""

    way: Point
    spread: float
    light: Colour
    samples: int = 8

    def towards(self, points: Floats, shift: Floats) -> Floats:
        """See `Light.towards`: 100 m long, beyond every wall."""
        way = single(np.array(self.way) / np.linalg.norm(self.way))
        side = np.cross(way, single([0.0, 0.0, 1.0]))
        side /= np.linalg.norm(side)
        radius, angle = self.spread * np.sqrt(shift[:, :1]), 2 * np.pi * shift[:, 1:]
        return 100.0 * (way + radius * (np.cos(angle) * side + np.sin(angle) * np.cross(way, side)))

    def power(self, vectors: Floats) -> Floats:
        """See `Light.power`: the same everywhere."""
        return np.broadcast_to(single(self.light), vectors.shape)


@dataclass(frozen=True)
class Bulb:
    """A small glowing ball: centre and radius in metres, light at 1 m on a surface that faces it."""

    centre: Point
    radius: float
    light: Colour
    samples: int = 8

    def towards(self, points: Floats, shift: Floats) -> Floats:
        """See `Light.towards`: just outside the half of the ball that faces the point."""
        to_centre = single(self.centre) - points
        spot = on_sphere(shift)
        spot *= -np.sign(np.einsum("ij,ij->i", spot, to_centre))[:, None]
        return to_centre + self.radius * 1.03 * spot

    def power(self, vectors: Floats) -> Floats:
        """See `Light.power`: falls off as 1 / r^2."""
        square = np.einsum("ij,ij->i", vectors, vectors)
        return single(self.light) / np.maximum(square, self.radius**2)[:, None]


def on_sphere(shift: Floats) -> Floats:
    """Unit vectors (N, 3) float32, uniform over the sphere for uniform `shift` (N, 2) in [0, 1)."""
    z, angle = 2 * shift[:, 0] - 1, 2 * np.pi * shift[:, 1]
    flat = np.sqrt(np.maximum(1 - z * z, 0.0))
    return np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)
