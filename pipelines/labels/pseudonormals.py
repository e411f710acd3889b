"""Normals of a mesh's faces, edges and corners, by which the side of a point is told from its closest point.

J. A. Baerentzen and H. Aanaes, "Signed distance computation using the angle weighted pseudonormal", 2005: on a closed
surface that does not cross itself, the sign of (point - closest point) . normal is that of the distance, where the
normal of an edge is the sum of its faces' normals, and that of a corner the sum weighted by the faces' angles there.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .mesh_topology import Topology


def pseudonormals(vertices: NDArray[np.float64], faces: NDArray[np.int32], found: Topology) -> NDArray[np.float64]:
    """Normals by feature: the face, its edges ab, bc, ca, its corners a, b, c.

    Args:
        vertices: (V, 3) float64.
        faces: (F, 3) int32.
        found: the mesh's topology; faces that look the wrong way are turned.

    Returns:
        (F, 7, 3) float64, of unit length for faces, of any length for edges and corners; zero where there is none.
    """
    places = int(found.corners.max()) + 1
    return _normals(vertices, faces, found.corners, found.edges, found.side, places, found.edge_count)


@njit(cache=True, nogil=True)
def _normals(vertices: Any, faces: Any, corners: Any, edges: Any, side: Any, places: int, edge_count: int) -> Any:
    out = np.zeros((len(faces), 7, 3))
    of_edges, of_places = np.zeros((edge_count, 3)), np.zeros((places, 3))
    angles = np.empty(3)
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - b[0], c[1] - b[1], c[2] - b[2]
        wx, wy, wz = a[0] - c[0], a[1] - c[1], a[2] - c[2]
        x, y, z = wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux
        length = np.sqrt(x * x + y * y + z * z)
        if length == 0:
            continue
        scale = side[face] / length
        x, y, z = x * scale, y * scale, z * scale
        out[face, 0, 0], out[face, 0, 1], out[face, 0, 2] = x, y, z
        angles[0] = np.arctan2(length, -(ux * wx + uy * wy + uz * wz))
        angles[1] = np.arctan2(length, -(ux * vx + uy * vy + uz * vz))
        angles[2] = np.arctan2(length, -(vx * wx + vy * wy + vz * wz))
        for i in range(3):
            edge, place = edges[face, i], corners[face, i]
            if edge >= 0:
                of_edges[edge, 0] += x
                of_edges[edge, 1] += y
                of_edges[edge, 2] += z
            of_places[place, 0] += angles[i] * x
            of_places[place, 1] += angles[i] * y
            of_places[place, 2] += angles[i] * z
    for face in range(len(faces)):
        for i in range(3):
            if edges[face, i] >= 0:
                out[face, 1 + i] = of_edges[edges[face, i]]
            out[face, 4 + i] = of_places[corners[face, i]]
    return out
