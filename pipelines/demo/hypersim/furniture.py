"""Seats, tables and beds of the demo rooms; each function gives items about the origin, front towards -y."""

import numpy as np

from .assembly import BED, CHAIR, NIGHT_STAND, PILLOW, SOFA, TABLE, Item, Part
from .materials import Material
from .surfaces import Patch, block, cylinder


def corner_legs(width: float, depth: float, height: float, thick: float) -> list[Patch]:
    """Four square legs under a rectangle of width x depth metres."""
    legs: list[Patch] = []
    for x in (-width / 2, width / 2 - thick):
        for y in (-depth / 2, depth / 2 - thick):
            legs += block((x, y, 0.0), (x + thick, y + thick, height), 0.006)
    return legs


def table(width: float, depth: float, height: float, top: Material, leg: Material, semantic: int = TABLE,
          name: str = "table") -> list[Item]:  # fmt: skip
    """A four-legged table with an apron."""
    slab = block((-width / 2, -depth / 2, height - 0.035), (width / 2, depth / 2, height), 0.01)
    inset = 0.06
    frame = corner_legs(width - inset, depth - inset, height - 0.035, 0.055)
    for y in (-depth / 2 + 0.05, depth / 2 - 0.07):
        frame += block((-width / 2 + 0.07, y, height - 0.11), (width / 2 - 0.07, y + 0.02, height - 0.035))
    return [Item(name, semantic, [Part("top", top, slab), Part("frame", leg, frame)])]


def round_table(radius: float, height: float, top: Material, leg: Material) -> list[Item]:
    """A round table on one column and a foot."""
    foot = cylinder(radius * 0.55, radius * 0.5, 0.0, 0.02) + cylinder(0.04, 0.035, 0.02, height - 0.03)
    return [Item("round_table", TABLE, [Part("top", top, cylinder(radius, radius, height - 0.03, height, segments=64)),
                                        Part("foot", leg, foot)])]  # fmt: skip


def chair(wood: Material, seat: Material) -> list[Item]:
    """A dining chair with a padded seat and three back slats."""
    legs = corner_legs(0.42, 0.42, 0.43, 0.035)
    for x in (-0.21, 0.175):
        legs += block((x, 0.175, 0.43), (x + 0.035, 0.21, 0.92), 0.006)
    slats = [p for z in (0.55, 0.68, 0.81) for p in block((-0.18, 0.18, z), (0.18, 0.2, z + 0.08), 0.006)]
    pad = block((-0.215, -0.215, 0.43), (0.215, 0.19, 0.48), 0.02, 3)
    return [Item("chair", CHAIR, [Part("seat", seat, pad), Part("frame", wood, legs), Part("slats", wood, slats)])]


def office_chair(shell: Material, metal: Material) -> list[Item]:
    """A swivel chair: star foot, column, seat and back."""
    foot = cylinder(0.03, 0.03, 0.06, 0.44) + cylinder(0.30, 0.05, 0.02, 0.07, segments=40)
    seat = block((-0.24, -0.24, 0.44), (0.24, 0.22, 0.53), 0.04, 4)
    back = block((-0.22, 0.19, 0.60), (0.22, 0.26, 1.08), 0.034, 4)
    post = block((-0.03, 0.22, 0.48), (0.03, 0.24, 0.66))
    return [Item("office_chair", CHAIR, [Part("seat", shell, seat + back), Part("foot", metal, foot + post)])]


def sofa(width: float, cloth: Material, leg: Material, cushions: list[Material], semantic: int = SOFA,
         name: str = "sofa") -> list[Item]:  # fmt: skip
    """A sofa (or armchair) `width` metres wide and 0.95 deep, one loose cushion for each material given."""
    half, arm = width / 2, 0.2
    body = block((-half, -0.45, 0.09), (half, 0.45, 0.27), 0.03, 3)
    body += block((-half, 0.22, 0.25), (half, 0.47, 0.80), 0.07, 4)
    for x in (-half, half - arm):
        body += block((x, -0.46, 0.09), (x + arm, 0.40, 0.60), 0.06, 4)
    seats = max(1, round((width - 2 * arm) / 0.75))
    step = (width - 2 * arm) / seats
    pads: list[Patch] = []
    for k in range(seats):
        left = -half + arm + k * step
        pads += block((left + 0.004, -0.48, 0.26), (left + step - 0.004, 0.24, 0.44), 0.05, 4)
    legs = [p for x in (-half + 0.06, half - 0.06) for y in (-0.38, 0.38)
            for p in cylinder(0.018, 0.028, 0.0, 0.09, (x, y, 0.0), 16)]  # fmt: skip
    items = [Item(name, semantic, [Part("body", cloth, body), Part("seat", cloth, pads), Part("legs", leg, legs)])]
    spots = np.linspace(-half + arm + 0.24, half - arm - 0.24, len(cushions)) if len(cushions) > 1 else [0.1]
    for k, (x, cover) in enumerate(zip(spots, cushions, strict=True)):
        pad = block((-0.21, -0.065, 0.0), (0.21, 0.065, 0.4), 0.062, 5)
        items += [
            Item("cushion", PILLOW, [Part("cover", cover, pad)]).placed(float(x), 0.15, 0.438, 0.12 - 0.2 * (k % 2))
        ]
    return items


def bed(width: float, frame: Material, sheet: Material, blanket: Material) -> list[Item]:
    """A bed 2.1 m long, head towards +y, with a blanket and two pillows."""
    half = width / 2
    wood = block((-half - 0.04, 0.98, 0.0), (half + 0.04, 1.05, 1.05), 0.02, 3)
    wood += block((-half - 0.03, -1.06, 0.12), (half + 0.03, 0.98, 0.30), 0.015)
    wood += [
        p for x in (-half, half - 0.08) for y in (-1.02, 0.85) for p in block((x, y, 0.0), (x + 0.08, y + 0.08, 0.12))
    ]
    mattress = block((-half, -1.03, 0.28), (half, 0.97, 0.50), 0.05, 4)
    cover = block((-half - 0.025, -1.055, 0.24), (half + 0.025, 0.38, 0.55), 0.06, 5)
    items = [
        Item(
            "bed", BED, [Part("frame", frame, wood), Part("mattress", sheet, mattress), Part("blanket", blanket, cover)]
        )
    ]
    for x in (-half / 2, half / 2):
        pad = block((x - 0.30, 0.50, 0.49), (x + 0.30, 0.92, 0.64), 0.07, 5)
        items.append(Item("pillow", PILLOW, [Part("cover", sheet, pad)]))
    return items


def night_stand(wood: Material, knob: Material) -> list[Item]:
    """A small cabinet with two drawers."""
    body = block((-0.22, -0.19, 0.06), (0.22, 0.20, 0.52), 0.008) + corner_legs(0.42, 0.36, 0.06, 0.04)
    fronts = [p for z in (0.09, 0.30) for p in block((-0.2, -0.205, z), (0.2, -0.19, z + 0.19), 0.005)]
    knobs = [p for z in (0.18, 0.39) for p in block((-0.02, -0.228, z), (0.02, -0.205, z + 0.02), 0.006)]
    return [Item("night_stand", NIGHT_STAND, [Part("body", wood, body), Part("drawers", wood, fronts),
                                              Part("knobs", knob, knobs)])]  # fmt: skip
