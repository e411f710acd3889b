"""Faces of a mesh that cross other faces of it."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .mesh_tree import STACK, MeshTree
from .threads import in_threads

CHUNK = 1 << 11  # nodes that one thread compares one after the other


def crossing_faces(tree: MeshTree, corners: NDArray[np.int64], threads: int = 1) -> NDArray[np.bool_]:
    """Which faces an edge of another face goes through, or which have an edge that goes through another.

    Faces that only touch at a common corner or edge do not cross, nor do those that lie in one plane. A crossing of
    two faces shows as an edge of one that goes through the other.

    Args:
        tree: of the mesh.
        corners: (F, 3) places of the faces' corners.
        threads: that share the work.

    Returns:
        (F,) bool.
    """
    crossing = np.zeros(len(tree.faces), bool)
    places = np.ascontiguousarray(corners[tree.order], np.int32)

    def one(start: int) -> None:
        _cross(start, start + CHUNK, tree.boxes, tree.children, tree.triangles, places, tree.order, crossing)

    in_threads(one, range(0, len(tree.children), CHUNK), threads)
    return crossing


@njit(cache=True, nogil=True)
def _through(t: Any, ax: float, ay: float, az: float, bx: float, by: float, bz: float) -> bool:
    """Whether a segment goes through the inside of a triangle (T. Moeller and B. Trumbore, 1997)."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    px, py, pz = uy * t[8] - uz * t[7], uz * t[6] - ux * t[8], ux * t[7] - uy * t[6]
    det = t[3] * px + t[4] * py + t[5] * pz
    if det == 0:
        return False
    sx, sy, sz = ax - t[0], ay - t[1], az - t[2]
    u = (sx * px + sy * py + sz * pz) / det
    if not 0 < u < 1:
        return False
    qx, qy, qz = sy * t[5] - sz * t[4], sz * t[3] - sx * t[5], sx * t[4] - sy * t[3]
    v = (ux * qx + uy * qy + uz * qz) / det
    if not (v > 0 and u + v < 1):
        return False
    along = (t[6] * qx + t[7] * qy + t[8] * qz) / det
    return 0 < along < 1


@njit(cache=True, nogil=True)
def _through_by(t: Any, o: Any, p: int, q: int) -> bool:
    """Whether the edge of `o` from corner p to corner q goes through `t`."""
    ax, ay, az, bx, by, bz = o[0], o[1], o[2], o[0], o[1], o[2]
    if p > 0:
        ax, ay, az = ax + o[3 * p], ay + o[3 * p + 1], az + o[3 * p + 2]
    if q > 0:
        bx, by, bz = bx + o[3 * q], by + o[3 * q + 1], bz + o[3 * q + 2]
    return _through(t, ax, ay, az, bx, by, bz)


@njit(cache=True, nogil=True)
def _edge_through(o: Any, heights: Any, t: Any) -> bool:
    """Whether an edge of `o` goes through `t`; `heights` are those of its corners above the plane of `t`."""
    for p in range(3):
        q = (p + 1) % 3
        level = (heights[p] > 0) == (heights[q] > 0) and (heights[p] < 0) == (heights[q] < 0)
        if not level and _through_by(t, o, p, q):
            return True
    return False


@njit(cache=True, nogil=True)
def _overlap(one: Any, other: Any) -> bool:
    for i in range(3):  # noqa: SIM110 (faster compiled than `all`)
        if one[0, i] > other[1, i] or other[0, i] > one[1, i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _beside(t: Any, box: Any) -> bool:
    """Whether a triangle lies beside a box, as far as its own box tells."""
    beside = False
    for i in range(3):
        b, c = t[i] + t[3 + i], t[i] + t[6 + i]
        beside |= (min(min(t[i], b), c) > box[1, i]) | (max(max(t[i], b), c) < box[0, i])
    return beside


@njit(cache=True, nogil=True)
def _apart(t: Any, o: Any, heights: Any) -> bool:
    """Whether a triangle `o` lies on one side of the plane of `t`; `heights` of its corners above that plane."""
    x, y, z = t[4] * t[8] - t[5] * t[7], t[5] * t[6] - t[3] * t[8], t[3] * t[7] - t[4] * t[6]
    a = (o[0] - t[0]) * x + (o[1] - t[1]) * y + (o[2] - t[2]) * z
    b, c = a + o[3] * x + o[4] * y + o[5] * z, a + o[6] * x + o[7] * y + o[8] * z
    heights[0], heights[1], heights[2] = a, b, c
    return (a > 0 and b > 0 and c > 0) or (a < 0 and b < 0 and c < 0)


@njit(cache=True, nogil=True)
def _leaves(
    one: int, other: int, others: Any, triangles: Any, places: Any, faces: Any, crossing: Any, room: Any
) -> None:
    """Compare the triangles of two leaves, or of one with each other; `others` is the box of the other."""
    first, second = -1 - one, -1 - other
    above, below, box = room[0], room[1], room[2:]
    for i in range(first >> 3, (first >> 3) + (first & 7)):
        t = triangles[i]
        if one != other and _beside(t, others):
            continue
        for k in range(3):
            box[0, k] = min(min(t[k], t[k] + t[3 + k]), t[k] + t[6 + k])
            box[1, k] = max(max(t[k], t[k] + t[3 + k]), t[k] + t[6 + k])
        for j in range(i + 1 if one == other else second >> 3, (second >> 3) + (second & 7)):
            o, shared, mine, theirs = triangles[j], 0, 0, 0
            for k in range(3):
                for n in range(3):
                    if places[j, k] == places[i, n]:
                        shared, mine, theirs = shared + 1, n, k
            if shared > 1 or (crossing[faces[i]] and crossing[faces[j]]):  # of two, each edge has one of the other's
                continue
            if shared == 1:
                crosses = _around(t, mine, o, theirs)
            elif _beside(o, box) or _apart(t, o, above) or _apart(o, t, below):
                continue
            else:
                crosses = _edge_through(o, above, t) or _edge_through(t, below, o)
            if crosses:
                crossing[faces[i]] = crossing[faces[j]] = True


@njit(cache=True, nogil=True)
def _around(t: Any, mine: int, o: Any, theirs: int) -> bool:
    """Whether triangles with one common corner cross: then each has its other two corners on both sides of the other.

    `mine` and `theirs` are the numbers of that corner.
    """
    return (
        _astride(t, o, theirs)
        and _astride(o, t, mine)
        and (_through_by(t, o, (theirs + 1) % 3, (theirs + 2) % 3) or _through_by(o, t, (mine + 1) % 3, (mine + 2) % 3))
    )


@njit(cache=True, nogil=True)
def _astride(t: Any, o: Any, corner: int) -> bool:
    """Whether the other two corners of `o` lie on both sides of the plane of `t`, on which its one `corner` is."""
    x, y, z = t[4] * t[8] - t[5] * t[7], t[5] * t[6] - t[3] * t[8], t[3] * t[7] - t[4] * t[6]
    b, c = o[3] * x + o[4] * y + o[5] * z, o[6] * x + o[7] * y + o[8] * z
    if corner == 1:
        b, c = -b, c - b
    elif corner == 2:
        b, c = b - c, -c
    return (b < 0 and c > 0) or (b > 0 and c < 0)


@njit(cache=True, nogil=True)
def _cross(
    start: int, end: int, boxes: Any, children: Any, triangles: Any, places: Any, faces: Any, crossing: Any
) -> None:
    """Compare what is below some nodes: pairs of subtrees of their two children whose boxes overlap."""
    ones, others = np.empty(8 * STACK, np.int64), np.empty(8 * STACK, np.int64)  # twice a node, and 1 for its second
    room = np.empty((4, 3))
    for node in range(start, min(end, len(children))):
        for child in range(2):
            if children[node, child] < 0:
                below = children[node, child]
                _leaves(below, below, boxes[node, child], triangles, places, faces, crossing, room)
        ones[0], others[0], top = 2 * node, 2 * node + 1, 1
        while top > 0:
            top -= 1
            n, i, m, j = ones[top] // 2, ones[top] % 2, others[top] // 2, others[top] % 2
            if not _overlap(boxes[n, i], boxes[m, j]):
                continue
            one, other = children[n, i], children[m, j]
            if one < 0 and other < 0:
                _leaves(one, other, boxes[m, j], triangles, places, faces, crossing, room)
            elif other < 0 or (one >= 0 and _size(boxes[n, i]) >= _size(boxes[m, j])):
                others[top + 1] = others[top]
                ones[top], ones[top + 1] = 2 * one, 2 * one + 1
                top += 2
            else:
                ones[top + 1] = ones[top]
                others[top], others[top + 1] = 2 * other, 2 * other + 1
                top += 2


@njit(cache=True, nogil=True)
def _size(box: Any) -> float:
    return (box[1, 0] - box[0, 0]) + (box[1, 1] - box[0, 1]) + (box[1, 2] - box[0, 2])
