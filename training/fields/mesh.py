"""A triangle mesh, its largest part, and the same mesh with y upwards."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class Mesh:
    """Triangles that share vertices.

    Attributes:
        vertices: (V, 3) float64, in the frame and unit that its maker states.
        faces: (F, 3) int32; (b - a) x (c - a) of a face's corners a, b, c points outwards, computed by numbers, so
            that the determinant sum(a . (b x c)) / 6 is a closed mesh's volume whatever the frame's handedness.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]


def largest_component(mesh: Mesh) -> Mesh:
    """The connected part with the most vertices (as ICON's `clean_mesh`); the first of equals; nothing of nothing.

    Vertices are connected by faces. Their order and that of the faces stay; a vertex without a face goes.
    """
    if not len(mesh.faces):
        return Mesh(mesh.vertices[:0], mesh.faces)
    count = len(mesh.vertices)
    start, end = mesh.faces[:, [0, 1]].ravel(), mesh.faces[:, [1, 2]].ravel()
    edges = coo_array((np.ones(len(start), bool), (start, end)), shape=(count, count))
    part = connected_components(edges, directed=False)[1]
    used = np.zeros(count, bool)
    used[mesh.faces] = True
    kept = used & (part == np.bincount(part[used]).argmax())
    number = np.cumsum(kept, dtype=np.int32) - np.int32(1)
    return Mesh(mesh.vertices[kept], number[mesh.faces[kept[mesh.faces[:, 0]]]])


def upright(mesh: Mesh) -> Mesh:
    """From x right, y down, z to the viewer to y up, as glTF and most viewers want: mirrored, faces turned."""
    return Mesh(mesh.vertices * (1.0, -1.0, 1.0), np.ascontiguousarray(mesh.faces[:, ::-1]))
