"""Walls, floor, ceiling, window and door of a demo room, and the record that describes a whole room."""

from dataclasses import dataclass

import numpy as np

from .arrays import Array
from .assembly import CEILING, DOOR, FLOOR, OTHER_STRUCTURE, WALL, WINDOW, Item, Part
from .lights import Light, Sky, Window
from .materials import Material
from .surfaces import Patch, block, rectangle

REVEAL = 0.18


@dataclass(frozen=True)
class Opening:
    """A window in the wall at +y: centre x, sill height, width and height, metres."""

    x: float
    sill: float
    width: float
    height: float


@dataclass(frozen=True)
class Room:
    """Everything that is needed to render one room; world frame, metres, the floor's centre at the origin.

    Attributes:
        kind: Hypersim's `Scene type`.
        half: half width along x, half depth along y, full height.
        items: in entity order.
        lights: sources that light surfaces.
        sky: what is seen through the window.
        starts: for each camera the first position and the point looked at.
    """

    kind: str
    half: tuple[float, float, float]
    items: list[Item]
    lights: list[Light]
    sky: Sky
    starts: list[tuple[tuple[float, float, float], tuple[float, float, float]]]


def _wall(corner: Array, along: Array, length: float, height: float, holes: list[Opening]) -> list[Patch]:
    """An upright wall from `corner` in the unit direction `along`, facing along x up, with window holes left out."""
    up = np.array([0.0, 0.0, 1.0])
    patches, done = [], 0.0
    for hole in sorted(holes, key=lambda h: h.x):
        left = hole.x - hole.width / 2 - float(corner @ along)
        pieces = [(done, left, 0.0, height), (left, left + hole.width, 0.0, hole.sill),
                  (left, left + hole.width, hole.sill + hole.height, height)]  # fmt: skip
        patches += [rectangle(corner + a * along + z * up, (b - a) * along, (top - z) * up) for a, b, z, top in pieces]
        done = left + hole.width
    return [*patches, rectangle(corner + done * along, (length - done) * along, height * up)]


def _skirting(half: tuple[float, float, float]) -> list[Patch]:
    hx, hy, t, h = half[0], half[1], 0.012, 0.08
    strips = block((-hx, hy - t, 0.0), (hx, hy, h), 0.004) + block((-hx, -hy, 0.0), (hx, -hy + t, h), 0.004)
    return strips + block((-hx, -hy, 0.0), (-hx + t, hy, h), 0.004) + block((hx - t, -hy, 0.0), (hx, hy, h), 0.004)


def _window(opening: Opening, y: float, frame: Material, wall: Material) -> list[Item]:
    """Reveal (four sides of the hole), sill board, and a frame with a cross bar at the outer face of the wall."""
    x0, x1 = opening.x - opening.width / 2, opening.x + opening.width / 2
    z0, z1, out = opening.sill, opening.sill + opening.height, y + REVEAL
    wide, tall, deep = np.array([x1 - x0, 0, 0]), np.array([0, 0, z1 - z0]), np.array([0, REVEAL, 0])
    sides = [rectangle((x0, y, z0), deep, tall), rectangle((x1, y, z0), tall, deep),
             rectangle((x0, y, z1), deep, wide), rectangle((x0, y, z0), wide, deep)]  # fmt: skip
    bar, half = 0.05, 0.02
    bars = block((x0, out - bar, z0), (x0 + bar, out, z1)) + block((x1 - bar, out - bar, z0), (x1, out, z1))
    bars += block((x0, out - bar, z0), (x1, out, z0 + bar)) + block((x0, out - bar, z1 - bar), (x1, out, z1))
    for k in range(1, max(2, round(opening.width / 0.9))):
        x = x0 + (x1 - x0) * k / max(2, round(opening.width / 0.9))
        bars += block((x - half, out - bar, z0), (x + half, out, z1))
    cross = z0 + 0.68 * (z1 - z0)
    bars += block((x0, out - bar, cross - half), (x1, out, cross + half))
    sill = block((x0 - 0.05, y - 0.06, z0 - 0.03), (x1 + 0.05, y + REVEAL - bar, z0 + 0.006), 0.008)
    return [Item("reveal", WALL, [Part("sides", wall, sides)]),
            Item("window", WINDOW, [Part("frame", frame, bars), Part("sill", frame, sill)])]  # fmt: skip


def door(leaf: Material, knob: Material) -> list[Item]:
    """A closed door whose back touches y = 0, on z = 0."""
    frame = block((-0.52, -0.03, 0.0), (-0.45, 0.0, 2.1), 0.005) + block((0.45, -0.03, 0.0), (0.52, 0.0, 2.1), 0.005)
    frame += block((-0.52, -0.03, 2.03), (0.52, 0.0, 2.1), 0.005)
    panel = block((-0.45, -0.02, 0.0), (0.45, 0.0, 2.03))
    panel += [p for z in (0.18, 1.1) for p in block((-0.33, -0.032, z), (0.33, -0.02, z + 0.76), 0.008)]
    grip = block((0.32, -0.07, 1.0), (0.42, -0.05, 1.02), 0.008) + block((0.39, -0.06, 1.0), (0.41, -0.02, 1.02))
    return [Item("door", DOOR, [Part("leaf", leaf, panel), Part("frame", leaf, frame), Part("handle", knob, grip)])]


def shell(half: tuple[float, float, float], openings: list[Opening], wall: Material, floor: Material,
          ceiling: Material, trim: Material) -> list[Item]:  # fmt: skip
    """The empty room: floor at exactly z = 0, ceiling, four walls (windows in the one at +y), skirting, windows."""
    hx, hy, height = half
    corners = [np.array([-hx, hy, 0.0]), np.array([hx, -hy, 0.0]), np.array([hx, hy, 0.0]), np.array([-hx, -hy, 0.0])]
    along = [np.array(v, float) for v in ((1, 0, 0), (-1, 0, 0), (0, -1, 0), (0, 1, 0))]
    names, lengths = ("north", "south", "east", "west"), (2 * hx, 2 * hx, 2 * hy, 2 * hy)
    walls = [Part(name, wall, _wall(corner, way, length, height, openings if name == "north" else []))
             for name, corner, way, length in zip(names, corners, along, lengths, strict=True)]  # fmt: skip
    items = [
        Item("floor", FLOOR, [Part("boards", floor, [rectangle((-hx, -hy, 0), (2 * hx, 0, 0), (0, 2 * hy, 0))])]),
        Item(
            "ceiling",
            CEILING,
            [Part("plaster", ceiling, [rectangle((-hx, -hy, height), (0, 2 * hy, 0), (2 * hx, 0, 0))])],
        ),
        Item("walls", WALL, walls),
        Item("skirting", OTHER_STRUCTURE, [Part("boards", trim, _skirting(half))]),
    ]
    return items + [item for opening in openings for item in _window(opening, hy, trim, wall)]


def sky_lights(half: tuple[float, float, float], openings: list[Opening], sky: Sky) -> list[Light]:
    """One area light for each window, just outside the wall's outer face."""
    return [
        Window(
            (o.x, half[1] + REVEAL + 0.01, o.sill + o.height / 2),
            (o.width / 2, 0.0, 0.0),
            (0.0, 0.0, o.height / 2),
            (0.0, -1.0, 0.0),
            sky,
        )
        for o in openings
    ]
