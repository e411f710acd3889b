"""Meshes as files: Wavefront OBJ and glTF 2.0 binary, written whole or not at all."""

import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.commit import write_file
from .glb import glb_bytes
from .mesh import Mesh

Colours = NDArray[np.uint8]


def write_obj(path: str | Path, mesh: Mesh, colours: Colours | None = None) -> None:
    """Write a mesh as OBJ text, in its own axes, nine digits a coordinate.

    Args:
        path: of the file, in a folder that exists; an old file stays until the new one is whole.
        mesh: what to write.
        colours: (V, 3) uint8 sRGB of the vertices, written behind the coordinates as most programs read them.

    Raises:
        ValueError: the mesh is empty or not finite, or shapes do not fit.
    """
    check_mesh(mesh, colours)
    rows, line = mesh.vertices, "v %.9g %.9g %.9g\n"
    if colours is not None:
        rows, line = np.concatenate([rows, colours / 255.0], 1), "v %.9g %.9g %.9g %.6g %.6g %.6g\n"
    text = line * len(rows) % tuple(rows.ravel().tolist())
    text += "f %d %d %d\n" * len(mesh.faces) % tuple((mesh.faces.ravel() + 1).tolist())
    write_file(Path(path), text.encode("ascii"), uuid.uuid4().hex)


def write_glb(path: str | Path, mesh: Mesh, colours: Colours | None = None) -> None:
    """Write a mesh as glTF 2.0 binary, in its own axes: float32 positions and smooth normals, uint32 indices.

    Viewers show glTF with y up and x to the right, z to the viewer: `upright` makes that of the cube's axes.

    Args:
        path: of the file, in a folder that exists; an old file stays until the new one is whole.
        mesh: what to write.
        colours: (V, 3) uint8 sRGB of the vertices; the format wants them linear, so that they are written converted.

    Raises:
        ValueError: the mesh is empty or not finite, or shapes do not fit.
    """
    check_mesh(mesh, colours)
    write_file(Path(path), glb_bytes(mesh, colours), uuid.uuid4().hex)


def check_mesh(mesh: Mesh, colours: Colours | None) -> None:
    """Raise ValueError unless the mesh has faces of vertices that exist and are finite, and a colour for each."""
    count = len(mesh.vertices)
    if not len(mesh.faces):
        raise ValueError("a mesh without faces cannot be written")
    if mesh.faces.min() < 0 or mesh.faces.max() >= count:
        raise ValueError(f"faces name vertices {mesh.faces.min()} to {mesh.faces.max()} of {count}")
    if not np.isfinite(mesh.vertices).all():
        raise ValueError("vertices are not finite")
    if colours is not None and (colours.shape != (count, 3) or colours.dtype != np.uint8):
        raise ValueError(f"colours are ({count}, 3) uint8, not {colours.shape} {colours.dtype}")
