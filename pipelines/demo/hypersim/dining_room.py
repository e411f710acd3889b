"""A dining room in morning sun: long table, six chairs, two windows, a tiled floor that mirrors."""

import numpy as np

from .assembly import Item
from .decor import ball, bowl, curtain, pendant, picture, rug, sideboard, topiary, vase
from .furniture import chair, table
from .lights import Bulb, Sky, Sun
from .palette import (
    ABSTRACT,
    BLACK_METAL,
    BLUE_GLAZE,
    BRASS,
    CEILING_WHITE,
    CLAY_PAINT,
    CREAM,
    CURTAIN_CLOTH,
    GLOWING_GLASS,
    GREEN_GLAZE,
    LACQUER,
    LEAVES,
    MORNING,
    OAK,
    RED_CARPET,
    RED_LACQUER,
    SLATE,
    TERRACOTTA,
    WALNUT,
)
from .shell import Opening, Room, door, shell, sky_lights

HALF = (3.2, 2.6, 2.9)
WINDOWS = [Opening(-1.45, 0.2, 1.5, 2.3), Opening(1.45, 0.2, 1.5, 2.3)]


def _meal(rng: np.random.Generator) -> list[Item]:
    items = [i.placed(0.0, 0.1) for i in rug(3.4, 2.4, RED_CARPET)]
    items += [i.placed(0.0, 0.1) for i in table(2.1, 1.0, 0.75, OAK, WALNUT)]
    for x in (-0.65, 0.0, 0.65):
        for y, yaw in ((-0.62, np.pi), (0.82, 0.0)):
            turn = yaw + float(rng.uniform(-0.2, 0.2))
            items += [i.placed(x, y + 0.06 * np.sin(9 * x), yaw=turn) for i in chair(WALNUT, CREAM)]
    items += [i.placed(-0.45, 0.15, 0.75) for i in bowl(0.17, BLUE_GLAZE)]
    for angle in (0.3, 2.4, 4.5):
        spot = (-0.45 + 0.055 * np.cos(angle), 0.15 + 0.055 * np.sin(angle))
        items += [i.placed(*spot, 0.775) for i in ball(0.042, RED_LACQUER, "apple")]
    return items + [i.placed(0.5, 0.05, 0.75) for i in vase(0.32, GREEN_GLAZE)]


def _along_walls() -> list[Item]:
    items = [i.placed(-2.96, -0.3, yaw=np.pi / 2) for i in sideboard(2.0, WALNUT, WALNUT, BRASS)]
    items += [i.placed(-2.96, -0.9, 0.78) for i in vase(0.42, TERRACOTTA)]
    items += [i.placed(-2.96, 0.35, 0.78) for i in ball(0.13, BRASS)]
    items += [i.placed(-3.2, -0.3, 1.7, np.pi / 2) for i in picture(1.1, 0.8, BLACK_METAL, ABSTRACT)]
    items += [i.placed(3.2, 0.1, 1.65, -np.pi / 2) for i in picture(0.8, 0.5, WALNUT, MORNING)]
    items += [i.placed(2.97, 0.1, yaw=-np.pi / 2) for i in sideboard(1.4, LACQUER, OAK, BRASS, 0.9)]
    items += [i.placed(2.95, -0.25, 0.9) for i in bowl(0.16, TERRACOTTA)]
    items += [i.placed(0.0, 2.2) for i in topiary(1.7, BLUE_GLAZE, WALNUT, LEAVES)]
    items += [i.placed(x, 2.52, 0.02) for x in (-2.5, -0.45, 0.45, 2.5) for i in curtain(0.4, 2.65, CURTAIN_CLOTH)]
    return items + [i.placed(1.9, -2.6, yaw=np.pi) for i in door(LACQUER, BRASS)]


def build(rng: np.random.Generator) -> Room:
    """The room; `rng` turns the chairs."""
    sky = Sky()
    items = shell(HALF, WINDOWS, CLAY_PAINT, SLATE, CEILING_WHITE, LACQUER) + _meal(rng) + _along_walls()
    items += [i.placed(x, 0.1, HALF[2]) for x in (-0.6, 0.6) for i in pendant(1.05, 0.14, BLACK_METAL, GLOWING_GLASS)]
    lights = [
        *sky_lights(HALF, WINDOWS, sky),
        Sun((0.62, 0.80, 0.75), 0.02, (8.0, 7.0, 5.2)),
        *[Bulb((x, 0.1, HALF[2] - 1.05), 0.14, (0.50, 0.38, 0.25)) for x in (-0.6, 0.6)],
    ]
    starts = [((2.3, -2.0, 1.55), (-0.7, 0.7, 0.8)), ((-2.2, -2.0, 1.5), (0.7, 0.7, 0.8))]
    return Room("Dining room", HALF, items, lights, sky, starts)
