"""How often a mesh winds round a point: 1 inside, 0 outside, and what lies between near holes.

A. Jacobson et al., "Robust inside-outside segmentation using generalized winding numbers", 2013; sums over far parts
of the mesh by their moments up to the second order, as G. Barill et al., "Fast winding numbers for soups and clouds",
2018.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .mesh_boundary import Boundary, reach
from .mesh_nearest import CHUNK
from .mesh_topology import Topology
from .mesh_tree import STACK, MeshTree
from .space_curve import along_curve
from .threads import in_threads

FAR, VERY_FAR = 2.0, 8.0  # times a part's radius: beyond, its moments stand for it
CLOSED_FAR = 1.5  # enough to tell which whole number it is
WHOLE = 0.1  # a winding number that is this close to a whole number may stand for those of points near by
KNOWN = 16  # points whose numbers are remembered for that
DOUBT = 0.2  # a winding number that is this close to 0.5 is computed again, with more of the mesh as it is
PLACES = 64  # faces of a part, at most, that tell whether it lies in others
MOMENTS = 13  # centre, radius, normal x area, and the symmetric part of (place - centre) x normal x area


class Winding:
    """Winding numbers round points.

    Args:
        tree: of the mesh.
        found: its topology; faces that look the wrong way are turned.
    """

    def __init__(self, tree: MeshTree, found: Topology) -> None:
        self._tree = tree
        self._boundary = Boundary(tree, found)
        self._side = found.side.astype(np.float64)[tree.order]
        self._moments = np.zeros((len(tree.children), 2, MOMENTS))
        _gather(tree.boxes, tree.children, tree.triangles, self._side, self._moments)

    def at(
        self, points: ArrayLike, threads: int = 1, skip: ArrayLike | None = None, clear: ArrayLike | None = None,
        order: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Winding number round each point: within some 0.05, or 0.15 with `clear`; within some 0.002 near one half.

        Args:
            points: (n, 3) in the mesh's frame.
            threads: that share the work.
            skip: (n,) a face that is left out for each point, which lies on it; -1 for none.
            clear: (n,) distances of the points to the mesh: within them one number may stand for another, so that
                few are computed. They tell inside from outside as well as without it.
            order: of the points (`along_curve`) where it is known.

        Returns:
            (n,) float64.
        """
        given = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
        left_out = np.full(len(given), -1, np.int64) if skip is None else np.ascontiguousarray(skip, np.int64)
        out, order = np.empty(len(given)), along_curve(given) if order is None else order
        room = np.zeros(0) if clear is None else np.ascontiguousarray(clear, np.float64)
        far = CLOSED_FAR if len(room) and self._boundary.closed else FAR
        self._add(given, left_out, room, out, order, far, threads)
        unsure = order[np.abs(out[order] - 0.5) < DOUBT]
        self._add(given, left_out, np.zeros(0), out, unsure, VERY_FAR, threads)
        return out

    def _add(self, points: Any, skip: Any, clear: Any, out: Any, order: Any, far: float, threads: int) -> None:
        tree = self._tree
        tables = (tree.children, tree.triangles, tree.order, self._side, self._moments)

        def one(start: int) -> None:
            part = order[start : start + CHUNK]
            _winding(points, part, skip, clear, *tables, *self._boundary.tables, far, out)

        in_threads(one, range(0, len(order), CHUNK), threads)


def outwards(tree: MeshTree, found: Topology, threads: int = 1) -> Topology:
    """Turn closed parts that look inwards, with all that is in them; those in other parts are left: cavities do.

    Args:
        tree: of the mesh.
        found: its topology.
        threads: that share the work.
    """
    if not found.inward.any():
        return found
    order = np.argsort(found.component, kind="stable")
    order = order[found.component[order] >= 0]
    ends = np.cumsum(np.bincount(found.component[order], minlength=found.component_count))
    some = [part[:: -(-len(part) // PLACES)] for part in np.split(order, ends[:-1])]
    chosen, starts = np.concatenate(some), np.cumsum([0, *map(len, some[:-1])])
    middle = tree.vertices[tree.faces[chosen]].mean(1)

    def deep(parts: NDArray[np.int_]) -> NDArray[np.bool_]:
        """Of each part, whether all of it lies in others; these count by `parts`: 1 as they are, -1 turned, 0 not."""
        side = np.where(found.component < 0, 0, found.side * parts[found.component]).astype(np.int8)
        numbers = Winding(tree, replace(found, side=side, open_edges=0)).at(middle, threads, chosen)
        own = np.where(found.inward, -parts, parts)[found.component[chosen]] / 2  # of a closed part's own faces
        return np.asarray(np.minimum.reduceat(np.abs(numbers - own), starts) > 0.5)

    turned = found.inward & ~deep(np.where(found.inward, -1, 1))
    if not turned.any():
        return found
    turned |= deep(np.where(turned, -1, 0))
    flip = (found.component >= 0) & turned[found.component]
    return replace(found, inward=found.inward & ~turned, side=np.where(flip, -found.side, found.side))


@njit(cache=True, nogil=True)
def _gather(boxes: Any, children: Any, triangles: Any, side: Any, moments: Any) -> None:
    """Moments of each node's children: a node comes before those under it, so from the last to the first."""
    areas = np.zeros(moments.shape[:2])
    for node in range(len(children) - 1, -1, -1):
        for child in range(2):
            m, below = moments[node, child], children[node, child]
            x, y, z, area = 0.0, 0.0, 0.0, 0.0
            if below < 0:
                code = -1 - below
                for i in range(code >> 3, (code >> 3) + (code & 7)):
                    t = triangles[i]
                    size = np.sqrt(max(t[9] * t[11] - t[10] * t[10], 0.0)) / 2
                    area += size
                    x += size * (t[0] + (t[3] + t[6]) / 3)
                    y += size * (t[1] + (t[4] + t[7]) / 3)
                    z += size * (t[2] + (t[5] + t[8]) / 3)
            else:
                for k in range(2):
                    size = areas[below, k]
                    area += size
                    x += size * moments[below, k, 0]
                    y += size * moments[below, k, 1]
                    z += size * moments[below, k, 2]
            areas[node, child] = area
            box = boxes[node, child]
            if area > 0:
                x, y, z = x / area, y / area, z / area
            else:
                x, y, z = box[0, 0], box[0, 1], box[0, 2]
            dx = max(x - box[0, 0], box[1, 0] - x)
            dy = max(y - box[0, 1], box[1, 1] - y)
            dz = max(z - box[0, 2], box[1, 2] - z)
            m[0], m[1], m[2], m[3] = x, y, z, np.sqrt(dx * dx + dy * dy + dz * dz)
            if below < 0:
                code = -1 - below
                for i in range(code >> 3, (code >> 3) + (code & 7)):
                    t = triangles[i]
                    half = side[i] / 2
                    nx = half * (t[4] * t[8] - t[5] * t[7])
                    ny = half * (t[5] * t[6] - t[3] * t[8])
                    nz = half * (t[3] * t[7] - t[4] * t[6])
                    dx, dy, dz = (
                        t[0] + (t[3] + t[6]) / 3 - x,
                        t[1] + (t[4] + t[7]) / 3 - y,
                        t[2] + (t[5] + t[8]) / 3 - z,
                    )
                    _shift(m, dx, dy, dz, nx, ny, nz)
            else:
                for k in range(2):
                    other = moments[below, k]
                    _shift(m, other[0] - x, other[1] - y, other[2] - z, other[4], other[5], other[6])
                    for i in range(7, MOMENTS):
                        m[i] += other[i]


@njit(cache=True, nogil=True)
def _shift(m: Any, dx: float, dy: float, dz: float, nx: float, ny: float, nz: float) -> None:
    """Add the moments of a part with its centre at (dx, dy, dz) from that of the whole."""
    m[4] += nx
    m[5] += ny
    m[6] += nz
    m[7] += dx * nx
    m[8] += dy * ny
    m[9] += dz * nz
    m[10] += dx * ny + dy * nx
    m[11] += dy * nz + dz * ny
    m[12] += dz * nx + dx * nz


@njit(cache=True, nogil=True)
def _solid_angle(t: Any, x: float, y: float, z: float) -> float:
    """Solid angle of a triangle: A. van Oosterom and J. Strackee, 1983; positive seen from behind."""
    ax, ay, az = t[0] - x, t[1] - y, t[2] - z
    bx, by, bz = ax + t[3], ay + t[4], az + t[5]
    cx, cy, cz = ax + t[6], ay + t[7], az + t[8]
    a, b = np.sqrt(ax * ax + ay * ay + az * az), np.sqrt(bx * bx + by * by + bz * bz)
    c = np.sqrt(cx * cx + cy * cy + cz * cz)
    volume = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)
    below = a * b * c + (ax * bx + ay * by + az * bz) * c
    below += (bx * cx + by * cy + bz * cz) * a + (cx * ax + cy * ay + cz * az) * b
    return 2 * np.arctan2(volume, below)


@njit(cache=True, nogil=True)
def _winding(
    points: Any, order: Any, skip: Any, clear: Any, children: Any, triangles: Any, faces: Any, side: Any, moments: Any,
    open_boxes: Any, open_children: Any, open_sums: Any, far: float, out: Any,
) -> None:  # fmt: skip
    stack = np.empty(STACK, np.int32)
    known, number, oldest = np.zeros((KNOWN, 4)), np.zeros(KNOWN), 0  # places, how far they reach, their numbers
    reuse, closed = len(clear) > 0, len(open_children) == 0
    for at in order:
        x, y, z, room = points[at, 0], points[at, 1], points[at, 2], 0.0
        if reuse:
            same = -1 if closed else _same(known, x, y, z, 0.0)  # how far it reaches itself costs something to know
            if same < 0:
                room = reach(x, y, z, clear[at], open_boxes, open_children, open_sums, stack)
                same = _same(known, x, y, z, room)
            if same >= 0:
                out[at] = number[same]
                if closed:  # then nothing is lost from one to the next
                    _remember(known, number, oldest, x, y, z, room, out[at])
                    oldest = (oldest + 1) % KNOWN
                continue
        total, stack[0], top = 0.0, 0, 1
        while top > 0:
            top -= 1
            node = stack[top]
            for child in range(2):
                m, below = moments[node, child], children[node, child]
                dx, dy, dz = m[0] - x, m[1] - y, m[2] - z
                square = dx * dx + dy * dy + dz * dz
                if square > far * far * m[3] * m[3]:
                    distance = np.sqrt(square)
                    cube = square * distance
                    bent = m[7] * dx * dx + m[8] * dy * dy + m[9] * dz * dz
                    bent += m[10] * dx * dy + m[11] * dy * dz + m[12] * dz * dx
                    total += (m[4] * dx + m[5] * dy + m[6] * dz + m[7] + m[8] + m[9] - 3 * bent / square) / cube
                elif below >= 0:
                    stack[top] = below
                    top += 1
                else:
                    code = -1 - below
                    for i in range(code >> 3, (code >> 3) + (code & 7)):
                        if faces[i] != skip[at]:
                            total += side[i] * _solid_angle(triangles[i], x, y, z)
        out[at] = total / (4 * np.pi)
        if reuse and (closed or abs(out[at] - np.round(out[at])) < WHOLE):
            _remember(known, number, oldest, x, y, z, room, out[at])
            oldest = (oldest + 1) % KNOWN


@njit(cache=True, nogil=True)
def _remember(known: Any, number: Any, k: int, x: float, y: float, z: float, room: float, value: float) -> None:
    known[k, 0], known[k, 1], known[k, 2], known[k, 3], number[k] = x, y, z, room, value


@njit(cache=True, nogil=True)
def _same(known: Any, x: float, y: float, z: float, room: float) -> int:
    """A known point from which a straight way leads here within both points' reach; -1 for none."""
    for k in range(len(known)):
        dx, dy, dz = known[k, 0] - x, known[k, 1] - y, known[k, 2] - z
        way = known[k, 3] + room
        if known[k, 3] > 0 and dx * dx + dy * dy + dz * dz < way * way:
            return k
    return -1
