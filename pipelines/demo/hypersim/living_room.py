"""A living room with a wide window, a sofa corner and a low table in the sun."""

import numpy as np

from .assembly import SOFA, Item
from .decor import ball, bookshelf, bowl, curtain, floor_lamp, pendant, picture, rug, sideboard, topiary, vase
from .furniture import chair, round_table, sofa, table
from .lights import Bulb, Sky, Sun
from .materials import Material
from .shell import Opening, Room, door, shell, sky_lights

OAK = Material("oak_boards", (0.50, 0.32, 0.17), (0.34, 0.19, 0.09), "planks", 0.14, gloss=0.05, rough=0.02, bump=0.01)
WALLS = Material("warm_white_paint", (0.80, 0.77, 0.70), bump=0.02)
CEILING = Material("ceiling_paint", (0.86, 0.86, 0.84), bump=0.02)
TRIM = Material("white_lacquer", (0.84, 0.83, 0.80), gloss=0.03)
WALNUT = Material("walnut", (0.26, 0.14, 0.07), (0.17, 0.09, 0.045), "planks", 0.30, bump=0.01)
LINEN = Material("teal_linen", (0.10, 0.26, 0.28), (0.14, 0.33, 0.35), "weave", 0.012, bump=0.12)
CREAM = Material("cream_cloth", (0.72, 0.66, 0.54), (0.62, 0.55, 0.43), "weave", 0.014, bump=0.12)
MUSTARD = Material("mustard_cloth", (0.66, 0.40, 0.06), (0.56, 0.32, 0.05), "weave", 0.012, bump=0.12)
RUST = Material("striped_cloth", (0.55, 0.15, 0.08), (0.75, 0.62, 0.45), "stripes", 0.035, bump=0.1)
PILE = Material("carpet", (0.62, 0.58, 0.50), (0.20, 0.25, 0.33), "stripes", 0.22, bump=0.2)
BRASS = Material("brass", (0.42, 0.28, 0.10), gloss=0.35)
MARBLE = Material("marble", (0.82, 0.81, 0.79), (0.42, 0.42, 0.44), "marble", 0.35, gloss=0.06, bump=0.0)
PORCELAIN = Material("blue_glaze", (0.10, 0.20, 0.45), gloss=0.06, bump=0.0)
RED_BALL = Material("red_lacquer", (0.60, 0.05, 0.04), gloss=0.05, bump=0.0)
LEAVES = Material("leaves", (0.08, 0.22, 0.05), (0.18, 0.36, 0.09), "weave", 0.05, bump=0.5)
CLAY = Material("terracotta", (0.50, 0.23, 0.13), bump=0.05)
CURTAIN = Material("curtain_cloth", (0.70, 0.66, 0.58), (0.64, 0.60, 0.52), "weave", 0.01, bump=0.05)
GLOBE = Material("glowing_glass", (0.80, 0.78, 0.72), emission=(7.0, 5.6, 3.9))
SHADE = Material("lamp_shade", (0.80, 0.74, 0.62), emission=(1.9, 1.35, 0.8))
ART = Material("landscape_painting", (0.75, 0.45, 0.30), (0.16, 0.30, 0.48), "painting", 0.9)
ART_SMALL = Material("small_painting", (0.30, 0.45, 0.50), (0.80, 0.72, 0.50), "painting", 0.5)
SPINES = [Material(f"book_{k}", c) for k, c in enumerate(((0.45, 0.08, 0.07), (0.08, 0.20, 0.32), (0.60, 0.52, 0.36),
                                                           (0.10, 0.26, 0.16), (0.62, 0.36, 0.10), (0.16, 0.15, 0.17)))]  # fmt: skip


def _seating(rng: np.random.Generator) -> list[Item]:
    """Sofa, armchair, low table and what stands on it, about the carpet."""
    items = [i.placed(-0.3, -0.35) for i in rug(3.0, 2.2, PILE)]
    items += [i.placed(-2.2, -0.35, yaw=np.pi / 2) for i in sofa(2.3, LINEN, BRASS, [MUSTARD, RUST, CREAM])]
    turn = -0.75 + float(rng.uniform(-0.15, 0.15))
    items += [i.placed(1.05, 1.0, yaw=turn) for i in sofa(1.05, CREAM, WALNUT, [MUSTARD], SOFA, "armchair")]
    items += [i.placed(-0.35, -0.35, yaw=np.pi / 2) for i in table(1.2, 0.65, 0.42, MARBLE, WALNUT)]
    items += [i.placed(-0.35, -0.05, 0.42) for i in vase(0.30, PORCELAIN)]
    items += [i.placed(-0.30, -0.62, 0.42) for i in bowl(0.15, CLAY)]
    return items + [i.placed(0.75, -0.75) for i in ball(0.14, RED_BALL)]


def build(rng: np.random.Generator) -> Room:
    """The room; `rng` varies the books and small turns."""
    half = (3.5, 2.8, 2.75)
    window = [Opening(-0.6, 0.45, 3.2, 1.9)]
    sky = Sky()
    items = shell(half, window, WALLS, OAK, CEILING, TRIM) + _seating(rng)
    items += [i.placed(3.34, 0.9, yaw=-np.pi / 2) for i in bookshelf(1.6, 2.05, 5, WALNUT, SPINES, rng)]
    items += [i.placed(-0.8, -2.56, yaw=np.pi) for i in sideboard(1.9, WALNUT, TRIM, BRASS)]
    items += [i.placed(-1.3, -2.56, 0.78) for i in vase(0.36, CLAY)] + [i.placed(-0.2, -2.56, 0.78) for i in ball(0.1, BRASS)]
    items += [i.placed(-3.1, 1.55) for i in floor_lamp(BRASS, SHADE)] + [i.placed(2.6, 2.2) for i in topiary(1.75, CLAY, WALNUT, LEAVES)]
    items += [i.placed(-0.3, -0.3, half[2]) for i in pendant(0.55, 0.17, BRASS, GLOBE)]
    items += [i.placed(2.75, -1.3) for i in round_table(0.42, 0.72, MARBLE, BRASS)]
    items += [i.placed(2.65, -0.72, yaw=-0.15 + float(rng.uniform(-0.2, 0.2))) for i in chair(WALNUT, MUSTARD)]
    for x in (-2.5, 1.3):
        items += [i.placed(x, 2.72, 0.02) for i in curtain(0.55, 2.5, CURTAIN)]
    items += [i.placed(-3.5, -0.35, 1.65, np.pi / 2) for i in picture(1.3, 0.9, WALNUT, ART)]
    items += [i.placed(-0.8, -2.8, 1.6, np.pi) for i in picture(0.7, 0.5, BRASS, ART_SMALL)]
    items += [i.placed(2.2, -2.8, yaw=np.pi) for i in door(TRIM, BRASS)]
    lights = [
        *sky_lights(half, window, sky),
        Sun((-0.42, 0.75, 0.62), 0.02, (9.0, 8.0, 6.2)),
        Bulb((-0.3, -0.3, half[2] - 0.55), 0.17, (0.85, 0.66, 0.45)),
        Bulb((-3.1, 1.55, 1.5), 0.03, (0.75, 0.52, 0.30), 12),
    ]
    starts = [((1.75, -2.25, 1.5), (-0.8, 0.45, 0.7)), ((-2.6, -2.0, 1.5), (0.9, 0.3, 0.75))]
    return Room("Living room", half, items, lights, sky, starts)
