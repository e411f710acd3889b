"""What an orthographic camera sees of a mesh, on the CPU, without a display: faces, places in them, depths.

The camera of our shards and of the references looks at the cube [-1, 1]^3: x right, y down, z towards it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from ...datasets.surface.mesh_tree import checked_points

SLACK = 1e-9  # of a pixel, around a face's rectangle: what rounding takes; each pixel is tested exactly


@dataclass(frozen=True, eq=False)
class Raster:
    """A mesh in a picture of S x S pixels.

    Attributes:
        face: (S, S) int32 face at the pixel's centre, -1 where there is none.
        bary: (S, S, 3) float32 barycentric coordinates of the place in the face; zero where there is none.
        depth: (S, S) float32 z of the place, larger nearer; NaN where there is none.
    """

    face: NDArray[np.int32]
    bary: NDArray[np.float32]
    depth: NDArray[np.float32]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(S, S) bool pixels whose centres the mesh covers."""
        return self.face >= 0


def look(vertices: ArrayLike, faces: ArrayLike, size: int, back: bool = False) -> Raster:
    """Look at a mesh.

    The centre of pixel (i, j) lies at x = (2 j + 1) / S - 1, y = (2 i + 1) / S - 1. Faces are seen from both sides. A
    centre on an edge is of all faces at the edge, so that there are no cracks. What is beyond the cube in z is seen.

    Args:
        vertices: (V, 3) x right, y down, z towards the camera; [-1, 1] is in the picture.
        faces: (F, 3) vertices of each triangle.
        size: S, pixels of a side.
        back: what lies farthest instead of nearest, on the same pixels, not mirrored: the references' back view.

    Raises:
        ValueError: shapes or `size` are wrong, faces name vertices that there are not, or vertices are not finite or
            beyond 1e15.
    """
    points, corners = checked(vertices, faces)
    if size < 1:
        raise ValueError(f"a picture of {size} pixels: its side is at least 1")
    face, depth = np.full((size, size), -1, np.int32), np.full((size, size), np.nan)
    bary = np.zeros((size, size, 3), np.float32)
    _draw(points, corners, size, -1.0 if back else 1.0, face, bary, depth)
    return Raster(face, bary, depth.astype(np.float32))


def checked(vertices: ArrayLike, faces: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """A mesh's (V, 3) vertices and (F, 3) faces, which may be none; raises as `look` does."""
    points, corners = np.asarray(vertices, np.float64), np.asarray(faces)
    if points.ndim != 2 or points.shape[1:] != (3,) or corners.ndim != 2 or corners.shape[1:] != (3,):
        raise ValueError(f"a mesh has vertices (V, 3) and faces (F, 3), not {points.shape} and {corners.shape}")
    if len(corners) and (corners.dtype.kind not in "iu" or corners.min() < 0 or corners.max() >= len(points)):
        raise ValueError(f"faces name vertices {corners.min()} to {corners.max()} of {len(points)}")
    return checked_points(points), np.ascontiguousarray(corners, np.int32)


@njit(cache=True, nogil=True)
def _side(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    """Twice the area of a, b and a place: of opposite signs, to the last bit, for the two faces at an edge."""
    if ax < bx or (ax == bx and ay < by):
        return (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    return -((ax - bx) * (y - by) - (ay - by) * (x - bx))


@njit(cache=True, nogil=True)
def _span(low: float, high: float, size: int) -> Any:
    """First and last pixel whose centre lies between two coordinates, within the picture."""
    first = np.ceil((low + 1) * size / 2 - 0.5 - SLACK)
    last = np.floor((high + 1) * size / 2 - 0.5 + SLACK)
    return int(min(max(first, 0.0), float(size))), int(max(min(last, size - 1.0), -1.0))


@njit(cache=True, nogil=True)
def _draw(vertices: Any, faces: Any, size: int, towards: float, face_at: Any, bary_at: Any, depth_at: Any) -> None:
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        left, right = _span(min(a[0], b[0], c[0]), max(a[0], b[0], c[0]), size)
        top, bottom = _span(min(a[1], b[1], c[1]), max(a[1], b[1], c[1]), size)
        for i in range(top, bottom + 1):
            y = (2 * i + 1) / size - 1
            for j in range(left, right + 1):
                x = (2 * j + 1) / size - 1
                u = _side(b[0], b[1], c[0], c[1], x, y)
                v = _side(c[0], c[1], a[0], a[1], x, y)
                w = _side(a[0], a[1], b[0], b[1], x, y)
                if (u < 0 or v < 0 or w < 0) and (u > 0 or v > 0 or w > 0):
                    continue
                total = u + v + w
                if total == 0:
                    continue  # seen from its edge
                u, v, w = u / total, v / total, w / total
                z = u * a[2] + v * b[2] + w * c[2]
                if face_at[i, j] < 0 or towards * z > towards * depth_at[i, j]:
                    face_at[i, j], depth_at[i, j] = face, z
                    bary_at[i, j, 0], bary_at[i, j, 1], bary_at[i, j, 2] = u, v, w
