"""Meshes of GLB files with their textures: every triangle of the scene, moved by its nodes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from ...rawfiles import RawFiles
from .glb_file import FAULTS, GlbFile
from .materials import MOST_MATERIALS
from .mesh import MOST_FACES, NO_UV, ScanMesh, check_mesh
from .textures import Pixels, pack

TRIANGLES = 4
MOST_NODES = 100_000
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Part:
    """Triangles of one material in the scene's frame; `uv` is (V, 2), v up; `colours` (V, 3) sRGB."""

    vertices: NDArray[np.float64]
    faces: NDArray[np.int64]
    material: int | None
    uv: NDArray[np.float64] | None
    colours: NDArray[np.uint8] | None


def read_glb(files: RawFiles, path: str) -> ScanMesh:
    """The mesh of a GLB file, in metres as glTF has it, y up.

    Raises:
        FormatError: it is no GLB file, is damaged, refers to other files, needs what is not read, or is too large.
        RawDataError: it cannot be read.
        FileNotFoundError: there is no such file.
    """
    data = files.read(path)
    with files.stages("parse mesh"):
        try:
            return check_mesh(_mesh(GlbFile(data, path)), path)
        except FAULTS as error:
            raise FormatError(f"{path}: damaged GLB file ({type(error).__name__}); fetch it again") from error


def _mesh(file: GlbFile) -> ScanMesh:
    notes: list[str] = []
    parts = list(_parts(file, notes))
    if not parts:
        raise FormatError(f"{file.source}: no triangles in its scene")
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts[:-1], strict=True)])
    vertices = np.concatenate([part.vertices for part in parts])
    colours = [part.colours for part in parts if part.colours is not None]
    if colours and len(colours) < len(parts):
        notes.append("colours of some vertices are missing: left out")
    together = np.concatenate(colours) if len(colours) == len(parts) else None
    texture, uv, face_uv = _textured(file, parts, faces, notes)
    return ScanMesh(vertices, faces.astype(np.int32), uv, face_uv, texture, together, tuple(notes))


def _textured(
    file: GlbFile, parts: list[_Part], faces: NDArray[np.int64], notes: list[str]
) -> tuple[Pixels | None, NDArray[np.float32] | None, NDArray[np.int32] | None]:
    """Texture, uv and face_uv; each None where there is none. Coordinates are numbered as the vertices are."""
    materials = list(dict.fromkeys(part.material for part in parts))
    if len(materials) > MOST_MATERIALS:
        raise FormatError(f"{file.source}: {len(materials)} materials; refused as too many")
    tiles = {material: _tile(file, material) for material in materials}
    pictured = [material for material in materials if tiles[material].shape[:2] != (1, 1)]
    uv = np.concatenate([np.zeros((len(x.vertices), 2)) if x.uv is None else x.uv for x in parts])
    without = np.repeat([part.uv is None for part in parts], [len(part.faces) for part in parts])
    face_uv = np.where(without[:, None], NO_UV, faces).astype(np.int32)
    if len(materials) == 1:
        if without.all():
            return None, None, None
        return tiles[materials[0]] if pictured else None, uv.astype(np.float32), face_uv
    notes.append(f"{len(materials)} materials in one texture")
    numbers = {material: number for number, material in enumerate(materials)}
    of_face = np.repeat([numbers[part.material] for part in parts], [len(part.faces) for part in parts])
    return pack([tiles[material] for material in materials], of_face, uv, face_uv, file.source)


def _texture_of(file: GlbFile, material: int | None) -> dict[str, Any] | None:
    """Reference to a material's base colour texture; None where it has none."""
    found = {} if material is None else file.entry("materials", material).get("pbrMetallicRoughness", {})
    reference = found.get("baseColorTexture")
    if reference and "KHR_texture_transform" in reference.get("extensions", {}):
        raise FormatError(f"{file.source}: a texture that is moved over its faces; bake its coordinates")
    return reference


def _tile(file: GlbFile, material: int | None) -> Pixels:
    """The picture of a material, or one pixel of its colour."""
    reference = _texture_of(file, material)
    if reference is not None:
        texture = file.entry("textures", reference.get("index"))
        webp = texture.get("extensions", {}).get("EXT_texture_webp", {})
        return file.picture(texture.get("source", webp.get("source")))
    found = {} if material is None else file.entry("materials", material).get("pbrMetallicRoughness", {})
    return _srgb(np.array([[found.get("baseColorFactor", (1, 1, 1))[:3]]], np.float64))


def _srgb(linear: NDArray[np.floating]) -> NDArray[np.uint8]:
    """8-bit sRGB of linear light (IEC 61966-2-1)."""
    light = np.clip(np.nan_to_num(linear.astype(np.float64)), 0, 1)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve).astype(np.uint8)


def _parts(file: GlbFile, notes: list[str]) -> Iterator[_Part]:
    """Triangles of every node of the scene."""
    faces, skinned, other = 0, False, 0
    for node, matrix in _nodes(file):
        if "mesh" not in node:
            continue
        skinned |= "skin" in node
        for primitive in file.entry("meshes", node["mesh"]).get("primitives", []):
            if primitive.get("mode", TRIANGLES) != TRIANGLES:
                other += 1
                continue
            part = _part(file, primitive, matrix)
            faces += len(part.faces)
            if faces > MOST_FACES:
                raise FormatError(f"{file.source}: more than {MOST_FACES} triangles; refused")
            yield part
    if skinned:
        notes.append("a mesh with a skeleton: read as its nodes have it, without the skeleton's pose")
    if other:
        notes.append(f"{other} parts that are no lists of triangles are left out")


def _part(file: GlbFile, primitive: dict[str, Any], matrix: Matrix) -> _Part:
    attributes = primitive["attributes"]
    vertices = file.array(attributes["POSITION"]).astype(np.float64)
    if vertices.shape[1] != 3:
        raise FormatError(f"{file.source}: positions of {vertices.shape[1]} numbers")
    if "indices" in primitive:
        corners = file.array(primitive["indices"]).reshape(-1).astype(np.int64)
    else:
        corners = np.arange(len(vertices))
    if len(corners) % 3 or corners.max() >= len(vertices):
        raise FormatError(f"{file.source}: triangles that name vertices that are not there")
    faces = corners.reshape(-1, 3)
    material = primitive.get("material")
    reference = _texture_of(file, material)
    name = f"TEXCOORD_{(reference or {}).get('texCoord', 0)}"
    uv = file.array(attributes[name]).astype(np.float64) if name in attributes else None
    colours = file.array(attributes["COLOR_0"]) if "COLOR_0" in attributes else None
    if any(len(rows) != len(vertices) for rows in (uv, colours) if rows is not None):
        raise FormatError(f"{file.source}: colours or texture coordinates of other vertices than there are")
    if uv is not None:
        uv = np.stack([uv[:, 0], 1 - uv[:, 1]], 1)  # glTF counts from the top of the picture
    return _Part(
        vertices @ matrix[:3, :3].T + matrix[:3, 3],
        faces[:, ::-1] if np.linalg.det(matrix[:3, :3]) < 0 else faces,  # mirrored: the other way round again
        material,
        uv,
        None if colours is None else _srgb(colours[:, :3]),
    )


def _nodes(file: GlbFile) -> Iterator[tuple[dict[str, Any], Matrix]]:
    """Every node of the scene, and its matrix (4, 4) to the scene's frame."""
    nodes = file.top.get("nodes", [])
    children = [child for node in nodes for child in node.get("children", [])]
    if len(nodes) > MOST_NODES or len(set(children)) < len(children):
        raise FormatError(f"{file.source}: nodes that are too many, or have two parents")
    if file.top.get("scenes"):
        roots = file.entry("scenes", file.top.get("scene", 0)).get("nodes", [])
    else:
        roots = [number for number in range(len(nodes)) if number not in set(children)]
    if set(roots) & set(children) or len(set(roots)) < len(roots):
        raise FormatError(f"{file.source}: nodes that hold themselves")
    todo = [(root, np.eye(4)) for root in roots[::-1]]
    while todo:
        number, above = todo.pop()
        node = file.entry("nodes", number)
        matrix = above @ _matrix(node)
        yield node, matrix
        todo += [(child, matrix) for child in node.get("children", [])[::-1]]


def _matrix(node: dict[str, Any]) -> Matrix:
    """(4, 4) of one node: as it is written, or of its scale, rotation (x, y, z, w) and translation, in this order."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix
