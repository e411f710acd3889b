"""A tree of boxes over a mesh's triangles: built once, asked by every label that needs the mesh's surface.

A binary tree by the surface area heuristic (I. Wald, "On fast construction of SAH-based bounding volume hierarchies",
2007). A node holds the boxes of both children, so that one line of the processor's cache says where to go.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ...datasets.errors import FormatError

LEAF = 4  # triangles, at most 7
BINS = 16
FEW, FEW_BINS = 64, 6
DEEP = 40  # levels, beyond which halves are of equal number
STACK = 96  # levels at most: DEEP, and those of halving 2**27 triangles
MOST_FACES = 1 << 27


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
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    boxes: NDArray[np.float32]
    children: NDArray[np.int32]
    triangles: NDArray[np.float64]
    order: NDArray[np.int32]

    @property
    def diagonal(self) -> float:
        """Length of the diagonal of the box around the faces."""
        corners = self.vertices[self.faces.reshape(-1)]
        return float(np.linalg.norm(np.ptp(corners, axis=0)))


def mesh_tree(vertices: ArrayLike, faces: ArrayLike) -> MeshTree:
    """Build the tree of a mesh.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle.

    Raises:
        FormatError: the mesh has no faces, faces without vertices, or positions that are not finite.
    """
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
    indices = np.ascontiguousarray(corners, np.int32)
    a, b, c = (points[indices[:, i]] for i in range(3))
    bounds = np.concatenate([np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)], 1)
    order, boxes, children = _build(bounds)
    ab, ac = (b - a)[order], (c - a)[order]
    dots = [(ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)]
    triangles = np.concatenate([a[order], ab, ac, np.stack(dots, 1)], 1)
    return MeshTree(points, indices, boxes, children, np.ascontiguousarray(triangles), order)


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
def _grow(box: Any, bounds: Any, face: int) -> None:
    for i in range(3):
        box[i] = min(box[i], bounds[face, i])
        box[3 + i] = max(box[3 + i], bounds[face, 3 + i])


@njit(cache=True, nogil=True)
def _empty(box: Any) -> None:
    for i in range(3):
        box[i], box[3 + i] = np.inf, -np.inf


@njit(cache=True, nogil=True)
def _split(order: Any, start: int, end: int, bounds: Any, bins: Any, filled: Any, right: Any) -> int:
    """Put the triangles of one range into two parts; returns where the second begins, `start` where none is better.

    Along the axis in which their middles lie farthest apart: to try all three takes three times as long, and finds
    trees that are hardly better.
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
    extent = box[3 + axis] - box[axis]
    count = BINS if end - start > FEW else FEW_BINS
    scale = count / extent if extent > 0 else np.inf
    if not scale < np.inf:
        return start
    for k in range(count):
        _empty(bins[k])
        filled[k] = 0
    for at in range(start, end):
        face = order[at]
        k = min(count - 1, int((bounds[face, axis] + bounds[face, 3 + axis] - box[axis]) * scale))
        filled[k] += 1
        for i in range(3):
            bins[k, i] = min(bins[k, i], bounds[face, i])
            bins[k, 3 + i] = max(bins[k, 3 + i], bounds[face, 3 + i])
    part = np.empty(6)
    _empty(part)
    number = 0
    for k in range(count - 1, 0, -1):
        _grow(part, bins, k)
        number += filled[k]
        right[k] = _half_area(part) * number
    _empty(part)
    number, best, best_bin = 0, np.inf, -1
    for k in range(count - 1):
        _grow(part, bins, k)
        number += filled[k]
        cost = _half_area(part) * number + right[k + 1]
        if 0 < number < end - start and cost < best:
            best, best_bin = cost, k
    if best_bin < 0:
        return start
    i, j = start, end - 1
    while i <= j:
        face = order[i]
        k = min(count - 1, int((bounds[face, axis] + bounds[face, 3 + axis] - box[axis]) * scale))
        if k <= best_bin:
            i += 1
        else:
            order[i], order[j] = order[j], face
            j -= 1
    return i


@njit(cache=True, nogil=True)
def _build(bounds: Any) -> Any:
    """Order of the triangles, boxes and children of the nodes."""
    count = len(bounds)
    order = np.arange(count).astype(np.int32)
    boxes = np.empty((max(count, 1), 2, 2, 3), np.float32)
    children = np.empty((max(count, 1), 2), np.int32)
    bins, filled, right = np.empty((BINS, 6)), np.empty(BINS, np.int64), np.empty(BINS)
    ranges = np.empty((2 * STACK, 4), np.int64)  # first, end, level, twice the parent (and one more for its right)
    box = np.empty(6)
    nodes, top = 1, 0
    # the root has all triangles on its left, where they are few, and nothing on its right
    middle = count
    if count > LEAF:
        middle = _split(order, 0, count, bounds, bins, filled, right)
        if middle == 0:
            middle = count // 2
    for side, first, end in ((0, 0, middle), (1, middle, count)):
        ranges[top] = first, end, 1, side
        top += 1
    while top > 0:
        top -= 1
        first, end, level, place = ranges[top]
        parent, side = place // 2, place % 2
        _empty(box)
        for at in range(first, end):
            _grow(box, bounds, order[at])
        for i in range(3):
            boxes[parent, side, 0, i] = _outwards(box[i], False)
            boxes[parent, side, 1, i] = _outwards(box[3 + i], True)
        if end - first <= LEAF:
            children[parent, side] = -1 - (8 * first + end - first)
            continue
        node = nodes
        nodes += 1
        children[parent, side] = node
        middle = first
        if level < DEEP:
            middle = _split(order, first, end, bounds, bins, filled, right)
        if middle == first:
            middle = (first + end) // 2
        ranges[top] = middle, end, level + 1, 2 * node + 1
        ranges[top + 1] = first, middle, level + 1, 2 * node
        top += 2
    return order, boxes[:nodes].copy(), children[:nodes].copy()
