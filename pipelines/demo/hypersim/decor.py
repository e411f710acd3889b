"""Storage, lamps and ornaments of the demo rooms; items about the origin, front towards -y."""

import numpy as np

from .assembly import (
    BOOKS,
    BOOKSHELF,
    BOX,
    CABINET,
    CURTAIN,
    FLOOR_MAT,
    LAMP,
    OTHER_FURNITURE,
    OTHER_PROP,
    PICTURE,
    Item,
    Part,
)
from .materials import Material
from .surfaces import Patch, block, cylinder, drape, rectangle, revolve, sphere


def bookshelf(width: float, height: float, levels: int, wood: Material, spines: list[Material],
              rng: np.random.Generator) -> list[Item]:  # fmt: skip
    """An open shelf 0.3 m deep against +y, its levels part filled with books drawn from `rng`."""
    half, board, depth = width / 2, 0.025, 0.3
    case = block((-half, -depth / 2, 0.0), (-half + board, depth / 2, height))
    case += block((half - board, -depth / 2, 0.0), (half, depth / 2, height))
    case += block((-half + board, depth / 2 - 0.01, 0.0), (half - board, depth / 2, height))
    step = (height - 0.06) / levels
    for level in range(levels + 1):
        z = 0.03 + level * step
        case += block((-half + board, -depth / 2, z - board), (half - board, depth / 2 - 0.01, z))
    items = [Item("bookshelf", BOOKSHELF, [Part("case", wood, case)])]
    for level in range(levels):
        books = _books(width - 2 * board - 0.02, step - board - 0.03, spines, rng)
        items += [book.placed(-half + board + 0.01, -depth / 2 + 0.03, 0.03 + level * step) for book in books]
    return items


def _books(width: float, room: float, spines: list[Material], rng: np.random.Generator) -> list[Item]:
    """A row of upright books from x = 0, spines at y = 0; one item for each run of one material."""
    x, runs = float(rng.uniform(0.0, 0.1)), []
    stop = width * float(rng.uniform(0.45, 0.95))
    while x < stop:
        volumes: list[Patch] = []
        for _ in range(int(rng.integers(1, 5))):
            thick, tall, deep = (
                rng.uniform(0.018, 0.045),
                rng.uniform(0.6, 0.95) * min(room, 0.3),
                rng.uniform(0.15, 0.22),
            )
            if x + thick < width:
                front = float(rng.uniform(0.0, 0.012))
                volumes += block((x, front, 0.0), (x + thick, front + deep, tall), 0.003, 1)
            x += float(thick)
        if volumes:
            runs.append(Item("books", BOOKS, [Part("covers", spines[int(rng.integers(len(spines)))], volumes)]))
    return runs


def sideboard(width: float, wood: Material, front: Material, knob: Material, height: float = 0.78,
              semantic: int = CABINET, name: str = "sideboard") -> list[Item]:  # fmt: skip
    """A closed cabinet 0.45 m deep with doors, on a plinth."""
    half = width / 2
    body = block((-half, -0.2, 0.08), (half, 0.225, height), 0.008) + block(
        (-half + 0.04, -0.15, 0.0), (half - 0.04, 0.2, 0.08)
    )
    doors = max(2, round(width / 0.48))
    step = (width - 0.04) / doors
    fronts, knobs = [], []
    for k in range(doors):
        left = -half + 0.02 + k * step
        fronts += block((left + 0.004, -0.22, 0.1), (left + step - 0.004, -0.2, height - 0.03), 0.005)
        handle = left + (step - 0.05 if k % 2 == 0 else 0.03)
        knobs += block((handle, -0.24, height * 0.5), (handle + 0.02, -0.22, height * 0.5 + 0.14), 0.006)
    return [
        Item(name, semantic, [Part("body", wood, body), Part("doors", front, fronts), Part("handles", knob, knobs)])
    ]


def _shade(low: float, high: float, bottom: float, top: float) -> list[Patch]:
    """An open lamp shade: outer and inner skin 4 mm apart, so that light from within leaves above and below."""
    inner = revolve([(high - 0.004, top), (low - 0.004, bottom)], 40)
    return [revolve([(low, bottom), (high, top)], 40), inner]


def floor_lamp(metal: Material, shade: Material) -> list[Item]:
    """A standing lamp; its bulb belongs at height 1.50 m."""
    stand = cylinder(0.15, 0.14, 0.0, 0.025, segments=40) + cylinder(0.012, 0.012, 0.025, 1.40)
    return [
        Item("floor_lamp", LAMP, [Part("stand", metal, stand), Part("shade", shade, _shade(0.22, 0.15, 1.36, 1.66))])
    ]


def table_lamp(pottery: Material, shade: Material) -> list[Item]:
    """A small lamp on a round foot; its bulb belongs at height 0.34 m."""
    foot = [sphere(0.085, (0.0, 0.0, 0.085), 32), *cylinder(0.012, 0.012, 0.165, 0.29, segments=16)]
    return [
        Item("table_lamp", LAMP, [Part("foot", pottery, foot), Part("shade", shade, _shade(0.15, 0.10, 0.26, 0.44))])
    ]


def pendant(height: float, radius: float, metal: Material, glow: Material) -> list[Item]:
    """A globe that hangs from z = 0 by a rod, its centre `height` metres below."""
    rod = cylinder(0.006, 0.006, -height + radius, 0.0, segments=12) + cylinder(0.06, 0.06, -0.02, 0.0, segments=24)
    return [
        Item("pendant", LAMP, [Part("rod", metal, rod), Part("globe", glow, [sphere(radius, (0.0, 0.0, -height))])])
    ]


def picture(width: float, height: float, frame: Material, canvas: Material) -> list[Item]:
    """A framed picture whose back touches y = 0, centred at z = 0."""
    w, h, b = width / 2, height / 2, 0.03
    edge = block((-w - b, -0.03, -h - b), (-w, 0.0, h + b)) + block((w, -0.03, -h - b), (w + b, 0.0, h + b))
    edge += block((-w, -0.03, h), (w, 0.0, h + b)) + block((-w, -0.03, -h - b), (w, 0.0, -h))
    face = rectangle((-w, -0.012, -h), (width, 0.0, 0.0), (0.0, 0.0, height))
    return [Item("picture", PICTURE, [Part("frame", frame, edge), Part("canvas", canvas, [face])])]


def rug(width: float, depth: float, pile: Material) -> list[Item]:
    """A carpet 12 mm thick."""
    return [
        Item(
            "rug",
            FLOOR_MAT,
            [Part("pile", pile, block((-width / 2, -depth / 2, 0.0), (width / 2, depth / 2, 0.012), 0.005))],
        )
    ]


def curtain(width: float, height: float, cloth: Material) -> list[Item]:
    """A hanging curtain, centred, its rings at z = height."""
    folds = max(2, round(width / 0.14))
    front = drape((-width / 2, 0.0, 0.0), (width, 0.0, 0.0), height, folds, 0.035)
    back = drape((width / 2, 0.004, 0.0), (-width, 0.0, 0.0), height, folds, 0.035)
    return [Item("curtain", CURTAIN, [Part("cloth", cloth, [front, back])])]


def vase(height: float, glaze: Material) -> list[Item]:
    """A round-bellied vase."""
    t = np.linspace(0.0, 1.0, 33)
    radius = height * (0.17 + 0.16 * np.sin(np.pi * np.clip(t * 1.25, 0, 1)) ** 1.5 * (1 - 0.35 * t) - 0.07 * t**3)
    body = revolve(np.stack([radius, t * height], axis=1), 48)
    inside = revolve([(radius[-1] - 0.006, height), (radius[-1] - 0.006, height * 0.7), (0.0, height * 0.7)], 32)
    return [Item("vase", OTHER_PROP, [Part("body", glaze, [body, inside])])]


def ball(radius: float, skin: Material, name: str = "ball") -> list[Item]:
    """A sphere that rests on z = 0."""
    return [Item(name, OTHER_PROP, [Part("skin", skin, [sphere(radius, (0.0, 0.0, radius), 64)])])]


def globe(metal: Material, map_skin: Material) -> list[Item]:
    """A desk globe on a foot."""
    foot = cylinder(0.09, 0.07, 0.0, 0.02) + cylinder(0.01, 0.01, 0.02, 0.09, segments=12)
    return [
        Item(
            "globe",
            OTHER_PROP,
            [Part("foot", metal, foot), Part("map", map_skin, [sphere(0.13, (0.0, 0.0, 0.21), 64)])],
        )
    ]


def topiary(height: float, pot: Material, bark: Material, leaf: Material) -> list[Item]:
    """A potted tree with ball-shaped crowns."""
    vessel = cylinder(0.13, 0.18, 0.0, 0.32, segments=40)
    crown = [sphere(0.26, (0.0, 0.0, height - 0.3), 40), sphere(0.18, (0.08, 0.05, height - 0.02), 32)]
    crown += [sphere(0.15, (-0.16, -0.08, height - 0.14), 32)]
    stem = Part("stem", bark, cylinder(0.02, 0.016, 0.32, height - 0.4))
    return [Item("plant", OTHER_FURNITURE, [Part("pot", pot, vessel), stem, Part("leaves", leaf, crown)])]


def bin_(radius: float, skin: Material) -> list[Item]:
    """A cylindrical waste bin."""
    wall = [
        revolve([(radius * 0.85, 0.0), (radius, 0.32)], 40),
        revolve([(radius - 0.005, 0.32), (radius * 0.85 - 0.005, 0.0)], 40),
    ]
    floor = revolve([(radius * 0.85, 0.01), (0.0, 0.01)], 40)
    return [Item("bin", BOX, [Part("wall", skin, [*wall, floor])])]


def bowl(radius: float, glaze: Material) -> list[Item]:
    """An empty half-round bowl, open at the top."""
    angle = np.linspace(-np.pi / 2, -0.15, 17)
    outer = np.stack([radius * np.cos(angle), radius * (1 + np.sin(angle))], axis=1)
    outer[0, 0] = 0.0
    inner = outer[::-1] * np.array([0.95, 1.0]) + np.array([0.0, 0.006])
    return [Item("bowl", OTHER_PROP, [Part("body", glaze, [revolve(outer, 40), revolve(inner, 40)])])]
