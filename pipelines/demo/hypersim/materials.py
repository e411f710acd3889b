"""Materials of the demo rooms: plain numbers and procedural textures, evaluated on arrays of surface points."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .arrays import Floats, Ints, single

Colour = tuple[float, float, float]
Pattern = Callable[["Material", Floats, Floats, Floats], Floats]


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    Attributes:
        name: used in the metadata tables.
        colour: linear RGB albedo in [0, 1].
        accent: second albedo of the pattern.
        pattern: a name in `PATTERNS`.
        scale: pattern period in metres.
        gloss: mirror reflectance at normal incidence; 0 means none.
        rough: spread of the mirrored ray, radians.
        bump: tilt of the bump normals, radians.
        emission: linear RGB radiance that the surface sends out by itself.
    """

    name: str
    colour: Colour
    accent: Colour = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    scale: float = 0.1
    gloss: float = 0.0
    rough: float = 0.015
    bump: float = 0.01
    emission: Colour = (0.0, 0.0, 0.0)


def pseudo_random(first: Ints, second: Ints) -> Floats:
    """A fixed pseudo-random number in [0, 1) for each pair of whole numbers (integer mixing, so exact everywhere)."""
    mixed = (first.astype(np.uint32) * np.uint32(2654435761)) ^ (second.astype(np.uint32) * np.uint32(2246822519))
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(2246822519)
    mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(3266489917)
    return ((mixed ^ (mixed >> np.uint32(16))) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def _cell(coordinate: Floats, size: float) -> tuple[Ints, Floats]:
    """Index of the cell and distance in metres to its nearest edge."""
    index = np.floor(coordinate / size)
    inside = coordinate - index * size
    return index.astype(np.int64), np.minimum(inside, size - inside)


def _blend(material: Material, weight: Floats) -> Floats:
    colour, accent = single(material.colour), single(material.accent)
    return colour + weight[:, None] * (accent - colour)


def _soft(distance: Floats, half_width: float, pixel: Floats) -> Floats:
    """Coverage in [0, 1] of a line of `half_width` metres at `distance`, softened over a pixel's footprint."""
    blur = np.maximum(pixel, 1e-4)
    return np.clip((half_width - distance) / blur + 0.5, 0.0, 1.0) * np.minimum(1.0, 2 * half_width / blur)


def _plain(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    tone = 1.0 + 0.012 * np.sin(3.1 * s + 1.7 * np.sin(2.3 * t)) + 0.012 * np.sin(2.7 * t + 1.3 * np.sin(1.9 * s))
    return single(material.colour) * tone[:, None]


def _planks(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    strip, gap = _cell(t, material.scale)
    shift = pseudo_random(strip, strip + 7)
    board, end = _cell(s + 1.7 * shift, 12 * material.scale)
    tone = pseudo_random(strip, board)
    grain = np.sin(260.0 * t + 5.0 * np.sin(2.6 * s + 40.0 * tone)) * np.maximum(0.0, 1.0 - 90.0 * pixel)
    streak = np.sin(45.0 * t + 3.0 * np.sin(1.3 * s + 20.0 * tone))
    joint = np.maximum(_soft(gap, 0.0012, pixel), _soft(end, 0.0012, pixel))
    weight = np.clip(0.12 + 0.55 * tone + 0.10 * grain + 0.12 * streak, 0.0, 1.0)
    return _blend(material, weight.astype(np.float32)) * (1.0 - 0.75 * joint[:, None])


def _tiles(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    row, gap_t = _cell(t, material.scale)
    col, gap_s = _cell(s, material.scale)
    tone = 0.94 + 0.12 * pseudo_random(row, col)
    joint = np.maximum(_soft(gap_t, 0.002, pixel), _soft(gap_s, 0.002, pixel))[:, None]
    tile = _blend(material, ((row + col) % 2).astype(np.float32)) * tone[:, None]
    return tile * (1.0 - joint) + 0.45 * joint


def _stripes(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    index, edge = _cell(s, material.scale)
    side = np.where(index % 2 == 0, 0.5, -0.5)
    weight = 0.5 + side * np.clip(2 * edge / np.maximum(pixel, 1e-4), 0.0, 1.0)
    return _blend(material, weight.astype(np.float32)) * (1.0 + 0.05 * np.sin(700.0 * t[:, None]))


def _weave(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    turn = 2 * np.pi / material.scale
    fade = np.maximum(0.0, 1.0 - 2.0 * pixel / material.scale)
    weight = 0.5 + 0.5 * np.sin(turn * s) * np.sin(turn * t) * fade
    return _blend(material, weight.astype(np.float32))


def _marble(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    warp = np.sin(3.0 * s + 1.5 * np.sin(5.0 * t)) + 0.6 * np.sin(7.0 * t + 2.0 * np.sin(4.0 * s))
    vein = np.exp(-8.0 * np.abs(np.sin((s + t) / material.scale + 1.4 * warp)))
    return _blend(material, vein.astype(np.float32))


def _painting(material: Material, s: Floats, t: Floats, pixel: Floats) -> Floats:
    x, y = s / material.scale, t / material.scale
    hills = np.clip(40.0 * (0.32 + 0.10 * np.sin(5.0 * x) + 0.04 * np.sin(13.0 * x) - y), 0.0, 1.0)
    disc = np.clip(40.0 * (0.17 - np.hypot(x - 0.62, y - 0.62)), 0.0, 1.0)
    sky = _blend(material, np.clip(1.1 * y, 0.0, 1.0).astype(np.float32))
    sky = sky + disc[:, None] * (single([0.9, 0.55, 0.2]) - sky)
    ground = single([0.10, 0.16, 0.14]) * (1.0 + 0.5 * np.sin(9.0 * y + 4.0 * x))[:, None]
    return sky + hills[:, None] * (ground - sky)


PATTERNS: dict[str, Pattern] = {
    "plain": _plain, "planks": _planks, "tiles": _tiles, "stripes": _stripes, "weave": _weave, "marble": _marble,
    "painting": _painting,
}  # fmt: skip


def reflectance(material: Material, st: Floats, pixel: Floats) -> Floats:
    """Albedo (N, 3) float32 in [0, 0.95] of a material.

    Args:
        material: what to evaluate.
        st: (N, 2) float32 surface coordinates in metres.
        pixel: (N,) float32 width in metres that a pixel covers there; finer detail is faded out.
    """
    albedo = PATTERNS[material.pattern](material, st[:, 0], st[:, 1], pixel)
    return np.clip(albedo, 0.0, 0.95).astype(np.float32)


def mean_albedo(material: Material) -> Floats:
    """Albedo (3,) float32 averaged over a fixed grid of 1.2 m side."""
    s, t = np.meshgrid(*[np.linspace(0.0, 1.2, 61, dtype=np.float32)] * 2)
    st = np.stack([s.ravel(), t.ravel()], axis=1)
    return reflectance(material, st, np.full(len(st), 0.02, np.float32)).mean(axis=0)


def bumped(normals: Floats, positions: Floats, tilt: Floats) -> Floats:
    """Unit normals (N, 3) float32 tilted by a wavy texture of world positions.

    Args:
        normals: (N, 3) float32 unit.
        positions: (N, 3) float32 metres, world.
        tilt: (N,) float32 radians, about the largest tilt.
    """
    turned = positions[:, [1, 2, 0]]
    wave = np.sin(31.0 * positions + 17.0 * turned) + 0.6 * np.sin(83.0 * turned + 3.0 * np.sin(29.0 * positions))
    wave -= np.einsum("ij,ij->i", wave, normals)[:, None] * normals
    bent = normals + 0.5 * tilt[:, None] * wave
    return bent / np.sqrt(np.einsum("ij,ij->i", bent, bent))[:, None]
