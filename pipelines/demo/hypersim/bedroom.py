"""A bedroom at dusk, lit by its lamps."""

import numpy as np

from .assembly import DRESSER, Item
from .decor import ball, curtain, pendant, picture, rug, sideboard, table_lamp, vase
from .furniture import bed, chair, night_stand
from .lights import Bulb, Sky
from .palette import (
    ABSTRACT,
    ASH,
    BEECH,
    BLANKET,
    BLUE_GREY,
    BRASS,
    CEILING_WHITE,
    CREAM,
    GLOWING_GLASS,
    GREEN_GLAZE,
    GREY_CARPET,
    LACQUER,
    LAMP_SHADE,
    MUSTARD,
    NAVY_CLOTH,
    RED_LACQUER,
    SHEET,
    SUNSET,
    TERRACOTTA,
)
from .shell import Opening, Room, door, shell, sky_lights

HALF = (2.7, 2.4, 2.6)
WINDOWS = [Opening(0.5, 0.85, 1.7, 1.4)]
DUSK = Sky((0.20, 0.32, 0.75), (1.3, 0.85, 0.60), (0.34, 0.33, 0.42), (0.05, 0.07, 0.06), (0.10, 0.13, 0.10))


def _sleeping() -> list[Item]:
    items = [i.placed(-1.0, 0.25) for i in rug(3.0, 2.5, GREY_CARPET)]
    items += [i.placed(-1.58, 0.25, yaw=np.pi / 2) for i in bed(1.6, BEECH, SHEET, BLANKET)]
    for y in (-0.9, 1.4):
        items += [i.placed(-2.46, y, yaw=np.pi / 2) for i in night_stand(BEECH, BRASS)]
        items += [i.placed(-2.46, y, 0.52) for i in table_lamp(GREEN_GLAZE, LAMP_SHADE)]
    return items + [i.placed(-2.7, 0.25, 1.65, np.pi / 2) for i in picture(1.2, 0.9, BRASS, SUNSET)]


def _along_walls(rng: np.random.Generator) -> list[Item]:
    items = [
        i.placed(2.46, 0.2, yaw=-np.pi / 2) for i in sideboard(1.3, BEECH, LACQUER, BRASS, 0.95, DRESSER, "dresser")
    ]
    items += [i.placed(2.45, 0.55, 0.95) for i in vase(0.34, TERRACOTTA)]
    items += [i.placed(2.45, -0.15, 0.95) for i in ball(0.09, RED_LACQUER)]
    items += [i.placed(2.7, 0.2, 1.65, -np.pi / 2) for i in picture(0.8, 0.6, BEECH, ABSTRACT)]
    items += [i.placed(-1.4, -2.16, yaw=np.pi) for i in sideboard(1.9, LACQUER, LACQUER, BRASS, 2.1, name="wardrobe")]
    items += [i.placed(1.75, 1.65, yaw=-0.7 + float(rng.uniform(-0.3, 0.3))) for i in chair(BEECH, MUSTARD)]
    items += [i.placed(1.0, -2.4, yaw=np.pi) for i in door(LACQUER, BRASS)]
    items += [i.placed(0.9, 0.15) for i in ball(0.2, CREAM, "pouf")]
    return items + [i.placed(x, 2.32, 0.05) for x in (-0.62, 1.62) for i in curtain(0.5, 2.4, NAVY_CLOTH)]


def build(rng: np.random.Generator) -> Room:
    """The room; `rng` turns the chair."""
    items = shell(HALF, WINDOWS, BLUE_GREY, ASH, CEILING_WHITE, LACQUER) + _sleeping() + _along_walls(rng)
    items += [i.placed(0.2, 0.1, HALF[2]) for i in pendant(0.45, 0.16, BRASS, GLOWING_GLASS)]
    lights = [
        *sky_lights(HALF, WINDOWS, DUSK),
        Bulb((0.2, 0.1, HALF[2] - 0.45), 0.16, (1.0, 0.78, 0.52)),
        *[Bulb((-2.46, y, 0.86), 0.03, (0.42, 0.28, 0.15), 12) for y in (-0.9, 1.4)],
    ]
    starts = [((1.85, -1.75, 1.5), (-0.9, 0.65, 0.75)), ((0.6, -1.9, 1.5), (-0.15, 1.2, 0.8))]
    return Room("Bedroom", HALF, items, lights, DUSK, starts)
