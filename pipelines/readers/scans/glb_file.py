"""The parts of a GLB file (Khronos glTF 2.0): its JSON, arrays and pictures; no size is trusted unchecked."""

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from .textures import Pixels, decode_picture

MAGIC, VERSION, JSON, BINARY = 0x46546C67, 2, 0x4E4F534A, 0x004E4942
COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
UNDERSTOOD = ("KHR_mesh_quantization", "KHR_materials_", "EXT_texture_webp")  # of what a file may require
FAULTS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError, struct.error)


class GlbFile:
    """A GLB file.

    Attributes:
        source: what it is called in messages.
        top: its JSON.
    """

    def __init__(self, data: bytes, source: str) -> None:
        """Read the chunks.

        Raises:
            FormatError: they are not those of a GLB file, or need an extension that is not understood.
        """
        self.source, self.binary = source, b""
        self.left = 4 * len(data)  # bytes of arrays: files hold each of them once
        self._arrays: dict[int, NDArray] = {}
        self._pictures: dict[int, Pixels] = {}
        try:
            magic, version, _ = struct.unpack_from("<III", data)
            chunks = dict(_chunks(data)[::-1])  # the first of a kind counts
            self.top: dict[str, Any] = json.loads(chunks[JSON])
            required = self.top.get("extensionsRequired", [])
        except FAULTS as error:
            raise FormatError(f"{source}: no GLB file, or a damaged one; fetch it again") from error
        if magic != MAGIC or version != VERSION or type(self.top) is not dict:
            raise FormatError(f"{source}: no GLB file of glTF {VERSION}.0")
        self.binary = chunks.get(BINARY, b"")
        for name in required:
            if not str(name).startswith(UNDERSTOOD):
                raise FormatError(f"{source}: needs {str(name)[:80]}, which is not read; save it without compression")

    def entry(self, kind: str, number: Any) -> dict[str, Any]:
        """An object of the JSON, such as the third of `nodes`.

        Raises:
            FormatError: there is none.
        """
        entries = self.top.get(kind, [])
        if type(number) is not int or type(entries) is not list or not 0 <= number < len(entries):
            raise FormatError(f"{self.source}: names a thing of its {kind!r} that is not there")
        if type(entries[number]) is not dict:
            raise FormatError(f"{self.source}: a thing of its {kind!r} is none")
        return entries[number]

    def view(self, number: Any) -> tuple[memoryview, int]:
        """Bytes of a buffer view, not copied, and its stride, 0 for none.

        Raises:
            FormatError: it does not lie in the file.
        """
        entry = self.entry("bufferViews", number)
        start, size, stride = (entry.get(key, 0) for key in ("byteOffset", "byteLength", "byteStride"))
        inside = all(type(n) is int and n >= 0 for n in (start, size, stride)) and start + size <= len(self.binary)
        if "uri" in self.entry("buffers", entry.get("buffer")) or entry.get("buffer") != 0 or not inside:
            raise FormatError(f"{self.source}: data that lie outside of the file; pack them into it")
        return memoryview(self.binary)[start : start + size], stride

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise FormatError(f"{self.source}: makes more of its data than it has; refused")

    def array(self, number: Any) -> NDArray:
        """Rows of an accessor, (count, columns); integers that stand for fractions are floats.

        Raises:
            FormatError: its data are not there, or sparse.
        """
        if number not in self._arrays:
            self._arrays[number] = self._array(self.entry("accessors", number))
        return self._arrays[number]

    def _array(self, entry: dict[str, Any]) -> NDArray:
        count, start = entry.get("count"), entry.get("byteOffset", 0)
        component, columns = COMPONENTS.get(entry.get("componentType", 0)), COLUMNS.get(entry.get("type", ""))
        if type(count) is not int or type(start) is not int or component is None or columns is None:
            raise FormatError(f"{self.source}: an array of a kind that is not read")
        if "sparse" in entry or "bufferView" not in entry:
            raise FormatError(f"{self.source}: an array without data, or a sparse one; save it with whole arrays")
        data, stride = self.view(entry["bufferView"])
        dtype = np.dtype(component)
        row = columns * dtype.itemsize
        stride = stride or row
        if not 0 < count <= len(data) or start < 0 or stride < row or start + (count - 1) * stride + row > len(data):
            raise FormatError(f"{self.source}: an array that is larger than its data")
        self._take(count * row)
        rows = np.ndarray((count, columns), dtype, data, start, (stride, dtype.itemsize)).copy()
        if entry.get("normalized") and dtype.kind in "iu":
            rows = np.maximum(rows / np.float32(np.iinfo(dtype).max), np.float32(-1))
        return rows

    def picture(self, number: Any) -> Pixels:
        """Pixels of an image of the JSON.

        Raises:
            FormatError: it lies outside of the file, or is damaged.
        """
        if number not in self._pictures:
            entry = self.entry("images", number)
            if "bufferView" not in entry:
                raise FormatError(f"{self.source}: a picture outside of the file; pack it into it")
            data = self.view(entry["bufferView"])[0]
            self._take(len(data))
            self._pictures[number] = decode_picture(bytes(data), f"{self.source}: image {number}")
        return self._pictures[number]


def _chunks(data: bytes) -> list[tuple[int, bytes]]:
    """Kind and bytes of each chunk."""
    found, at = [], 12
    while at + 8 <= len(data):
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > len(data):
            raise ValueError("truncated")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    return found
