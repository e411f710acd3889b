"""How the faces of a mesh hang together: holes, faces that look the wrong way, and which side is inside.

Vertices at the same place count as one: scans come with seams of their texture, where every vertex is there twice.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FEW = 32  # edges of a corner, beyond which they are sorted by merging
HOLLOW = 1e-9  # share of the volumes that add up to a part's: below, rounding decides whether it is negative


@dataclass(frozen=True, eq=False)
class Topology:
    """What a mesh's faces say of inside and outside.

    A face two of whose corners are one place counts for nothing.

    Attributes:
        corners: (F, 3) places of the faces' corners.
        edges: (F, 3) number of each face's edges ab, bc, ca; -1 of a face that counts for nothing.
        edge_count: number of edges.
        component: (F,) number of the part that each face belongs to, by edges that have two faces; -1 of one that
            counts for nothing.
        component_count: number of those parts.
        inward: (P,) whether a part that is closed encloses a negative volume, after faces were turned.
        side: (F,) +1, or -1 of a face that has to be turned round.
        open_edges: edges along which not as many faces run one way as the other, after faces were turned.
        crowded_edges: edges of more than two faces.
    """

    corners: NDArray[np.int64]
    edges: NDArray[np.int64]
    edge_count: int
    component: NDArray[np.int32]
    component_count: int
    inward: NDArray[np.bool_]
    side: NDArray[np.int8]
    open_edges: int
    crowded_edges: int

    @property
    def watertight(self) -> bool:
        """Whether the faces leave no hole."""
        return self.open_edges == 0

    @property
    def turned(self) -> int:
        """How many faces look the wrong way."""
        return int((self.side < 0).sum())


def topology(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> Topology:
    """Look at how a mesh hangs together, and which of its faces look the wrong way.

    Where the faces of a part do not all look one way, those are turned that are less of its area. Where the whole then
    encloses a negative volume, all of it is turned. A closed part may look inwards after that (`inward`): whether it
    should is told by what lies around it (`winding.outwards`).

    Args:
        vertices: (V, 3) float64.
        faces: (F, 3) int32.
    """
    places, count = _places(np.ascontiguousarray(vertices + 0.0).view(np.int64))  # -0 is 0
    corners = places[faces]
    edges, along, across, opposed, edge_count = _link(corners, count)
    component, parts, side = _sides(across, opposed, _areas(vertices, faces), edges[:, 0] >= 0)
    open_edges, crowded = _gaps(edges, along, side, edge_count)
    if _volume(vertices, faces, side) < 0:
        side *= -1
    inward = _inward(vertices, faces, across, opposed, component, parts, side) if parts > 1 else np.zeros(parts, bool)
    return Topology(corners, edges, edge_count, component, parts, inward, side, open_edges, crowded)


@njit(cache=True, nogil=True)
def _places(bits: Any) -> Any:
    """(V,) number of each vertex's place, by the bits of its coordinates; and how many places there are."""
    size = 4
    while size < 2 * len(bits):
        size *= 2
    table, places, count = np.full(size, -1, np.int64), np.empty(len(bits), np.int64), 0
    for vertex in range(len(bits)):
        x, y, z = bits[vertex, 0], bits[vertex, 1], bits[vertex, 2]
        mixed = x * 0x1E3779B97F4A7C15 + y * 0x3F58476D1CE4E5B9 + z * 0x14D049BB133111EB
        at = (mixed ^ (mixed >> 32)) & (size - 1)
        while True:
            other = table[at]
            if other < 0:
                table[at], places[vertex] = vertex, count
                count += 1
                break
            if bits[other, 0] == x and bits[other, 1] == y and bits[other, 2] == z:
                places[vertex] = places[other]
                break
            at = (at + 1) & (size - 1)
    return places, count


@njit(cache=True, nogil=True)
def _sort(keys: Any, values: Any, first: int, last: int) -> None:
    """Sort a part of both by the keys, equal ones as they were."""
    if last - first > FEW:
        order = first + np.argsort(keys[first:last], kind="mergesort")
        keys[first:last], values[first:last] = keys[order], values[order]
        return
    for at in range(first + 1, last):
        key, value, to = keys[at], values[at], at
        while to > first and keys[to - 1] > key:
            keys[to], values[to] = keys[to - 1], values[to - 1]
            to -= 1
        keys[to], values[to] = key, value


@njit(cache=True, nogil=True)
def _link(corners: Any, places: int) -> Any:
    """The edges of each face, whether it runs along them upwards, and the face across, where there is just one.

    Returns:
        edges: (F, 3) numbers, -1 where two corners of the face are one place.
        along: (F, 3) int8 +1 where the face runs from the lower place to the higher one, else -1.
        across: (F, 3) the other face of an edge of two, or -1.
        opposed: (F, 3) whether that one runs the other way.
        count: number of edges.
    """
    faces = len(corners)
    edges, along = np.full((faces, 3), -1, np.int64), np.ones((faces, 3), np.int8)
    across, opposed = np.full((faces, 3), -1, np.int64), np.zeros((faces, 3), np.bool_)
    starts = np.zeros(places + 1, np.int64)
    for face in range(faces):
        a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
        if a != b and b != c and c != a:
            edges[face] = 0
            starts[min(a, b) + 1] += 1
            starts[min(b, c) + 1] += 1
            starts[min(c, a) + 1] += 1
    for place in range(places):
        starts[place + 1] += starts[place]
    filled = starts[:-1].copy()
    highs, owners = np.empty(starts[-1], np.int64), np.empty(starts[-1], np.int64)
    for face in range(faces):
        for i in range(3):
            if edges[face, i] < 0:
                continue
            begin, end = corners[face, i], corners[face, (i + 1) % 3]
            low = min(begin, end)
            if begin > end:
                along[face, i] = -1
            highs[filled[low]], owners[filled[low]] = max(begin, end), 3 * face + i
            filled[low] += 1
    edge_of, runs, other_of, differs = edges.reshape(-1), along.reshape(-1), across.reshape(-1), opposed.reshape(-1)
    count = 0
    for place in range(places):
        first, last = starts[place], starts[place + 1]
        _sort(highs, owners, first, last)
        at = first
        while at < last:
            same = at
            while same < last and highs[same] == highs[at]:
                edge_of[owners[same]] = count
                same += 1
            if same - at == 2:
                one, other = owners[at], owners[at + 1]
                other_of[one], other_of[other] = other // 3, one // 3
                differs[one] = differs[other] = runs[one] != runs[other]
            at = same
            count += 1
    return edges, along, across, opposed, count


@njit(cache=True, nogil=True)
def _areas(vertices: Any, faces: Any) -> Any:
    """(F,) twice the areas."""
    out = np.empty(len(faces))
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        x = (b[1] - a[1]) * (c[2] - a[2]) - (b[2] - a[2]) * (c[1] - a[1])
        y = (b[2] - a[2]) * (c[0] - a[0]) - (b[0] - a[0]) * (c[2] - a[2])
        z = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        out[face] = np.sqrt(x * x + y * y + z * z)
    return out


@njit(cache=True, nogil=True)
def _volume(vertices: Any, faces: Any, side: Any) -> float:
    """Six times the volume that is enclosed, seen from the first corner: negative where faces look inwards."""
    total, o = 0.0, vertices[faces[0, 0]]
    for face in range(len(faces)):
        total += side[face] * _below(vertices, faces[face], o)
    return total


@njit(cache=True, nogil=True)
def _below(vertices: Any, face: Any, o: Any) -> float:
    """Six times the volume between a face and a place."""
    a, b, c = vertices[face[0]], vertices[face[1]], vertices[face[2]]
    ax, ay, az = a[0] - o[0], a[1] - o[1], a[2] - o[2]
    bx, by, bz = b[0] - o[0], b[1] - o[1], b[2] - o[2]
    cx, cy, cz = c[0] - o[0], c[1] - o[1], c[2] - o[2]
    return ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx)


@njit(cache=True, nogil=True)
def _inward(vertices: Any, faces: Any, across: Any, opposed: Any, component: Any, parts: int, side: Any) -> Any:
    """(P,) whether a part without open or crowded edges encloses a negative volume, seen from its first corner."""
    first, volumes, sizes, closed = np.full(parts, -1), np.zeros(parts), np.zeros(parts), np.ones(parts, np.bool_)
    for face in range(len(faces)):
        part = component[face]
        if part < 0:
            continue
        if first[part] < 0:
            first[part] = faces[face, 0]
        volume = side[face] * _below(vertices, faces[face], vertices[first[part]])
        volumes[part] += volume
        sizes[part] += abs(volume)
        for i in range(3):
            other = across[face, i]
            closed[part] &= other >= 0 and opposed[face, i] == (side[face] == side[other])
    return closed & (volumes < -HOLLOW * sizes)


@njit(cache=True, nogil=True)
def _gaps(edges: Any, along: Any, side: Any, count: int) -> Any:
    """How many edges have not as many faces along them one way as the other, and how many have more than two."""
    runs, uses = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for face in range(len(edges)):
        for i in range(3):
            if edges[face, i] >= 0:
                runs[edges[face, i]] += along[face, i] * side[face]
                uses[edges[face, i]] += 1
    return int((runs != 0).sum()), int((uses > 2).sum())


@njit(cache=True, nogil=True)
def _sides(across: Any, opposed: Any, areas: Any, real: Any) -> Any:
    """Number each face's part, from face to face; and turn those of a part that do not look the way of most of it."""
    count = len(across)
    component, side = np.full(count, -1, np.int32), np.ones(count, np.int8)
    queue = np.empty(count, np.int64)
    parts = 0
    for seed in range(count):
        if component[seed] >= 0 or not real[seed]:
            continue
        queue[0], first, last = seed, 0, 1
        component[seed] = parts
        balance = 0.0
        while first < last:
            face = queue[first]
            first += 1
            balance += side[face] * areas[face]
            for i in range(3):
                other = across[face, i]
                if other >= 0 and component[other] < 0:
                    component[other] = parts
                    side[other] = side[face] if opposed[face, i] else -side[face]
                    queue[last] = other
                    last += 1
        if balance < 0:
            for at in range(last):
                side[queue[at]] *= -1
        parts += 1
    return component, parts, side
