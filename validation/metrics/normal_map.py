"""Normal maps of a mesh, and the four pictures of it that the published normal error compares."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from .raster import Raster, checked, look

Floats = NDArray[np.float64]
VIEWS = 4  # of the published error, a quarter of a turn apart


def vertex_normals(vertices: ArrayLike, faces: ArrayLike) -> Floats:
    """Unit normals of vertices: of their faces' cross products, so weighted by area (H. Gouraud, 1971).

    Args:
        vertices: (V, 3) positions.
        faces: (F, 3) vertices of each triangle.

    Returns:
        (V, 3) float64, zero where a vertex has no face or its faces cancel out.

    Raises:
        ValueError: as `look` does.
    """
    points, corners = checked(vertices, faces)
    out = np.zeros(points.shape)
    _add_faces(points, corners, out)
    return _unit(out)


def normal_map(raster: Raster, vertices: ArrayLike, faces: ArrayLike, mirrored: bool = True) -> NDArray[np.float32]:
    """Smooth normals at the pixels of a raster: those of the vertices, interpolated.

    Args:
        raster: of this mesh.
        vertices: (V, 3) x right, y down, z towards the camera.
        faces: (F, 3) vertices of each triangle.
        mirrored: whether faces run counter-clockwise, seen from outside, in a world that is the mirror image of the
            cube, as it is with all that `calib` brings into the cube, where y is down. False for a mesh that was made
            in the cube itself.

    Returns:
        (S, S, 3) float32 unit vectors, outwards, in the axes of the vertices; zero where nothing is, and where the
        corners' normals cancel out.

    Raises:
        ValueError: as `look` does.
    """
    normals = vertex_normals(vertices, faces) * (-1.0 if mirrored else 1.0)
    out = np.zeros((*raster.face.shape, 3), np.float32)
    seen = raster.mask
    corners = normals[np.asarray(faces)[raster.face[seen]]]
    out[seen] = _unit(np.einsum("nk,nki->ni", raster.bary[seen], corners))
    return out


def published_pictures(
    vertices: ArrayLike, faces: ArrayLike, size: int = 512, mirrored: bool = True, background: float = 0.0,
    turns: ArrayLike | None = None,
) -> NDArray[np.float32]:  # fmt: skip
    """The four pictures that `icon_normal_error` compares: Y. Xiu et al., "ICON", 2022, `Evaluator.py`.

    The mesh is turned about y by 0, 90, 180 and 270 degrees; colours are (n + 1) / 2 of normals in the camera's frame
    with y up, as that code renders them.

    Args:
        vertices: (V, 3) in the cube: x right, y down, z towards the camera.
        faces: (F, 3) vertices of each triangle.
        size: S, pixels of a side.
        mirrored: see `normal_map`.
        background: colour where nothing is: black in ICON's first code, which this follows; a later state of it draws
            four views on white (1), and ECON's normalised black comes out as 0.211.
        turns: (4, 4, 4) from the mesh's cube to those of the four cameras, where these do not go round the cube's own
            y axis: cameras that look down on a person.

    Returns:
        (4, S, S, 3) float32 colours in [0, 1].

    Raises:
        ValueError: as `look` does.
    """
    points, corners = checked(vertices, faces)
    out = np.full((VIEWS, size, size, 3), background, np.float32)
    whole = np.stack([_about_y(np.pi / 2 * view) for view in range(VIEWS)]) if turns is None else np.asarray(turns)
    for view, turn in enumerate(whole):
        turned = points @ turn[:3, :3].T + turn[:3, 3]
        raster = look(turned, corners, size)
        normals = normal_map(raster, turned, corners, mirrored) * np.array([1, -1, 1], np.float32)
        out[view][raster.mask] = (normals[raster.mask] + 1) / 2
    return out


def _about_y(angle: float) -> Floats:
    """(4, 4)."""
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, 0, sine, 0], [0, 1, 0, 0], [-sine, 0, cosine, 0], [0, 0, 0, 1]])


def _unit(vectors: Floats) -> Floats:
    """Vectors (n, 3) of length 1, zero where they are."""
    length = np.sqrt(np.einsum("ni,ni->n", vectors, vectors))[:, None]
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


@njit(cache=True, nogil=True)
def _add_faces(vertices: Any, faces: Any, out: Any) -> None:
    """Add each face's cross product to its three corners."""
    for face in range(len(faces)):
        a, b, c = vertices[faces[face, 0]], vertices[faces[face, 1]], vertices[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for k in range(3):
            corner = faces[face, k]
            out[corner, 0] += x
            out[corner, 1] += y
            out[corner, 2] += z
