"""Meshes of any format that scans come in, by the ending of their names."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from ...rawfiles import RawFiles
from .glb import read_glb
from .mesh import ScanMesh, check_mesh
from .obj import read_obj

SUFFIXES = (".obj", ".ply", ".glb", ".stl")


def read_mesh(files: RawFiles, path: str, texture: str | None = None) -> ScanMesh:
    """The mesh of a file.

    Args:
        files: the raw files.
        path: relative to RAW; OBJ, PLY, GLB or STL by its ending.
        texture: path of the picture of an OBJ file, instead of those that its materials name.

    Raises:
        FormatError: another ending, or the file is damaged, hostile or too large.
        RawDataError: it cannot be read.
        FileNotFoundError: there is no such file.
    """
    suffix = path[path.rfind(".") :].lower() if "." in path else ""
    if suffix == ".obj":
        return read_obj(files, path, texture)
    if suffix == ".glb":
        return read_glb(files, path)
    if suffix not in SUFFIXES:
        raise FormatError(f"{path}: a mesh file ends with {', '.join(SUFFIXES)}")
    data = files.read(path)
    with files.stages("parse mesh"):
        return check_mesh(read_ply(data, path) if suffix == ".ply" else read_stl(data, path), path)


def read_ply(data: bytes, source: str) -> ScanMesh:
    """The mesh of a PLY file, text or binary, with the colours of its vertices; its texture is not read.

    Raises:
        FormatError: it is no such file, or holds no faces.
    """
    notes = []
    header = data[: max(data.find(b"end_header"), 0)]
    if b"\nelement face" not in header.replace(b"\r", b"\n"):
        raise FormatError(f"{source}: no PLY file, or one without faces")
    if b"texturefile" in header.lower():
        notes.append("a texture that a PLY file names is not read")
    mesh = _trimesh(data, "ply", source, skip_materials=True, fix_texture=False)
    colours = None
    if mesh.visual.kind == "vertex":
        colours = np.asarray(mesh.visual.vertex_colors)[:, :3].astype(np.uint8)
    elif mesh.visual.kind == "face":
        notes.append("colours of faces are left out")
    return ScanMesh(_positions(mesh.vertices), np.asarray(mesh.faces, np.int32), colours=colours, notes=tuple(notes))


def read_stl(data: bytes, source: str) -> ScanMesh:
    """The mesh of an STL file, text or binary: corners of equal position are one vertex, sorted by position.

    Raises:
        FormatError: it is no such file, or holds no triangles.
    """
    mesh = _trimesh(data, "stl", source)
    corners = _positions(mesh.vertices)[np.asarray(mesh.faces).reshape(-1)]
    if not np.isfinite(corners).all():
        raise FormatError(f"{source}: vertices are not finite; fetch the file again")
    vertices, faces = np.unique(corners + 0.0, axis=0, return_inverse=True)  # -0 is 0
    return ScanMesh(vertices, faces.reshape(-1, 3).astype(np.int32))


def _positions(vertices: Any) -> NDArray[np.float64]:
    """A plain array of trimesh's."""
    return np.array(vertices, np.float64)


def _trimesh(data: bytes, kind: str, source: str, **options: Any) -> Any:
    """A file as trimesh reads it, its vertices as they are.

    trimesh compares sizes in binary headers with the file before it reads, opens no other file without a resolver, and
    fails in many ways on what is damaged.
    """
    import trimesh

    try:
        mesh = trimesh.load(io.BytesIO(data), file_type=kind, process=False, maintain_order=True, **options)
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise FormatError(f"{source}: no {kind.upper()} file, or a damaged one ({reason}); fetch it again") from error
    if not isinstance(mesh, trimesh.Trimesh):
        raise FormatError(f"{source}: holds no triangles, or several meshes; save it as one mesh")
    return mesh
