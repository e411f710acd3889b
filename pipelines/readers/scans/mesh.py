"""What a mesh file holds, whatever its format: triangles with texture or colours, in the units of the file."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError

MOST_FACES = 50_000_000
NO_UV = -1


@dataclass(frozen=True, eq=False)
class ScanMesh:
    """A triangle mesh as read, its vertices in the order of the file.

    Attributes:
        vertices: (V, 3) float64, raw units and axes.
        faces: (F, 3) int32, in the winding of the file.
        uv: (T, 2) float32 texture coordinates: u to the right, v up, the picture from 0 to 1; None without any.
        face_uv: (F, 3) int32 texture coordinate of each corner, -1 at all three of a face that has none; as `uv`.
        texture: (H, W, 3) uint8 sRGB, top row (v = 1) first; None where there is none.
        colours: (V, 3) uint8 sRGB of the vertices; None where there are none.
        notes: what was missing or left out, one line each.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    uv: NDArray[np.float32] | None = None
    face_uv: NDArray[np.int32] | None = None
    texture: NDArray[np.uint8] | None = None
    colours: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()


def check_mesh(mesh: ScanMesh, source: str) -> ScanMesh:
    """The mesh, if every index lies in it and every position is finite.

    Args:
        mesh: what a reader made.
        source: what its file is called in messages.

    Raises:
        FormatError: it is empty or too large, or as said.
    """
    vertices, faces = mesh.vertices, mesh.faces
    if not 0 < len(faces) <= MOST_FACES:
        raise FormatError(f"{source}: {len(faces)} triangles; a scan has 1 to {MOST_FACES}")
    if not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        raise FormatError(f"{source}: faces name vertices {faces.min()} to {faces.max()} of {len(vertices)}")
    if not np.isfinite(vertices).all():
        where = int(np.flatnonzero(~np.isfinite(vertices).all(1))[0])
        raise FormatError(f"{source}: vertex {where + 1} is not finite; fetch the file again")
    if mesh.uv is not None and mesh.face_uv is not None:
        if not NO_UV <= int(mesh.face_uv.min()) <= int(mesh.face_uv.max()) < len(mesh.uv):
            raise FormatError(f"{source}: faces name texture coordinates that are not there")
        if not np.isfinite(mesh.uv).all():
            raise FormatError(f"{source}: texture coordinates are not finite; fetch the file again")
    return mesh
