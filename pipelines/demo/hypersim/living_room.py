"""A living room on a sunny afternoon: wide window, sofa corner, low table."""

import numpy as np

from .assembly import SOFA, Item
from .decor import ball, bookshelf, bowl, curtain, floor_lamp, pendant, picture, rug, sideboard, topiary, vase
from .furniture import chair, round_table, sofa, table
from .lights import Bulb, Sky, Sun
from .palette import (
    BLUE_CARPET,
    BLUE_GLAZE,
    BRASS,
    CEILING_WHITE,
    CREAM,
    CURTAIN_CLOTH,
    GLOWING_GLASS,
    LACQUER,
    LAMP_SHADE,
    LEAVES,
    MARBLE,
    MORNING,
    MUSTARD,
    OAK,
    RED_LACQUER,
    SPINES,
    STRIPED,
    SUNSET,
    TEAL,
    TERRACOTTA,
    WALNUT,
    WARM_WHITE,
)
from .shell import Opening, Room, door, shell, sky_lights

HALF = (3.5, 2.8, 2.75)
WINDOWS = [Opening(-0.6, 0.45, 3.2, 1.9)]


def _seating(rng: np.random.Generator) -> list[Item]:
    items = [i.placed(-0.3, -0.35) for i in rug(3.0, 2.2, BLUE_CARPET)]
    items += [i.placed(-2.2, -0.35, yaw=np.pi / 2) for i in sofa(2.3, TEAL, BRASS, [MUSTARD, STRIPED, CREAM])]
    turn = -0.75 + float(rng.uniform(-0.15, 0.15))
    items += [i.placed(1.05, 1.0, yaw=turn) for i in sofa(1.05, CREAM, WALNUT, [MUSTARD], SOFA, "armchair")]
    items += [i.placed(-0.35, -0.35, yaw=np.pi / 2) for i in table(1.2, 0.65, 0.42, MARBLE, WALNUT)]
    items += [i.placed(-0.35, -0.05, 0.42) for i in vase(0.30, BLUE_GLAZE)]
    items += [i.placed(-0.30, -0.62, 0.42) for i in bowl(0.15, TERRACOTTA)]
    items += [i.placed(2.75, -1.3) for i in round_table(0.42, 0.72, MARBLE, BRASS)]
    items += [i.placed(2.65, -0.72, yaw=-0.15 + float(rng.uniform(-0.2, 0.2))) for i in chair(WALNUT, MUSTARD)]
    return items + [i.placed(0.75, -0.75) for i in ball(0.14, RED_LACQUER)]


def _along_walls(rng: np.random.Generator) -> list[Item]:
    items = [i.placed(3.34, 0.9, yaw=-np.pi / 2) for i in bookshelf(1.6, 2.05, 5, WALNUT, SPINES, rng)]
    items += [i.placed(-0.8, -2.56, yaw=np.pi) for i in sideboard(1.9, WALNUT, LACQUER, BRASS)]
    items += [i.placed(-1.3, -2.56, 0.78) for i in vase(0.36, TERRACOTTA)]
    items += [i.placed(-0.2, -2.56, 0.78) for i in ball(0.1, BRASS)]
    items += [i.placed(2.6, 2.2) for i in topiary(1.75, TERRACOTTA, WALNUT, LEAVES)]
    items += [i.placed(x, 2.72, 0.02) for x in (-2.5, 1.3) for i in curtain(0.55, 2.5, CURTAIN_CLOTH)]
    items += [i.placed(-3.5, -0.35, 1.65, np.pi / 2) for i in picture(1.3, 0.9, WALNUT, SUNSET)]
    items += [i.placed(-0.8, -2.8, 1.6, np.pi) for i in picture(0.7, 0.5, BRASS, MORNING)]
    return items + [i.placed(2.2, -2.8, yaw=np.pi) for i in door(LACQUER, BRASS)]


def build(rng: np.random.Generator) -> Room:
    """The room; `rng` varies the books and small turns."""
    sky = Sky()
    items = shell(HALF, WINDOWS, WARM_WHITE, OAK, CEILING_WHITE, LACQUER) + _seating(rng) + _along_walls(rng)
    items += [i.placed(-3.1, 1.55) for i in floor_lamp(BRASS, LAMP_SHADE)]
    items += [i.placed(-0.3, -0.3, HALF[2]) for i in pendant(0.55, 0.17, BRASS, GLOWING_GLASS)]
    lights = [
        *sky_lights(HALF, WINDOWS, sky),
        Sun((-0.42, 0.75, 0.62), 0.02, (9.0, 8.0, 6.2)),
        Bulb((-0.3, -0.3, HALF[2] - 0.55), 0.17, (0.85, 0.66, 0.45)),
        Bulb((-3.1, 1.55, 1.5), 0.03, (0.75, 0.52, 0.30), 12),
    ]
    starts = [((2.1, -2.35, 1.5), (-0.85, 0.3, 0.72)), ((-2.6, -2.0, 1.5), (0.9, 0.3, 0.75))]
    return Room("Living room", HALF, items, lights, sky, starts)
