"""Normals of a mesh's faces, edges and corners, by which the side of a point is told from its closest point.

J. A. Baerentzen and H. Aanaes, "Signed distance computation using the angle weighted pseudonormal", 2005: on a closed
surface that does not cross itself, the sign of (point - closest point) . normal is that of the distance, where the
normal of an edge is the sum of its faces' normals, and that of a corner the sum weighted by the faces' angles there.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from .mesh_nearest import CHUNK, Nearest
from .mesh_topology import Topology
from .mesh_tree import MeshTree
from .threads import in_threads


class FeatureNormals(NamedTuple):
    """Normals, each once: of unit length for faces, of any length for others; zero where there is none.

    Attributes:
        faces: (F, 3) float64.
        edges: (E, 3) float64, by the numbers of `Topology.edges`.
        places: (P, 3) float64, by those of `Topology.corners`.
    """

    faces: NDArray[np.float64]
    edges: NDArray[np.float64]
    places: NDArray[np.float64]


def feature_normals(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], found: Topology, threads: int = 1
) -> FeatureNormals:
    """Normals of a mesh's features, the same with any number of threads.

    Args:
        vertices: (V, 3) float64.
        faces: (F, 3) int32.
        found: the mesh's topology; faces that look the wrong way are turned.
        threads: that share the work.
    """
    places = int(found.corners.max()) + 1
    out = FeatureNormals(np.empty((len(faces), 3)), np.zeros((found.edge_count, 3)), np.zeros((places, 3)))
    angles = np.empty((len(faces), 3))

    def one(start: int) -> None:
        _of_faces(start, start + CHUNK, vertices, faces, found.side, out.faces, angles)

    def add(to_edges: bool) -> None:
        if to_edges:
            _add(out.faces, np.ones_like(angles), found.edges, out.edges)
        else:
            _add(out.faces, angles, found.corners, out.places)

    in_threads(one, range(0, len(faces), CHUNK), threads)
    in_threads(add, (True, False), threads)
    return out


def pseudonormals(vertices: NDArray[np.float64], faces: NDArray[np.int32], found: Topology) -> NDArray[np.float64]:
    """Normals by face: its own, those of its edges ab, bc, ca, and of its corners a, b, c; arguments as above.

    Returns:
        (F, 7, 3) float64.
    """
    normals = feature_normals(vertices, faces, found)
    edges = np.where(found.edges[..., None] < 0, 0.0, normals.edges[found.edges])
    return np.concatenate([normals.faces[:, None], edges, normals.places[found.corners]], 1)


def vertex_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32], found: Topology) -> NDArray[np.float64]:
    """(V, 3) unit normals of vertices, weighted by angles, those at one place alike; zero where there is none."""
    normals = np.zeros_like(vertices)
    normals[faces.reshape(-1)] = pseudonormals(vertices, faces, found)[:, 4:].reshape(-1, 3)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)


def behind(
    tree: MeshTree, points: NDArray[np.float64], found: Nearest, topology: Topology, normals: FeatureNormals,
    threads: int = 1,
) -> NDArray[np.bool_]:  # fmt: skip
    """Whether points lie behind the surface where it comes closest to them.

    Args:
        tree: of the mesh.
        points: (n, 3) float64.
        found: where it comes closest.
        topology: the mesh's.
        normals: the mesh's.
        threads: that share the work.

    Returns:
        (n,) bool.
    """
    out = np.empty(len(points), bool)

    def one(start: int) -> None:
        part = slice(start, start + CHUNK)
        some = points[part], found.face[part], found.bary[part], found.feature[part]
        _behind(*some, tree.vertices, tree.faces, topology.edges, topology.corners, *normals, out[part])

    in_threads(one, range(0, len(points), CHUNK), threads)
    return out


@njit(cache=True, nogil=True)
def _behind(
    points: Any, found: Any, bary: Any, features: Any, vertices: Any, faces: Any, edges: Any, corners: Any,
    of_faces: Any, of_edges: Any, of_places: Any, out: Any,
) -> None:  # fmt: skip
    for at in range(len(points)):
        face, feature = found[at], features[at]
        if feature == 0:
            normal = of_faces[face]
        elif feature < 4:
            normal = of_edges[edges[face, feature - 1]]  # no point is closest to a face without edges first
        else:
            normal = of_places[corners[face, feature - 4]]
        along = 0.0
        for i in range(3):
            closest = bary[at, 0] * vertices[faces[face, 0], i] + bary[at, 1] * vertices[faces[face, 1], i]
            along += (points[at, i] - closest - bary[at, 2] * vertices[faces[face, 2], i]) * normal[i]
        out[at] = along < 0


@njit(cache=True, nogil=True)
def _of_faces(start: int, end: int, vertices: Any, faces: Any, side: Any, out: Any, angles: Any) -> None:
    """Unit normals of some faces, and the angles at their corners."""
    for face in range(start, min(end, len(faces))):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - b[0], c[1] - b[1], c[2] - b[2]
        wx, wy, wz = a[0] - c[0], a[1] - c[1], a[2] - c[2]
        x, y, z = wy * uz - wz * uy, wz * ux - wx * uz, wx * uy - wy * ux
        length = np.sqrt(x * x + y * y + z * z)
        scale = side[face] / length if length > 0 else 0.0
        out[face, 0], out[face, 1], out[face, 2] = x * scale, y * scale, z * scale
        angles[face, 0] = np.arctan2(length, -(ux * wx + uy * wy + uz * wz))
        angles[face, 1] = np.arctan2(length, -(ux * vx + uy * vy + uz * vz))
        angles[face, 2] = np.arctan2(length, -(vx * wx + vy * wy + vz * wz))


@njit(cache=True, nogil=True)
def _add(normals: Any, weights: Any, features: Any, out: Any) -> None:
    """Add each face's normal to its three features, by weight; features of -1 are none."""
    for face in range(len(normals)):
        for i in range(3):
            feature = features[face, i]
            if feature >= 0:
                for k in range(3):
                    out[feature, k] += weights[face, i] * normals[face, k]
