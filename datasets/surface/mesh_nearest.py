"""Closest points of a mesh, exact, by its tree."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .mesh_tree import MeshTree, checked_points
from .mesh_wide import ROUNDED, STACK, UNSURE, WIDE, box_squares, triangle_squares
from .space_curve import along_curve
from .threads import in_threads

CHUNK = 1 << 13  # points, neighbours in space, that one thread looks up one after the other
FACE, EDGES, CORNERS = 0, 1, 4  # features: the face; its edges ab, bc, ca; its corners a, b, c
COORDINATE = np.float32(2e-7)  # of a coordinate, more than float32 rounds off it
NARROW = 1e-6  # squared ratio of height and length: below, dot products do not tell a triangle's regions apart


class Nearest(NamedTuple):
    """Where points come closest to a mesh.

    Attributes:
        distance: (n,) float64, in the mesh's unit.
        face: (n,) int32, of several at the same distance the first.
        bary: (n, 3) float64 barycentric coordinates of the closest point in its face.
        feature: (n,) uint8 what of the face it lies on: 0 the inside, 1 to 3 edges ab, bc, ca, 4 to 6 corners a, b, c.
    """

    distance: NDArray[np.float64]
    face: NDArray[np.int32]
    bary: NDArray[np.float64]
    feature: NDArray[np.uint8]


def nearest(tree: MeshTree, points: ArrayLike, threads: int = 1, order: NDArray[np.int64] | None = None) -> Nearest:
    """Exact closest points of a mesh.

    Points are looked up along a space-filling curve, so that what one of them needs lies in the processor's cache for
    the next one, whose search begins with the face that was found last. The result of a point does not depend on the
    others, nor on the number of threads.

    Args:
        tree: of the mesh.
        points: (n, 3) in the mesh's frame.
        threads: that share the work.
        order: of the points (`along_curve`) where it is known.

    Raises:
        ValueError: points are not finite, or beyond 1e15.
    """
    given = checked_points(points)
    order = along_curve(given) if order is None else order
    count = len(given)
    out = Nearest(np.empty(count), np.empty(count, np.int32), np.empty((count, 3)), np.empty(count, np.uint8))

    def one(start: int) -> None:
        part = order[start : start + CHUNK]
        _nearest(given, part, *tree.wide, tree.triangles, tree.order, WIDE, *out)

    in_threads(one, range(0, count, CHUNK), threads)
    return out


@njit(cache=True, nogil=True)
def _closest(t: Any, x: float, y: float, z: float) -> Any:
    """Squared distance to a triangle, weights of its second and third corner, and the feature.

    C. Ericson, Real-Time Collision Detection, 2004, section 5.1.5; the regions are told by dot products alone.
    """
    px, py, pz = x - t[0], y - t[1], z - t[2]
    d1 = t[3] * px + t[4] * py + t[5] * pz
    d2 = t[6] * px + t[7] * py + t[8] * pz
    ab, abac, ac = t[9], t[10], t[11]
    longest = max(ab, ac, ab - 2 * abac + ac)
    if not ab * ac - abac * abac > NARROW * longest * longest:
        return _closest_of_narrow(t, px, py, pz)
    d3, d4 = d1 - ab, d2 - abac
    d5, d6 = d1 - abac, d2 - ac
    v, w, feature = 0.0, 0.0, 4
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        v, feature = 1.0, 5
    elif d6 >= 0 and d5 <= d6:
        w, feature = 1.0, 6
    else:
        va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
        if vc <= 0 and d1 >= 0 and d3 <= 0:
            v, feature = d1 / ab, 1
        elif vb <= 0 and d2 >= 0 and d6 <= 0:
            w, feature = d2 / ac, 3
        elif va <= 0 and d4 >= d3 and d5 >= d6:
            length = (d4 - d3) + (d5 - d6)
            w = (d4 - d3) / length
            v, feature = 1 - w, 2
        else:
            total = va + vb + vc
            v, w, feature = vb / total, vc / total, 0
    cx, cy, cz = px - v * t[3] - w * t[6], py - v * t[4] - w * t[7], pz - v * t[5] - w * t[8]
    return cx * cx + cy * cy + cz * cz, v, w, feature


@njit(cache=True, nogil=True)
def _closest_of_narrow(t: Any, px: float, py: float, pz: float) -> Any:
    """The same of a narrow triangle, even of one that is a line or a point: the closest of its edges and its inside."""
    best, best_v, best_w, best_feature = np.inf, 0.0, 0.0, 4
    for edge in range(3):
        ax, ay, az, bx, by, bz = 0.0, 0.0, 0.0, t[3], t[4], t[5]
        if edge == 1:
            ax, ay, az = t[3], t[4], t[5]
        if edge > 0:
            bx, by, bz = t[6], t[7], t[8]
        ux, uy, uz = bx - ax, by - ay, bz - az
        length = ux * ux + uy * uy + uz * uz
        along = ux * (px - ax) + uy * (py - ay) + uz * (pz - az)
        share = min(max(along / length, 0.0), 1.0) if length > 0 else 0.0
        dx, dy, dz = px - ax - share * ux, py - ay - share * uy, pz - az - share * uz
        square = dx * dx + dy * dy + dz * dz
        if square < best:
            best = square
            v, w = (share, 0.0) if edge == 0 else ((1 - share, share) if edge == 1 else (0.0, share))
            best_v, best_w = v, w
            corner = 4 if v == w == 0.0 else (5 if v == 1.0 else (6 if w == 1.0 else 0))
            best_feature = corner if corner > 0 else 1 + edge
    nx, ny, nz = t[4] * t[8] - t[5] * t[7], t[5] * t[6] - t[3] * t[8], t[3] * t[7] - t[4] * t[6]
    area = nx * nx + ny * ny + nz * nz
    if area > 0:
        v = nx * (py * t[8] - pz * t[7]) + ny * (pz * t[6] - px * t[8]) + nz * (px * t[7] - py * t[6])
        w = nx * (t[4] * pz - t[5] * py) + ny * (t[5] * px - t[3] * pz) + nz * (t[3] * py - t[4] * px)
        v, w = v / area, w / area
        if v > 0 and w > 0 and v + w < 1:
            dx, dy, dz = px - v * t[3] - w * t[6], py - v * t[4] - w * t[7], pz - v * t[5] - w * t[8]
            square = dx * dx + dy * dy + dz * dz
            if square < best:
                return square, v, w, 0
    return best, best_v, best_w, best_feature


@njit(cache=True, nogil=True)
def _closest_of_all(triangles: Any, faces: Any, x: float, y: float, z: float) -> Any:
    """The closest triangle, of several the first face, and of it what `_closest` says: one by one, in float64."""
    last = 0
    best, best_v, best_w, best_feature = _closest(triangles[0], x, y, z)
    for i in range(1, len(triangles)):
        square, v, w, feature = _closest(triangles[i], x, y, z)
        if square < best or (square == best and faces[i] < faces[last]):
            last, best, best_v, best_w, best_feature = i, square, v, w, feature
    return last, best, best_v, best_w, best_feature


@njit(cache=True, nogil=True, error_model="numpy")
def _nearest(
    points: Any, order: Any, boxes: Any, children: Any, corners: Any, frame: Any, spans: Any, triangles: Any,
    faces: Any, wide: int, distances: Any, found: Any, barys: Any, features: Any,
) -> None:  # fmt: skip
    stack, apart = np.empty(STACK * wide, np.int32), np.empty(STACK * wide, np.float32)
    squares = np.empty(wide, np.float32)
    last = 0
    for at in order:
        x, y, z = points[at, 0], points[at, 1], points[at, 2]
        nearly_x, nearly_y, nearly_z = np.float32(x), np.float32(y), np.float32(z)
        lost = COORDINATE * (abs(nearly_x) + abs(nearly_y) + abs(nearly_z))
        best, best_v, best_w, best_feature = _closest(triangles[last], x, y, z)
        best_face, root = faces[last], np.sqrt(best)
        limit = (np.float32(root) * ROUNDED + lost) ** 2
        stack[0], apart[0], top = 0, np.float32(0), 1
        if not limit < np.inf:  # float32 does not reach that far: boxes that are none would be as close as any
            last, best, best_v, best_w, best_feature = _closest_of_all(triangles, faces, x, y, z)
            best_face, root, top = faces[last], np.sqrt(best), 0
        while top > 0:
            top -= 1
            if apart[top] > limit:
                continue
            node = stack[top]
            if node >= 0:
                box_squares(boxes[node], nearly_x, nearly_y, nearly_z, wide, squares)
                floor = top
                for k in range(wide):
                    square = squares[k]
                    if square <= limit:  # onto the stack, the closest on top
                        to = top
                        while to > floor and apart[to - 1] < square:
                            stack[to], apart[to] = stack[to - 1], apart[to - 1]
                            to -= 1
                        stack[to], apart[to] = children[node, k], square
                        top += 1
                continue
            leaf = -1 - node
            scale = frame[leaf, 3]
            lx, ly = np.float32((x - frame[leaf, 0]) * scale), np.float32((y - frame[leaf, 1]) * scale)
            lz = np.float32((z - frame[leaf, 2]) * scale)
            triangle_squares(corners[leaf], lx, ly, lz, wide, squares)
            unsure = UNSURE * (abs(lx) + abs(ly) + abs(lz) + np.float32(3))
            bound = (np.float32(root * scale) * ROUNDED + unsure) ** 2
            for k in range(spans[leaf, 1]):
                if squares[k] > bound:
                    continue
                i = spans[leaf, 0] + k
                square, v, w, feature = _closest(triangles[i], x, y, z)
                if square < best or (square == best and faces[i] < best_face):
                    best, best_v, best_w, best_feature = square, v, w, feature
                    last, best_face, root = i, faces[i], np.sqrt(square)
                    limit = (np.float32(root) * ROUNDED + lost) ** 2
                    bound = (np.float32(root * scale) * ROUNDED + unsure) ** 2
        distances[at], found[at], features[at] = root, best_face, best_feature
        barys[at, 0], barys[at, 1], barys[at, 2] = max(1 - best_v - best_w, 0.0), best_v, best_w
