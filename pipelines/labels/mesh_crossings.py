"""Faces of a mesh that cross other faces of it."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .mesh_tree import STACK, MeshTree


def crossing_faces(tree: MeshTree, corners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which faces an edge of another face goes through, or which have an edge that goes through another.

    Faces that only touch at a common corner or edge do not cross, nor do those that lie in one plane. A crossing of
    two faces shows as an edge of one that goes through the other.

    Args:
        tree: of the mesh.
        corners: (F, 3) places of the faces' corners.

    Returns:
        (F,) bool.
    """
    crossing = np.zeros(len(tree.faces), bool)
    places = np.ascontiguousarray(corners[tree.order])
    _cross(tree.boxes, tree.children, tree.triangles, places, tree.order, crossing)
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
def _edge_through(edges_of: Any, places: Any, t: Any, other_places: Any) -> bool:
    """Whether an edge of one triangle, that has no corner with the other in common, goes through that other."""
    for edge in range(3):
        begin, end = places[edge], places[(edge + 1) % 3]
        shared = False
        for k in range(3):
            shared = shared or other_places[k] == begin or other_places[k] == end
        if shared:
            continue
        p, q = 3 * edge, 3 * ((edge + 1) % 3)
        ax, ay, az, bx, by, bz = edges_of[0], edges_of[1], edges_of[2], edges_of[0], edges_of[1], edges_of[2]
        if p > 0:
            ax, ay, az = ax + edges_of[p], ay + edges_of[p + 1], az + edges_of[p + 2]
        if q > 0:
            bx, by, bz = bx + edges_of[q], by + edges_of[q + 1], bz + edges_of[q + 2]
        if _through(t, ax, ay, az, bx, by, bz):
            return True
    return False


@njit(cache=True, nogil=True)
def _overlap(one: Any, other: Any) -> bool:
    for i in range(3):  # noqa: SIM110 (faster compiled than `all`)
        if one[0, i] > other[1, i] or other[0, i] > one[1, i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _leaves(one: int, other: int, triangles: Any, places: Any, faces: Any, crossing: Any) -> None:
    """Compare the triangles of two leaves, or of one with each other."""
    first, second = -1 - one, -1 - other
    for i in range(first >> 3, (first >> 3) + (first & 7)):
        t = triangles[i]
        for j in range(i + 1 if one == other else second >> 3, (second >> 3) + (second & 7)):
            if crossing[faces[i]] and crossing[faces[j]]:
                continue
            o = triangles[j]
            if _apart(t, o) or _apart(o, t):
                continue
            if _edge_through(t, places[i], o, places[j]) or _edge_through(o, places[j], t, places[i]):
                crossing[faces[i]] = crossing[faces[j]] = True


@njit(cache=True, nogil=True)
def _apart(t: Any, o: Any) -> bool:
    """Whether one triangle lies on one side of the other's plane, corners in the plane included."""
    x, y, z = t[4] * t[8] - t[5] * t[7], t[5] * t[6] - t[3] * t[8], t[3] * t[7] - t[4] * t[6]
    a = (o[0] - t[0]) * x + (o[1] - t[1]) * y + (o[2] - t[2]) * z
    b, c = a + o[3] * x + o[4] * y + o[5] * z, a + o[6] * x + o[7] * y + o[8] * z
    return (a > 0 and b > 0 and c > 0) or (a < 0 and b < 0 and c < 0)


@njit(cache=True, nogil=True)
def _cross(boxes: Any, children: Any, triangles: Any, places: Any, faces: Any, crossing: Any) -> None:
    """Compare the tree with itself: pairs of subtrees whose boxes overlap."""
    ones, others = np.empty(8 * STACK, np.int64), np.empty(8 * STACK, np.int64)  # twice a node, and 1 for its second
    for node in range(len(children)):
        for child in range(2):
            if children[node, child] < 0:
                _leaves(children[node, child], children[node, child], triangles, places, faces, crossing)
        ones[0], others[0], top = 2 * node, 2 * node + 1, 1
        while top > 0:
            top -= 1
            n, i, m, j = ones[top] // 2, ones[top] % 2, others[top] // 2, others[top] % 2
            if not _overlap(boxes[n, i], boxes[m, j]):
                continue
            one, other = children[n, i], children[m, j]
            if one < 0 and other < 0:
                _leaves(one, other, triangles, places, faces, crossing)
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
