"""The tree of a mesh with eight children a node: a search looks at eight boxes, or eight triangles, at once.

The loops over eight are compiled to instructions on eight float32. They only tell what may be left out: whatever could
be as close as the best so far, rounding included, is asked again in float64. So results depend on no rounding here.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

# To be given to compiled functions as an argument: of a loop whose length the compiler knows it makes single steps.
WIDE = 8
STACK = 96  # levels of a binary tree at most
CLEAR = 1e-2  # squared ratio of height and length: triangles below are always asked in float64
ROUNDED = np.float32(1 + 1e-6)  # more than the rounding of a few float32 steps
UNSURE = np.float32(2e-4)  # of the distances within a leaf, more than the rounding of a triangle that is not narrow


class WideTree(NamedTuple):
    """Boxes and triangles, eight by eight.

    Attributes:
        boxes: (N, 6, 8) float32 least x, y, z and greatest x, y, z of each child; empty where there is none.
        children: (N, 8) int32 a node, or -1 - leaf.
        corners: (L, 10, 8) float32 of each leaf's triangles: a corner, both edges from it, and 0 where they do not say
            how far it is, else 1; relative to `frame`.
        frame: (L, 4) float64 place of a leaf, and what coordinates from there are multiplied by, to be around 1.
        spans: (L, 2) int32 first of a leaf's triangles in the binary tree's order, and their number.
    """

    boxes: NDArray[np.float32]
    children: NDArray[np.int32]
    corners: NDArray[np.float32]
    frame: NDArray[np.float64]
    spans: NDArray[np.int32]


def wide_tree(boxes: NDArray[np.float32], children: NDArray[np.int32], triangles: NDArray[np.float64]) -> WideTree:
    """Join the levels of a binary tree (`mesh_tree.MeshTree`): its nodes of at most eight triangles become leaves."""
    wide_boxes, wide_children, spans = _join(boxes, children)
    corners, frame = np.zeros((len(spans), 10, WIDE), np.float32), np.zeros((len(spans), 4))
    _fill(spans, triangles, corners, frame)
    return WideTree(wide_boxes, wide_children, corners, frame, spans)


@njit(cache=True, nogil=True)
def _spans(children: Any) -> Any:
    """(N, 2) first triangle below each node, and how many: a node comes before those below."""
    out = np.empty((len(children), 2), np.int32)
    for node in range(len(children) - 1, -1, -1):
        first, count = 1 << 30, 0
        for child in range(2):
            below = children[node, child]
            code = -1 - below
            begin, number = (out[below, 0], out[below, 1]) if below >= 0 else (code >> 3, code & 7)
            if number > 0:
                first, count = min(first, begin), count + number
        out[node, 0], out[node, 1] = first, count
    return out


@njit(cache=True, nogil=True)
def _half_area(box: Any) -> float:
    x, y, z = box[1, 0] - box[0, 0], box[1, 1] - box[0, 1], box[1, 2] - box[0, 2]
    return x * y + y * z + z * x


@njit(cache=True, nogil=True)
def _join(boxes: Any, children: Any) -> Any:
    """Nodes of eight: of a node's children the largest is replaced by its own, until there are eight."""
    spans, count = _spans(children), len(children)
    wide_boxes, wide_children = np.empty((count, 6, WIDE), np.float32), np.zeros((count, WIDE), np.int32)
    leaves = np.empty((2 * count, 2), np.int32)
    todo, places = np.empty(STACK * WIDE, np.int32), np.empty(STACK * WIDE, np.int64)
    parents, sides = np.empty(WIDE, np.int64), np.empty(WIDE, np.int64)
    todo[0], places[0], top, nodes, leaf = 0, -1, 1, 0, 0
    while top > 0:
        top -= 1
        if places[top] >= 0:
            wide_children[places[top] // WIDE, places[top] % WIDE] = nodes
        parents[0], sides[0], parents[1], sides[1], found = todo[top], 0, todo[top], 1, 2
        while found < WIDE:
            best, largest = -1, -1.0
            for k in range(found):
                below = children[parents[k], sides[k]]
                if below >= 0 and spans[below, 1] > WIDE:
                    area = _half_area(boxes[parents[k], sides[k]])
                    if best < 0 or area > largest:
                        best, largest = k, area
            if best < 0:
                break
            below = children[parents[best], sides[best]]
            parents[best], sides[best], parents[found], sides[found] = below, 0, below, 1
            found += 1
        for k in range(WIDE):
            for i in range(3):
                wide_boxes[nodes, i, k], wide_boxes[nodes, 3 + i, k] = np.inf, -np.inf
        for k in range(found):
            below = children[parents[k], sides[k]]
            for i in range(3):
                wide_boxes[nodes, i, k] = boxes[parents[k], sides[k], 0, i]
                wide_boxes[nodes, 3 + i, k] = boxes[parents[k], sides[k], 1, i]
            if below >= 0 and spans[below, 1] > WIDE:
                todo[top], places[top] = below, nodes * WIDE + k
                top += 1
                continue
            code = -1 - below
            leaves[leaf, 0] = spans[below, 0] if below >= 0 else code >> 3
            leaves[leaf, 1] = spans[below, 1] if below >= 0 else code & 7
            wide_children[nodes, k] = -1 - leaf
            leaf += 1
        nodes += 1
    return wide_boxes[:nodes].copy(), wide_children[:nodes].copy(), leaves[:leaf].copy()


@njit(cache=True, nogil=True)
def _fill(spans: Any, triangles: Any, corners: Any, frame: Any) -> None:
    for leaf in range(len(spans)):
        first, count = spans[leaf, 0], spans[leaf, 1]
        origin, extent = triangles[min(first, len(triangles) - 1)], 0.0
        for at in range(first, first + count):
            t = triangles[at]
            for i in range(3):
                away = t[i] - origin[i]
                extent = max(max(extent, abs(away)), max(abs(away + t[3 + i]), abs(away + t[6 + i])))
        scale = 1 / extent if extent > 0 and 1 / extent < np.inf else 1.0
        frame[leaf, 0], frame[leaf, 1], frame[leaf, 2], frame[leaf, 3] = origin[0], origin[1], origin[2], scale
        for k in range(WIDE):
            corners[leaf, 3, k] = corners[leaf, 7, k] = 1.0  # any triangle that is not narrow
            if k >= count:
                continue
            t = triangles[first + k]
            u, uv, v = t[9] * scale * scale, t[10] * scale * scale, t[11] * scale * scale
            longest = max(max(u, v), u - 2 * uv + v)
            if not u * v - uv * uv > CLEAR * longest * longest or not longest > 1e-8:
                continue
            for i in range(3):
                corners[leaf, i, k] = (t[i] - origin[i]) * scale
                corners[leaf, 3 + i, k], corners[leaf, 6 + i, k] = t[3 + i] * scale, t[6 + i] * scale
            corners[leaf, 9, k] = 1.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def box_squares(boxes: Any, x: Any, y: Any, z: Any, wide: int, out: Any) -> None:
    """Squared distances to eight boxes."""
    zero = np.float32(0)
    for k in range(wide):
        low, high = boxes[0, k] - x, x - boxes[3, k]
        dx = low if low > high else high
        dx = dx if dx > zero else zero
        low, high = boxes[1, k] - y, y - boxes[4, k]
        dy = low if low > high else high
        dy = dy if dy > zero else zero
        low, high = boxes[2, k] - z, z - boxes[5, k]
        dz = low if low > high else high
        dz = dz if dz > zero else zero
        out[k] = dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nsz"})
def triangle_squares(corners: Any, x: Any, y: Any, z: Any, wide: int, out: Any) -> None:
    """Squared distances to eight triangles: to the closest of their edges, or to their planes from above them."""
    zero, one = np.float32(0), np.float32(1)
    for k in range(wide):
        px, py, pz = x - corners[0, k], y - corners[1, k], z - corners[2, k]
        ux, uy, uz = corners[3, k], corners[4, k], corners[5, k]
        vx, vy, vz = corners[6, k], corners[7, k], corners[8, k]
        uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
        pu, pv = ux * px + uy * py + uz * pz, vx * px + vy * py + vz * pz
        share = pu / uu
        share = share if share > zero else zero
        share = share if share < one else one
        dx, dy, dz = px - share * ux, py - share * uy, pz - share * uz
        first = dx * dx + dy * dy + dz * dz
        share = pv / vv
        share = share if share > zero else zero
        share = share if share < one else one
        dx, dy, dz = px - share * vx, py - share * vy, pz - share * vz
        second = dx * dx + dy * dy + dz * dz
        share = (pv - pu + uu - uv) / (uu - uv - uv + vv)
        share = share if share > zero else zero
        share = share if share < one else one
        dx, dy, dz = px - ux + share * (ux - vx), py - uy + share * (uy - vy), pz - uz + share * (uz - vz)
        third = dx * dx + dy * dy + dz * dz
        edge = first if first < second else second
        edge = edge if edge < third else third
        area = uu * vv - uv * uv
        s, t = (vv * pu - uv * pv) / area, (uu * pv - uv * pu) / area
        dx, dy, dz = px - s * ux - t * vx, py - s * uy - t * vy, pz - s * uz - t * vz
        plane = dx * dx + dy * dy + dz * dz
        least = s if s < t else t
        least = least if least < one - s - t else one - s - t
        out[k] = (plane if least > zero else edge) * corners[9, k]
