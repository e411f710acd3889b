"""A study on a grey day: desk at the window, shelves, a reading corner."""

import numpy as np

from .assembly import DESK, SOFA, Item
from .decor import ball, bin_, bookshelf, curtain, floor_lamp, globe, pendant, picture, rug, table_lamp, topiary, vase
from .furniture import office_chair, round_table, sofa, table
from .lights import Bulb, Sky
from .palette import (
    BEECH,
    BLACK_METAL,
    BLUE_CARPET,
    BRASS,
    CEILING_WHITE,
    DARK_OAK,
    GLOWING_GLASS,
    GREEN_GLAZE,
    LACQUER,
    LAMP_SHADE,
    LEATHER,
    LEAVES,
    MAP,
    MARBLE,
    MORNING,
    NAVY_CLOTH,
    RED_LACQUER,
    SAGE,
    SPINES,
    STRIPED,
    SUNSET,
    TERRACOTTA,
    WALNUT,
)
from .shell import Opening, Room, door, shell, sky_lights

HALF = (2.9, 2.4, 2.7)
WINDOWS = [Opening(0.3, 0.8, 2.2, 1.5)]
OVERCAST = Sky((3.4, 3.6, 3.9), (4.4, 4.5, 4.6), (1.5, 1.6, 1.7), (0.30, 0.36, 0.26), (0.55, 0.62, 0.42))


def _desk(rng: np.random.Generator) -> list[Item]:
    items = [i.placed(0.3, 1.75) for i in table(1.7, 0.75, 0.74, BEECH, BLACK_METAL, DESK, "desk")]
    items += [
        i.placed(0.25, 1.0, yaw=np.pi + 0.5 + float(rng.uniform(-0.3, 0.3))) for i in office_chair(LEATHER, BLACK_METAL)
    ]
    items += [i.placed(0.9, 1.85, 0.74) for i in globe(BRASS, MAP)]
    items += [i.placed(-0.3, 1.9, 0.74) for i in table_lamp(GREEN_GLAZE, LAMP_SHADE)]
    return items + [i.placed(1.45, 1.6) for i in bin_(0.15, BLACK_METAL)]


def _reading() -> list[Item]:
    items = [i.placed(0.1, -0.5) for i in rug(2.6, 1.9, BLUE_CARPET)]
    items += [
        i.placed(1.75, -0.55, yaw=-np.pi / 2 - 0.25) for i in sofa(1.1, LEATHER, WALNUT, [STRIPED], SOFA, "armchair")
    ]
    items += [i.placed(0.55, -0.75) for i in round_table(0.34, 0.46, MARBLE, BRASS)]
    items += [i.placed(0.5, -0.75, 0.46) for i in vase(0.24, TERRACOTTA)]
    return items + [i.placed(-0.65, -0.3) for i in ball(0.16, RED_LACQUER)]


def _along_walls(rng: np.random.Generator) -> list[Item]:
    shelves = [
        i
        for y in (0.6, -0.9)
        for i in (j.placed(-2.74, y, yaw=np.pi / 2) for j in bookshelf(1.45, 2.2, 6, WALNUT, SPINES, rng))
    ]
    items = shelves + [i.placed(2.9, -0.5, 1.7, -np.pi / 2) for i in picture(1.2, 0.9, BRASS, SUNSET)]
    items += [i.placed(-0.7, -2.4, 1.6, np.pi) for i in picture(0.7, 0.5, BEECH, MORNING)]
    items += [i.placed(2.45, 1.85) for i in topiary(1.55, TERRACOTTA, WALNUT, LEAVES)]
    items += [i.placed(1.2, -2.4, yaw=np.pi) for i in door(LACQUER, BRASS)]
    return items + [i.placed(x, 2.32, 0.05) for x in (-1.1, 1.7) for i in curtain(0.5, 2.45, NAVY_CLOTH)]


def build(rng: np.random.Generator) -> Room:
    """The room; `rng` varies the books and turns the chair."""
    items = shell(HALF, WINDOWS, SAGE, DARK_OAK, CEILING_WHITE, LACQUER) + _desk(rng) + _reading() + _along_walls(rng)
    items += [i.placed(2.4, -1.6) for i in floor_lamp(BLACK_METAL, LAMP_SHADE)]
    items += [i.placed(-0.2, 0.1, HALF[2]) for i in pendant(0.5, 0.16, BLACK_METAL, GLOWING_GLASS)]
    lights = [
        *sky_lights(HALF, WINDOWS, OVERCAST),
        Bulb((-0.2, 0.1, HALF[2] - 0.5), 0.16, (0.70, 0.55, 0.38)),
        Bulb((2.4, -1.6, 1.5), 0.03, (0.70, 0.48, 0.27), 12),
        Bulb((-0.3, 1.9, 1.08), 0.03, (0.35, 0.24, 0.14), 12),
    ]
    starts = [((-1.9, -1.9, 1.5), (0.7, 0.7, 0.75)), ((1.75, -1.9, 1.55), (-0.75, 1.3, 0.85))]
    return Room("Office", HALF, items, lights, OVERCAST, starts)
