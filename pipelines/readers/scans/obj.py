"""Meshes of OBJ files with their textures."""

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from ...rawfiles import RawFiles
from .materials import GREY, MOST_MATERIALS, Material, read_materials, read_picture
from .mesh import ScanMesh, check_mesh
from .obj_text import ObjText, parse_obj
from .textures import Pixels, pack


def read_obj(files: RawFiles, path: str, texture: str | None = None) -> ScanMesh:
    """The mesh of an OBJ file.

    With several materials their pictures, and the colours of those without one, are put into one texture. With one
    material, its picture is the texture; its colour alone makes none.

    Args:
        files: the raw files.
        path: of the mesh, relative to RAW.
        texture: of the picture that all faces have, instead of those that the file's materials name.

    Returns:
        The mesh. What is missing of its materials is in its notes.

    Raises:
        FormatError: it is no OBJ file, names what is not there or lies outside of its folder, or is too large.
        RawDataError: a file cannot be read.
        FileNotFoundError: there is no such mesh.
    """
    data = files.read(path)
    with files.stages("parse mesh"):
        text = parse_obj(data, path)
    notes: list[str] = []
    if text.short:
        notes.append(f"{text.short} faces of fewer than three corners are left out")
    picture, uv, face_uv = _textured(files, path, text, texture, notes)
    if picture is None and text.colours is None and not notes:
        notes.append("no texture: no picture is named" if uv is not None else "no texture: no texture coordinates")
    colours = None if text.colours is None else vertex_colours(text.colours, notes)
    return check_mesh(ScanMesh(text.vertices, text.faces, uv, face_uv, picture, colours, tuple(notes)), path)


def _textured(
    files: RawFiles, path: str, text: ObjText, texture: str | None, notes: list[str]
) -> tuple[Pixels | None, NDArray[np.float32] | None, NDArray[np.int32] | None]:
    """Texture, uv and face_uv; each None where there is none."""
    has_uv = len(text.uv) > 0 and bool((text.face_uv >= 0).any())
    uv, face_uv = (text.uv.astype(np.float32), text.face_uv) if has_uv else (None, None)
    if texture is not None:
        return read_picture(files, texture, notes) if has_uv else None, uv, face_uv
    libraries = [line[7:].strip() for line, _ in text.marks if line.startswith("mtllib") and line[7:].strip()]
    materials = read_materials(files, path, libraries, notes)
    names, of_face = _uses(text, materials)
    if len(names) > MOST_MATERIALS:
        raise FormatError(f"{path}: {len(names)} materials; refused: {MOST_MATERIALS} are put into one texture")
    unknown = [name for name in names if name not in materials]
    if materials and unknown:
        notes.append(f"no material {', '.join(map(repr, unknown[:3]))} in its files: grey")
    paths = {entry.picture for name in names if (entry := materials.get(name)) and entry.picture}
    pictures = {picture: read_picture(files, picture, notes) for picture in sorted(paths)} if has_uv else {}
    plain = [entry for name in names if (entry := materials.get(name)) and not entry.picture and entry.colour != GREY]
    if len(names) <= 1 and not plain:
        return next(iter(pictures.values()), None), uv, face_uv
    if not materials:
        return None, uv, face_uv
    if len(names) > 1:
        notes.append(f"{len(names)} materials in one texture")
    tiles = [_tile(materials.get(name, Material()), pictures) for name in names]
    return pack(tiles, of_face, text.uv, text.face_uv, path)


def _tile(material: Material, pictures: dict[str, Pixels | None]) -> Pixels:
    """The picture of a material, or one pixel of its colour."""
    picture = pictures.get(material.picture or "")
    return np.array([[material.colour]], np.uint8) if picture is None else picture


def _uses(text: ObjText, materials: dict[str, Material]) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the materials that faces have, and which of them each face has.

    Faces before any `usemtl` have the only material that there is, or one without a name.
    """
    names = [next(iter(materials)) if len(materials) == 1 else ""]
    starts = [0]
    for line, before in text.marks:
        if line.startswith("usemtl"):
            names.append(line[7:].strip())
            starts.append(before)
    counts = np.diff([*starts, len(text.faces)])
    used = {name: number for number, name in enumerate(dict.fromkeys(np.array(names, object)[counts > 0]))}
    return list(used), np.repeat([used.get(name, 0) for name in names], counts)


def vertex_colours(colours: NDArray[np.float64], notes: list[str]) -> NDArray[np.uint8] | None:
    """(V, 3) uint8 colours from numbers of 0 to 1, or of 0 to 255 where one is above 1; None where they are neither."""
    known = np.isfinite(colours)
    if not known.all() or colours.min() < 0 or colours.max() > 255:
        notes.append("colours of some vertices are missing or beyond 255: left out")
        return None
    return np.rint(colours if colours.max() > 1 else colours * 255).astype(np.uint8)
