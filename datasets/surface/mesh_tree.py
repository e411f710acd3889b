"""A tree of boxes over a mesh's triangles: built once, asked by every label that needs the mesh's surface.

A binary tree by the surface area heuristic (I. Wald, "On fast construction of SAH-based bounding volume hierarchies",
2007). A node holds the boxes of both children, so that one line of the processor's cache says where to go.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ..errors import FormatError
from .mesh_wide import STACK, WideTree, wide_tree
from .threads import in_threads

LEAF = 4  # triangles, at most 7
BINS = 16
FEW, FEW_BINS = 64, 6
HALVED = 8  # triangles at most that are not worth a search for their best parts
DEEP = 40  # levels, beyond which halves are of equal number
LARGEST = 1e15  # coordinate, in any unit: squares of it are far from the greatest float32
MOST_FACES = 1 << 27  # with DEEP, and halves from there on, a tree has less than STACK levels
FLAT = 1e-13  # squared ratio of height and length, about where the difference of two products is all rounding
SHARES = 32  # subtrees of at most this share of the triangles may be built by threads of their own


@dataclass(frozen=True, eq=False)
class MeshTree:
    """A triangle mesh and its tree.

    Attributes:
        vertices: (V, 3) float64.
        faces: (F, 3) int32.
        boxes: (N, 2, 2, 3) float32: of each node, child, least and greatest corner, rounded outwards.
        children: (N, 2) int32: a node, or -1 - (8 first + count) for triangles in the tree's order.
        triangles: (F, 12) float64 in the tree's order: a corner, both edges from it, and their three dot products.
        order: (F,) int32 face of each triangle.
        wide: the same tree with eight children a node.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    boxes: NDArray[np.float32]
    children: NDArray[np.int32]
    triangles: NDArray[np.float64]
    order: NDArray[np.int32]
    wide: WideTree

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the box around the faces."""
        corners = self.vertices[self.faces.reshape(-1)]
        return float(np.linalg.norm(np.ptp(corners, axis=0)))


def mesh_tree(vertices: ArrayLike, faces: ArrayLike, threads: int = 1) -> MeshTree:
    """Build the tree of a mesh, the same with any number of threads.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle.
        threads: that share the work.

    Raises:
        FormatError: the mesh has no faces, faces without vertices, or positions that are not finite or beyond 1e15.
    """
    return tree_of(*checked_mesh(vertices, faces), threads)


def checked_mesh(vertices: ArrayLike, faces: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A mesh's (V, 3) vertices and (F, 3) faces as the tree needs them; raises as `mesh_tree` does."""
    points = np.ascontiguousarray(vertices, np.float64)
    corners = np.asarray(faces)
    if points.ndim != 2 or points.shape[1:] != (3,) or corners.ndim != 2 or corners.shape[1:] != (3,):
        raise FormatError(f"a mesh has vertices (V, 3) and faces (F, 3), not {points.shape} and {corners.shape}")
    if not 0 < len(corners) < MOST_FACES:
        raise FormatError(f"a mesh of {len(corners)} faces: it needs 1 to {MOST_FACES}")
    if corners.dtype.kind not in "iu" or corners.min() < 0 or corners.max() >= len(points):
        raise FormatError(f"faces name vertices {corners.min()} to {corners.max()} of {len(points)}")
    if not np.isfinite(points).all():
        raise FormatError("vertices are not finite")
    if beyond := _beyond(points):
        raise FormatError(f"vertex {beyond}")
    return points, np.ascontiguousarray(corners, np.int32)


def checked_points(points: ArrayLike) -> NDArray[np.float64]:
    """(n, 3) contiguous float64 points; raises ValueError where they are not finite, or beyond 1e15."""
    given = np.ascontiguousarray(points, np.float64).reshape(-1, 3)
    if beyond := _beyond(given):
        raise ValueError(f"point {beyond}" if np.isfinite(given).all() else "points are not finite")
    return given


def _beyond(points: NDArray[np.float64]) -> str:
    """Which point is not within 1e15, and where it is; nothing where all are."""
    within = np.abs(points) <= LARGEST
    if within.all():
        return ""
    first = int(np.flatnonzero(~within.all(1))[0])
    return f"{first} lies at {points[first].tolist()}: coordinates beyond {LARGEST:g}, in any unit, are refused"


def tree_of(vertices: NDArray[np.float64], faces: NDArray[np.int32], threads: int = 1) -> MeshTree:
    """The tree of a checked mesh."""
    bounds, order = _bounds(vertices, faces), np.arange(len(faces), dtype=np.int32)
    parts: list[Any] = [None] * (4 * SHARES)
    top_boxes, top_children, tasks = _grow(order, bounds, 0, len(order), 0, max(len(order) // SHARES, 1024))

    def build(task: int) -> None:
        first, end, level, _ = tasks[task]
        parts[task] = _grow(order, bounds, first, end, level, 0)

    in_threads(build, range(len(tasks)), threads)
    boxes, children, nodes = [top_boxes], [top_children], len(top_children)
    for (_, _, _, place), (some_boxes, some_children, _) in zip(tasks, parts, strict=False):
        top_children[place // 2, place % 2] = nodes
        some_children[some_children >= 0] += nodes
        boxes.append(some_boxes)
        children.append(some_children)
        nodes += len(some_children)
    all_boxes, all_children = np.concatenate(boxes), np.concatenate(children)
    triangles = _triangles(vertices, faces, order)
    wide = wide_tree(all_boxes, all_children, triangles)
    return MeshTree(vertices, faces, all_boxes, all_children, triangles, order, wide)


@njit(cache=True, nogil=True)
def _bounds(vertices: Any, faces: Any) -> Any:
    """(F, 6) least and greatest corner of each face's box."""
    out = np.empty((len(faces), 6))
    for face in range(len(faces)):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        for i in range(3):
            out[face, i] = min(min(vertices[a, i], vertices[b, i]), vertices[c, i])
            out[face, 3 + i] = max(max(vertices[a, i], vertices[b, i]), vertices[c, i])
    return out


@njit(cache=True, nogil=True)
def _triangles(vertices: Any, faces: Any, order: Any) -> Any:
    out = np.empty((len(order), 12))
    for at in range(len(order)):
        a, b, c = faces[order[at], 0], faces[order[at], 1], faces[order[at], 2]
        for i in range(3):
            out[at, i] = vertices[a, i]
            out[at, 3 + i], out[at, 6 + i] = vertices[b, i] - vertices[a, i], vertices[c, i] - vertices[a, i]
        t = out[at]
        t[9] = t[3] * t[3] + t[4] * t[4] + t[5] * t[5]
        t[10] = t[3] * t[6] + t[4] * t[7] + t[5] * t[8]
        t[11] = t[6] * t[6] + t[7] * t[7] + t[8] * t[8]
    return out


@njit(cache=True, nogil=True)
def _outwards(value: float, up: bool) -> Any:
    """The nearest float32 that is not below (or, not above) a float64."""
    near = np.float32(value)
    if up and near < value:
        return np.nextafter(near, np.float32(np.inf))
    if not up and near > value:
        return np.nextafter(near, np.float32(-np.inf))
    return near


@njit(cache=True, nogil=True)
def _half_area(box: Any) -> float:
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x if x >= 0 else 0.0


@njit(cache=True, nogil=True)
def _widen(box: Any, bounds: Any, face: int) -> None:
    for i in range(3):
        box[i] = min(box[i], bounds[face, i])
        box[3 + i] = max(box[3 + i], bounds[face, 3 + i])


@njit(cache=True, nogil=True)
def _empty(box: Any) -> None:
    for i in range(3):
        box[i], box[3 + i] = np.inf, -np.inf


@njit(cache=True, nogil=True)
def _box(order: Any, start: int, end: int, bounds: Any, box: Any) -> None:
    _empty(box)
    for at in range(start, end):
        _widen(box, bounds, order[at])


@njit(cache=True, nogil=True)
def _longest(order: Any, start: int, end: int, bounds: Any) -> Any:
    """Axis in which the middles of a range's triangles lie farthest apart, twice the least of them, and how far.

    To try all three axes takes three times as long, and finds trees that are hardly better.
    """
    box = np.empty(6)
    _empty(box)
    for at in range(start, end):
        face = order[at]
        for i in range(3):
            middle = bounds[face, i] + bounds[face, 3 + i]
            box[i], box[3 + i] = min(box[i], middle), max(box[3 + i], middle)
    axis = 0
    for i in range(1, 3):
        if box[3 + i] - box[i] > box[3 + axis] - box[axis]:
            axis = i
    return axis, box[axis], box[3 + axis] - box[axis]


@njit(cache=True, nogil=True)
def _halve(order: Any, start: int, end: int, bounds: Any) -> int:
    """Sort a few triangles along one axis; returns where their second half begins."""
    axis, _, _ = _longest(order, start, end, bounds)
    for at in range(start + 1, end):
        face, to = order[at], at
        middle = bounds[face, axis] + bounds[face, 3 + axis]
        while to > start and bounds[order[to - 1], axis] + bounds[order[to - 1], 3 + axis] > middle:
            order[to] = order[to - 1]
            to -= 1
        order[to] = face
    return (start + end) // 2


@njit(cache=True, nogil=True)
def _split(order: Any, start: int, end: int, bounds: Any, bins: Any, filled: Any, right: Any, halves: Any) -> int:
    """Put the triangles of one range into two parts, whose boxes go into `halves`.

    Returns:
        Where the second part begins; `start` where no parts are better than the whole.
    """
    axis, least, extent = _longest(order, start, end, bounds)
    count = BINS if end - start > FEW else FEW_BINS
    scale = count / extent if extent > 0 else np.inf
    if not scale < np.inf:
        return start
    for k in range(count):
        _empty(bins[k])
        filled[k] = 0
    for at in range(start, end):
        face = order[at]
        k = min(count - 1, int((bounds[face, axis] + bounds[face, 3 + axis] - least) * scale))
        filled[k] += 1
        for i in range(3):
            bins[k, i] = min(bins[k, i], bounds[face, i])
            bins[k, 3 + i] = max(bins[k, 3 + i], bounds[face, 3 + i])
    part = halves[1]
    _empty(part)
    number = 0
    for k in range(count - 1, 0, -1):
        _widen(part, bins, k)
        number += filled[k]
        right[k] = _half_area(part) * number
    _empty(part)
    number, best, best_bin = 0, np.inf, -1
    for k in range(count - 1):
        _widen(part, bins, k)
        number += filled[k]
        cost = _half_area(part) * number + right[k + 1]
        if 0 < number < end - start and cost < best:
            best, best_bin = cost, k
    if best_bin < 0:
        return start
    _empty(halves[0])
    _empty(halves[1])
    for k in range(count):
        _widen(halves[0 if k <= best_bin else 1], bins, k)
    i, j = start, end - 1
    while i <= j:
        face = order[i]
        k = min(count - 1, int((bounds[face, axis] + bounds[face, 3 + axis] - least) * scale))
        if k <= best_bin:
            i += 1
        else:
            order[i], order[j] = order[j], face
            j -= 1
    return i


@njit(cache=True, nogil=True)
def _grow(order: Any, bounds: Any, start: int, stop: int, level: int, large: int) -> Any:
    """The tree over a range of triangles, whose order is changed; node 0 is its root.

    Returns:
        boxes, children: of the nodes.
        tasks: (T, 4) what is left to do below: ranges of at most `large` triangles: first, end, level, and twice the
            node (and one more for its right).
    """
    boxes = np.empty((max(stop - start, 1), 2, 2, 3), np.float32)
    children = np.empty((max(stop - start, 1), 2), np.int32)
    tasks = np.empty((max(4 * SHARES, 1), 4), np.int64)
    bins, filled, right = np.empty((BINS, 6)), np.empty(BINS, np.int64), np.empty(BINS)
    ranges = np.empty((2 * STACK, 4), np.int64)  # first, end, level, twice the parent (and one more for its right)
    halves = np.empty((2, 6))
    nodes, top, left = 0, 1, 0
    ranges[0] = start, stop, level, -1
    while top > 0:
        top -= 1
        first, end, depth, place = ranges[top]
        if place >= 0:
            children[place // 2, place % 2] = nodes
        parted = False
        if end - first <= LEAF:  # a root of few triangles has all of them on its left, and nothing on its right
            middle = end
        elif end - first <= HALVED:
            middle = _halve(order, first, end, bounds)
        else:
            middle = _split(order, first, end, bounds, bins, filled, right, halves) if depth < DEEP else first
            parted = middle > first
            middle = middle if parted else (first + end) // 2
        if not parted:
            _box(order, first, middle, bounds, halves[0])
            _box(order, middle, end, bounds, halves[1])
        for side in range(1, -1, -1):
            begin, close = (middle, end) if side else (first, middle)
            for i in range(3):
                boxes[nodes, side, 0, i] = _outwards(halves[side, i], False)
                boxes[nodes, side, 1, i] = _outwards(halves[side, 3 + i], True)
            if close - begin <= LEAF:
                children[nodes, side] = -1 - (8 * begin + close - begin)
            elif close - begin <= large and left < len(tasks):
                tasks[left] = begin, close, depth + 1, 2 * nodes + side
                left += 1
            else:
                ranges[top] = begin, close, depth + 1, 2 * nodes + side
                top += 1
        nodes += 1
    return boxes[:nodes].copy(), children[:nodes].copy(), tasks[:left].copy()


def flat_faces(tree: MeshTree) -> int:
    """How many faces have no area, or so little that rounding decides where they look."""
    return int(_flat(tree.triangles))


@njit(cache=True, nogil=True)
def _flat(triangles: Any) -> int:
    count = 0
    for at in range(len(triangles)):
        ab, abac, ac = triangles[at, 9], triangles[at, 10], triangles[at, 11]
        longest = max(max(ab, ac), ab - 2 * abac + ac)
        count += not ab * ac - abac * abac > FLAT * longest * longest
    return count
