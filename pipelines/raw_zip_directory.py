"""The directory at the end of a zip archive, 64-bit archives included: where each member lies and how it is packed.

Nothing in it is trusted: sizes are compared with the archive's own before memory is taken for them.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import RawDataError

END, END_SIZE, MOST_COMMENT = b"PK\x05\x06", 22, 0xFFFF
LOCATOR, LOCATOR_SIZE = b"PK\x06\x07", 20
END64, END64_SIZE = b"PK\x06\x06", 56
ENTRY, ENTRY_SIZE = b"PK\x01\x02", 46
LOCAL_SIZE = 30
MOST_DIRECTORY = 32 << 20  # bytes; 33,000 members, the most that a Hypersim scene has, take 5 MB
UTF8 = 1 << 11
ZIP64 = 0x0001  # id of the extra field that holds 64-bit sizes
BIG = 1 << 60
LARGE = ("size", "packed", "offset")  # in the order of that extra field
FETCH_AGAIN = "fetch the archive again"

_HEADER = np.dtype(
    [("signature", "S4"), ("made_by", "<u2"), ("needed", "<u2"), ("flags", "<u2"), ("method", "<u2"), ("time", "<u4"),
     ("crc", "<u4"), ("packed", "<u4"), ("size", "<u4"), ("name", "<u2"), ("extra", "<u2"), ("comment", "<u2"),
     ("disk", "<u2"), ("inside", "<u2"), ("attributes", "<u4"), ("offset", "<u4")]
)  # fmt: skip
_TABLE = np.dtype(
    [("offset", "<i8"), ("packed", "<i8"), ("size", "<i8"), ("crc", "<u4"), ("attributes", "<u4"), ("method", "<u2"),
     ("flags", "<u2"), ("name", "<u2"), ("start", "<i8")]
)  # fmt: skip


class ArchiveError(RawDataError):
    """An archive as a whole is damaged or hostile; other archives are not concerned."""


@dataclass(frozen=True)
class Directory:
    """Members in the order of the directory.

    Attributes:
        block: the directory as it is stored.
        table: (count,) position of the local header, packed and unpacked bytes, CRC-32, external attributes, method,
            flags, length of the name, and where the entry starts in `block`.
    """

    block: bytes
    table: NDArray[np.void]

    def raw_name(self, number: int) -> bytes:
        """A member's name as it is stored."""
        start = int(self.table["start"][number]) + ENTRY_SIZE
        return self.block[start : start + int(self.table["name"][number])]

    def names(self) -> list[str]:
        """All names; those not marked as UTF-8 are in the code page of the first PCs, as the format says.

        Raises:
            UnicodeDecodeError: a name is not what it is marked as.
        """
        starts = (self.table["start"] + ENTRY_SIZE).tolist()
        ends = (self.table["start"] + ENTRY_SIZE + self.table["name"]).tolist()
        codes = np.where(self.table["flags"] & UTF8, "utf-8", "cp437").tolist()
        return [self.block[a:b].decode(code) for a, b, code in zip(starts, ends, codes, strict=True)]


def read_directory(source: str, size: int, read: Callable[[int, int], bytes]) -> Directory:
    """The directory of an archive.

    Args:
        source: what the archive is called in messages.
        size: its bytes.
        read: gives a part of it, from (start, size).

    Raises:
        ArchiveError: it is truncated, no zip archive, or members overlap or lie beyond its end.
    """
    count, length, start = _find(source, size, read)
    if length > MOST_DIRECTORY:
        raise ArchiveError(f"{source}: claims a directory of {length} bytes; refused")
    if start + length > size:
        raise ArchiveError(f"{source}: its directory lies beyond its end; {FETCH_AGAIN}")
    block = read(start, length)
    starts = _entry_starts(block)
    if starts is None or len(block) != length or len(starts) & 0xFFFF != count & 0xFFFF:
        raise ArchiveError(f"{source}: its directory is damaged; {FETCH_AGAIN}")
    table = _table(block, starts)
    if table is None or not _apart(table, start):
        raise ArchiveError(f"{source}: members overlap or lie beyond its end; {FETCH_AGAIN}")
    return Directory(block, table)


def _find(source: str, size: int, read: Callable[[int, int], bytes]) -> tuple[int, int, int]:
    """Number of entries, bytes and position of the directory."""
    begin = max(0, size - END_SIZE - MOST_COMMENT)
    tail = read(begin, size - begin)
    at = tail.rfind(END)
    while at >= 0:
        if len(tail) - at >= END_SIZE:
            disk, first, _, count, length, start, comment = struct.unpack_from("<4H2LH", tail, at + 4)
            if at + END_SIZE + comment == len(tail):
                break
        at = tail.rfind(END, 0, at)
    if at < 0:
        raise ArchiveError(f"{source}: no zip archive, or a truncated one; {FETCH_AGAIN}")
    if (disk, first) not in ((0, 0), (0xFFFF, 0xFFFF)):
        raise ArchiveError(f"{source}: is one of several volumes; join them")
    if 0xFFFF in (count, disk) or 0xFFFFFFFF in (length, start):
        return _find64(source, begin + at, read) or (count, length, start)
    return count, length, start


def _find64(source: str, end: int, read: Callable[[int, int], bytes]) -> tuple[int, int, int] | None:
    """The same from the 64-bit record that stands before the record at `end`; None where there is none."""
    locator = read(end - LOCATOR_SIZE, LOCATOR_SIZE) if end >= LOCATOR_SIZE else b""
    if locator[:4] != LOCATOR:
        return None
    (at,) = struct.unpack_from("<Q", locator, 8)
    record = read(at, END64_SIZE) if at + END64_SIZE <= end else b""
    if len(record) < END64_SIZE or record[:4] != END64:
        raise ArchiveError(f"{source}: its 64-bit end record is damaged; {FETCH_AGAIN}")
    count, length, start = struct.unpack_from("<3Q", record, 32)
    return count, length, start


def _entry_starts(block: bytes) -> list[int] | None:
    """Where each entry of the directory starts; None where it is not one entry after the other to the last byte."""
    starts, at, end = [], 0, len(block)
    lengths = struct.Struct("<3H").unpack_from
    while at < end:
        if end - at < ENTRY_SIZE or block[at : at + 4] != ENTRY:
            return None
        starts.append(at)
        at += ENTRY_SIZE + sum(lengths(block, at + 28))
    return starts if at == end else None


def _table(block: bytes, starts: list[int]) -> NDArray[np.void] | None:
    """The entries as a table; None where a 64-bit size is missing or absurd."""
    headers = np.frombuffer(b"".join(block[at : at + ENTRY_SIZE] for at in starts), _HEADER)
    table = np.empty(len(starts), _TABLE)
    for name in ("offset", "packed", "size", "crc", "attributes", "method", "flags", "name"):
        table[name] = headers[name]
    table["start"] = starts
    large = np.stack([table[name] == 0xFFFFFFFF for name in LARGE])
    for number in np.flatnonzero(large.any(axis=0)).tolist():
        header = headers[number]
        at = starts[number] + ENTRY_SIZE + int(header["name"])
        wanted = [name for name, is_large in zip(LARGE, large[:, number], strict=True) if is_large]
        values = _large_values(block[at : at + int(header["extra"])], len(wanted))
        if values is None:
            return None
        for name, value in zip(wanted, values, strict=True):
            table[name][number] = value
    return table


def _large_values(extra: bytes, count: int) -> tuple[int, ...] | None:
    """The first `count` 64-bit values of an entry's extra fields; None where they are missing or absurd."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == ZIP64 and 8 * count <= length <= len(extra) - at - 4:
            values = struct.unpack_from(f"<{count}Q", extra, at + 4)
            return values if max(values) < BIG else None
        at += 4 + length
    return None


def _apart(table: NDArray[np.void], end: int) -> bool:
    """Whether members lie one behind the other, before the directory; one inside another is how a zip bomb is made."""
    order = np.argsort(table["offset"])
    first, last = table["offset"][order], (table["offset"] + LOCAL_SIZE + table["name"] + table["packed"])[order]
    return not len(table) or (bool((last[:-1] <= first[1:]).all()) and int(last[-1]) <= end)
