"""Where the stand-in has the vertices that SMPL-X's users know by number, and the marks of its face."""

import numpy as np
from numpy.typing import NDArray

from .joints import SMPLX_JOINTS

Floats = NDArray[np.float64]


def _arc(count: int, centre: tuple[float, float], radii: tuple[float, float], begin: float, end: float) -> Floats:
    """Places on an ellipse, angles in degrees from the x axis; x is the person's left."""
    angles = np.radians(np.linspace(begin, end, count))
    return np.stack([centre[0] + radii[0] * np.cos(angles), centre[1] + radii[1] * np.sin(angles)], 1)


# The 51 marks of iBUG without the jaw, in units of the distance between the eyes, from the point between them: brows
# from the person's right to left, nose down and across, eyes, outer and inner lips.
FACE_MARKS = np.concatenate([
    _arc(5, (-0.5, 0.15), (0.4, 0.22), 170, 20), _arc(5, (0.5, 0.15), (0.4, 0.22), 160, 10),
    np.stack([np.zeros(4), np.linspace(0.0, -0.55, 4)], 1),
    np.stack([np.linspace(-0.22, 0.22, 5), [-0.66, -0.69, -0.71, -0.69, -0.66]], 1),
    _arc(6, (-0.5, 0.0), (0.22, 0.08), 180, -120), _arc(6, (0.5, 0.0), (0.22, 0.08), 180, -120),
    _arc(12, (0.0, -1.05), (0.38, 0.16), 180, -150), _arc(8, (0.0, -1.05), (0.3, 0.06), 180, -135),
])  # fmt: skip
JAW_MARKS = _arc(17, (0.0, -0.2), (1.1, 1.55), 180, 360)
_FINGERS = {"thumb": "thumb3", "index": "index3", "middle": "middle3", "ring": "ring3", "pinky": "pinky3"}


def vertex_order(template: Floats, weights: Floats) -> NDArray[np.int64]:
    """(V,) an order that puts finger tips, toes, heels, nose, eyes and ears at the numbers where SMPL-X has them.

    Args:
        template: (V, 3) in the T pose, y up, looking along +z, x to the left.
        weights: (V, 55) skinning weights.
    """
    from smplx.vertex_ids import vertex_ids

    order = np.arange(len(template))
    at = np.arange(len(template))  # where each vertex stands by now
    for name, number in vertex_ids["smplx"].items():
        vertex = _vertex(name, template, weights)
        other = order[number]
        order[number], order[at[vertex]] = vertex, other
        at[other], at[vertex] = at[vertex], number
    return order


def _vertex(name: str, template: Floats, weights: Floats) -> int:
    """The vertex for one of the names that the smplx package has for them."""
    owner = weights.argmax(1)

    def farthest(joint: str, *direction: float) -> int:
        mine = np.flatnonzero(owner == SMPLX_JOINTS.index(joint))
        return int(mine[(template[mine] @ np.array(direction)).argmax()])

    side, x = ("left", 1.0) if name.lower().startswith("l") else ("right", -1.0)
    rest = name[1:]
    if rest in _FINGERS:
        return farthest(f"{side}_{_FINGERS[rest]}", x, 0, 1.0 if rest == "thumb" else 0)
    places = {
        "nose": ("head", 0.0, 0.0, 1.0), "eye": (f"{side}_eye", 0.0, 0.0, 1.0), "ear": ("head", x, 0.0, 0.0),
        "BigToe": (f"{side}_foot", -0.3 * x, 0.0, 1.0), "SmallToe": (f"{side}_foot", x, 0.0, 0.5),
        "Heel": (f"{side}_ankle", 0.0, -0.3, -1.0),
    }  # fmt: skip
    joint, *direction = places["nose" if name == "nose" else rest]
    return farthest(joint, *direction)
