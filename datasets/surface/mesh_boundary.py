"""How far from a point a mesh's winding number hardly changes: all of its change comes from the edges of holes.

The gradient of the solid angle of a surface is an integral along its boundary, as the magnetic field of a current is
(Biot and Savart). A part of the boundary, of length l and with its ends v apart, in a box of radius R at a distance r,
adds no more than |v| / r^2 + 2 l R / r^3. A closed mesh has no boundary, so that its winding number is the same
wherever a way leads that does not cross it.
"""

from typing import Any

import numpy as np
from numba import njit

from .mesh_topology import Topology
from .mesh_tree import MeshTree, mesh_tree

CHANGE = 0.05  # of the winding number that is allowed
NEAR = 0.15  # share of the distance to the closest open edge that a way may be long
REACH = CHANGE * 4 * np.pi * (1 - NEAR) ** 3  # on it distances shrink to 1 - NEAR of what they are, at most


class Boundary:
    """The edges of a mesh's holes, in a tree of their own.

    Args:
        tree: of the mesh.
        found: its topology; faces that look the wrong way are turned.

    Attributes:
        closed: whether there are none.
        tables: what `reach` asks: boxes and children of the tree's nodes, sums of the edges below them.
    """

    def __init__(self, tree: MeshTree, found: Topology) -> None:
        self.closed = found.watertight
        self.tables = np.empty((0, 2, 2, 3), np.float32), np.empty((0, 2), np.int32), np.empty((0, 2, 4))
        if not self.closed:
            runs = _runs(found.corners, found.edges, found.side, found.edge_count)
            face, corner, run = _open(found.edges, runs)
            begin, end = tree.faces[face, corner], tree.faces[face, (corner + 1) % 3]
            lines = mesh_tree(tree.vertices, np.stack([begin, end, end], 1))
            self.tables = lines.boxes, lines.children, _sums(lines.children, lines.triangles, run[lines.order])


@njit(cache=True, nogil=True)
def _runs(corners: Any, edges: Any, side: Any, count: int) -> Any:
    """How many more faces run one way along each edge than the other."""
    out = np.zeros(count, np.int64)
    for face in range(len(corners)):
        for i in range(3):
            if edges[face, i] >= 0:
                up = corners[face, i] < corners[face, (i + 1) % 3]
                out[edges[face, i]] += side[face] if up else -side[face]
    return out


@njit(cache=True, nogil=True)
def _open(edges: Any, runs: Any) -> Any:
    """One face and corner of each open edge, and its runs, which become zero."""
    count = int((runs != 0).sum())
    out = np.empty((3, count), np.int64)
    at = 0
    for face in range(len(edges)):
        for i in range(3):
            edge = edges[face, i]
            if edge >= 0 and runs[edge] != 0:
                out[0, at], out[1, at], out[2, at] = face, i, runs[edge]
                runs[edge] = 0
                at += 1
    return out


@njit(cache=True, nogil=True)
def _sums(children: Any, lines: Any, runs: Any) -> Any:
    """(N, 2, 4) sum of all edges below each node's children, as vectors and of their lengths."""
    out = np.zeros((len(children), 2, 4))
    for node in range(len(children) - 1, -1, -1):
        for child in range(2):
            below = children[node, child]
            if below >= 0:
                for i in range(4):
                    out[node, child, i] = out[below, 0, i] + out[below, 1, i]
                continue
            code = -1 - below
            for at in range(code >> 3, (code >> 3) + (code & 7)):
                for i in range(3):
                    out[node, child, i] += runs[at] * lines[at, 3 + i]
                out[node, child, 3] += abs(runs[at]) * np.sqrt(lines[at, 9])
    return out


@njit(cache=True, nogil=True)
def reach(x: float, y: float, z: float, clear: float, boxes: Any, children: Any, sums: Any, stack: Any) -> float:
    """How far around a point, at the distance `clear` of the mesh, winding numbers are the same but for `CHANGE`.

    Boxes of the boundary that are closer than twice as large are opened.
    """
    if not len(children):
        return clear
    total, closest, stack[0], top = 0.0, np.inf, 0, 1
    while top > 0:
        top -= 1
        node = stack[top]
        for child in range(2):
            length = sums[node, child, 3]
            if length == 0:
                continue
            box = boxes[node, child]
            dx = max(max(box[0, 0] - x, x - box[1, 0]), 0.0)
            dy = max(max(box[0, 1] - y, y - box[1, 1]), 0.0)
            dz = max(max(box[0, 2] - z, z - box[1, 2]), 0.0)
            square = dx * dx + dy * dy + dz * dz
            sx, sy, sz = box[1, 0] - box[0, 0], box[1, 1] - box[0, 1], box[1, 2] - box[0, 2]
            size = sx * sx + sy * sy + sz * sz
            if square < 4 * size and children[node, child] >= 0:
                stack[top] = children[node, child]
                top += 1
                continue
            closest = min(closest, square)
            if square == 0:
                return 0.0
            vx, vy, vz = sums[node, child, 0], sums[node, child, 1], sums[node, child, 2]
            ends = np.sqrt(vx * vx + vy * vy + vz * vz) + length * np.sqrt(size / square)
            total += min(ends, length) / square
    return min(min(clear, NEAR * np.sqrt(closest)), REACH / total if total > 0 else np.inf)
