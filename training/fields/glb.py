"""The bytes of a mesh in glTF 2.0's binary form (Khronos, "glTF 2.0 Specification", section 4)."""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...validation.metrics.normal_map import vertex_normals
from .mesh import Mesh

ATTRIBUTES, INDICES = 34962, 34963  # targets of a view
FLOAT, UINT = 5126, 5125  # component types
MATTE = {"doubleSided": True, "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.9}}


def glb_bytes(mesh: Mesh, colours: NDArray[np.uint8] | None = None) -> bytes:
    """A file's bytes: one mesh, its normals, colours (V, 3) uint8 sRGB if there are any, and a matte material."""
    columns = {"POSITION": mesh.vertices.astype("<f4"), "NORMAL": _normals(mesh)}
    if colours is not None:
        columns["COLOR_0"] = linear(colours).astype("<f4")
    arrays: list[NDArray[Any]] = [*columns.values(), mesh.faces.astype("<u4").reshape(-1)]
    primitive = {
        "attributes": {name: i for i, name in enumerate(columns)},
        "indices": len(columns),
        "material": 0,
    }
    header = {
        "asset": {"version": "2.0", "generator": "tessera"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [MATTE],
        "accessors": [_accessor(i, array) for i, array in enumerate(arrays)],
        "bufferViews": _views(arrays),
        "buffers": [{"byteLength": sum(array.nbytes for array in arrays)}],
    }
    return _container(json.dumps(header).encode("ascii"), b"".join(array.tobytes() for array in arrays))


def linear(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Linear light in [0, 1], any shape, of sRGB values uint8 (IEC 61966-2-1)."""
    value = colours / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _normals(mesh: Mesh) -> NDArray[np.float32]:
    """Unit normals (V, 3); the format allows no zeros, so that z stands where there is none."""
    normals = vertex_normals(mesh.vertices, mesh.faces).astype("<f4")
    normals[~normals.any(axis=1)] = (0, 0, 1)
    return normals


def _accessor(view: int, array: NDArray[Any]) -> dict[str, Any]:
    rows = array.reshape(len(array), -1)
    return {
        "bufferView": view,
        "componentType": FLOAT if array.ndim == 2 else UINT,
        "count": len(array),
        "type": "VEC3" if array.ndim == 2 else "SCALAR",
        "min": rows.min(axis=0).tolist(),
        "max": rows.max(axis=0).tolist(),
    }


def _views(arrays: list[NDArray[Any]]) -> list[dict[str, int]]:
    views, start = [], 0
    for array in arrays:
        target = ATTRIBUTES if array.ndim == 2 else INDICES
        views.append({"buffer": 0, "byteOffset": start, "byteLength": array.nbytes, "target": target})
        start += array.nbytes
    return views


def _container(text: bytes, binary: bytes) -> bytes:
    """Header, JSON chunk and binary chunk; both chunks end at multiples of four bytes."""
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
