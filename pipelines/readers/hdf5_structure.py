"""Where an HDF5 file keeps its one dataset, read from the file's bytes with every offset and count checked.

Reads the file format that the HDF5 library writes unless told otherwise ("HDF5 File Format Specification", version 0
superblock, symbol-table groups, version 1 object headers and B-trees). The library itself is not asked: one flipped
byte in a local heap makes it take memory until the machine has none left, and it copies the whole file first.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import RawDataError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FETCH_AGAIN = "truncated or damaged download? fetch it again"
FETCH_ORIGINAL = "fetch the original file again"
REPACK = "fetch the original file again, or rewrite it with h5repack"
DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS, CONTINUATION = 0x01, 0x03, 0x07, 0x08, 0x0B, 0x10
COMPACT, CONTIGUOUS, CHUNKED = 0, 1, 2
MOST_NAMES = 4096  # in the root group: a file of one dataset has one
MOST_AXES = 32  # H5S_MAX_RANK
CLASSES = ("integer", "float", "time", "string", "bit field", "opaque", "compound", "reference", "enumeration")


def _datatype_messages() -> dict[bytes, np.dtype]:
    """The exact datatype message of each ordinary integer and IEEE float, in both byte orders."""
    known = {}
    for big, order in enumerate("<>"):
        for size in (1, 2, 4, 8):
            for signed, kind in enumerate("ui"):
                flags = big | signed << 3
                known[struct.pack("<B3BI2H", 0x10, flags, 0, 0, size, 0, 8 * size)] = np.dtype(f"{order}{kind}{size}")
        for size, mantissa, exponent, bias in ((2, 10, 5, 15), (4, 23, 8, 127), (8, 52, 11, 1023)):
            head = struct.pack("<B3BI2H", 0x11, 0x20 | big, 8 * size - 1, 0, size, 0, 8 * size)
            known[head + struct.pack("<4BI", mantissa, exponent, 0, mantissa, bias)] = np.dtype(f"{order}f{size}")
    return known


DATATYPES = _datatype_messages()


@dataclass(frozen=True)
class Stored:
    """How a dataset is kept.

    Attributes:
        shape: lengths of its axes, as the header claims.
        dtype: element type in the stored byte order.
        chunk: shape of a chunk; None where the elements lie in one piece.
        start: byte offset of the elements (contiguous) or of the chunks' B-tree.
        nbytes: bytes of a contiguous dataset; 0 for a chunked one.
        filters: (HDF5 filter code, its parameters) in the order of writing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...] | None
    start: int
    nbytes: int
    filters: tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Structure:
    """Bytes of an HDF5 file, or of a part of one, read with bounds checked; `source` names the file in errors."""

    data: bytes
    source: str

    def refuse(self, what: str, todo: str = FETCH_AGAIN) -> RawDataError:
        """The error that says where, what and what to do."""
        return RawDataError(f"{self.source}: {what}; {todo}")

    def take(self, form: str, at: int) -> tuple[Any, ...]:
        """Little-endian values of a struct format at a byte offset.

        Raises:
            RawDataError: they would reach beyond the end.
        """
        if at + struct.calcsize(form) > len(self.data):
            raise self.refuse("has a damaged HDF5 structure (an offset beyond its end)")
        return struct.unpack_from(form, self.data, at)

    def dataset(self) -> Stored:
        """The dataset named `dataset` of the root group.

        Raises:
            RawDataError: no HDF5 file, a truncated one, a newer format, no such dataset, a link in its place, or
                elements that are kept elsewhere or are no ordinary numbers.
        """
        if not self.data.startswith(SIGNATURE):
            what = f"is not an HDF5 file (starts with {self.data[:8]!r})" if self.data else "is empty"
            raise self.refuse(what)
        version, widths, base, end, tree, heap = self.take("<8xB4xH9xQ8xQ32xQQ", 0)
        if version != 0 or widths != 0x0808 or base != 0:
            raise self.refuse(f"uses an HDF5 format (superblock {version}) that is not read here", REPACK)
        if end > len(self.data):
            raise self.refuse(f"is truncated: {len(self.data)} of {end} bytes")
        return self._stored(self._messages(self._find(b"dataset\0", tree, heap)))

    def leaves(self, at: int, kind: int, entry: np.dtype, most: int) -> NDArray[np.void]:
        """Leaf entries of a version 1 B-tree, in its order.

        Args:
            at: byte offset of the root node.
            kind: node type: 0 for names, 1 for chunks.
            entry: structured dtype of a key with the address that follows it, named `child`.
            most: entries that can be right.

        Raises:
            RawDataError: a damaged tree or more entries than `most`.
        """
        nodes, level = [at], None
        while True:
            parts, found = [], 0
            for node in nodes:
                magic, what, depth, used = self.take("<4sBBH", node)
                found += used
                if (magic, what, depth) != (b"TREE", kind, depth if level is None else level) or not 0 < found <= most:
                    raise self.refuse("has a damaged HDF5 structure (B-tree)")
                level = depth
                self.take(f"<{used * entry.itemsize}x", node + 24)
                parts.append(np.frombuffer(self.data, entry, used, node + 24))
            rows = np.concatenate(parts)
            if level == 0:
                return rows
            nodes, level = rows["child"].tolist(), depth - 1
            if len(set(nodes)) < len(nodes):  # each node is read once: the time is bounded by the file's size
                raise self.refuse("has a damaged HDF5 structure (B-tree)")

    def _find(self, name: bytes, tree: int, heap: int) -> int:
        """Byte offset of the object header behind a name of the root group."""
        magic, names = self.take("<4s20xQ", heap)
        rows = self.leaves(tree, 0, np.dtype([("key", "<u8"), ("child", "<u8")]), MOST_NAMES)
        seen = 0
        for table in rows["child"].tolist():
            sign, count = self.take("<4s2xH", table)
            seen += count
            if magic != b"HEAP" or sign != b"SNOD" or seen > MOST_NAMES:
                raise self.refuse("has a damaged HDF5 structure (group)")
            for index in range(count):
                where, header, cached = self.take("<QQI", table + 8 + 40 * index)
                if self.data[names + where : names + where + len(name)] == name:
                    if cached == 2:
                        raise self.refuse("has a link in place of its `dataset`", FETCH_ORIGINAL)
                    return header
        raise self.refuse("has no dataset named `dataset`", "is it the file that its name says?")

    def _messages(self, header: int) -> dict[int, bytes]:
        """The messages of an object header that describe a dataset."""
        version, count, size = self.take("<BxH4xI", header)
        if version != 1:
            raise self.refuse("uses an object header that is not read here", REPACK)
        blocks, wanted = [(header + 16, size)], {}
        for at, room in blocks:
            end = at + room
            while at + 8 <= end and count > 0:
                kind, size, flags = self.take("<HHB", at)
                count -= 1
                if kind == CONTINUATION:
                    blocks.append(self.take("<QQ", at + 8))
                elif kind in (DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS) and kind not in wanted:
                    if flags & 2:
                        raise self.refuse("shares its header with another object", REPACK)
                    wanted[kind] = self.take(f"<{size}s", at + 8)[0]
                at += 8 + size
        return wanted

    def _stored(self, messages: dict[int, bytes]) -> Stored:
        """The description that the messages of a dataset give."""
        if not {DATASPACE, DATATYPE, LAYOUT} <= messages.keys():
            raise self.refuse("has a `dataset` that is no complete dataset")
        if EXTERNAL in messages:
            raise self.refuse("keeps its elements in other files", FETCH_ORIGINAL)
        parts = {kind: Structure(message, self.source) for kind, message in messages.items()}
        shape, dtype = parts[DATASPACE]._shape(), parts[DATATYPE]._dtype()
        filters = parts[FILTERS]._filters() if FILTERS in parts else ()
        version, layout = parts[LAYOUT].take("<BB", 0)
        if version != 3 or layout not in (CONTIGUOUS, CHUNKED):
            raise self.refuse("is stored as a compact, virtual or newer kind of dataset", REPACK)
        if layout == CONTIGUOUS:
            start, nbytes = parts[LAYOUT].take("<QQ", 2)
            return Stored(shape, dtype, None, start, nbytes, filters)
        axes, start = parts[LAYOUT].take("<BQ", 2)
        *chunk, width = parts[LAYOUT].take(f"<{axes}I", 11) or (0,)
        if len(chunk) != len(shape) or 0 in chunk or width != dtype.itemsize:
            raise self.refuse("has a damaged HDF5 structure (chunk shape)")
        return Stored(shape, dtype, tuple(chunk), start, 0, filters)

    def _shape(self) -> tuple[int, ...]:
        """Axis lengths from a dataspace message."""
        version, axes = self.take("<BB", 0)
        if version != 1 or axes > MOST_AXES:
            raise self.refuse("has a damaged HDF5 structure (dataspace)")
        return self.take(f"<{axes}Q", 8)

    def _dtype(self) -> np.dtype:
        """Element type from a datatype message."""
        found = DATATYPES.get(self.data[:12]) or DATATYPES.get(self.data[:20])
        if found is None:
            number = self.take("<B", 0)[0] & 15
            name = CLASSES[number] if number < len(CLASSES) else "nested"
            raise self.refuse(f"holds elements of an unusual {name} type", "is it the file that its name says?")
        return found

    def _filters(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Codes and parameters from a filter pipeline message."""
        version, count = self.take("<BB", 0)
        if version != 1:
            raise self.refuse("has a damaged HDF5 structure (filters)")
        filters, at = [], 8
        for _ in range(count):
            code, name, values = self.take("<HH2xH", at)
            filters.append((code, self.take(f"<{values}I", at + 8 + name)))
            at += 8 + name + 4 * (values + values % 2)
        return tuple(filters)
