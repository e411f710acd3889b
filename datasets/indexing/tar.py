"""Members of a tar that somebody else wrote: names, and where their bytes lie; nothing is unpacked.

ustar, GNU long names and pax headers, as Python's tarfile, GNU tar and WebDataset's writer make them (POSIX.1-2017,
`pax`, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format").
"""

from collections.abc import Iterator
from mmap import mmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import FormatError
from ..members import BLOCK
from ..plain import printable

CHUNK = 4096  # members that are given at once
LONGEST_HEADER = 1 << 16  # bytes of an extended header; a name has no need of more
ZEROS = bytes(BLOCK)
FILES, SKIPPED, EXTENDED = b"0\x007", b"5VDg", b"xXLK"


class Member(NamedTuple):
    """A file in a tar: its name as written, where its first header begins, and offset and size of its bytes."""

    name: bytes
    start: int
    offset: int
    size: int


class TarWalk:
    """The files of a tar, in order.

    Args:
        data: the tar.
        path: its path, for messages.

    Attributes:
        behind: bytes behind the end of the archive that are not zero padding: no reader reads them.
    """

    def __init__(self, data: mmap, path: Path) -> None:
        self.behind = 0
        self._data, self._path = data, path
        self._heads: list[tuple[int, bytes]] = []
        self._told: dict[str, bytes] = {}  # what extended headers say of the next member

    def __iter__(self) -> Iterator[list[Member]]:
        """Lists of at most 4,096 files; the headers' checksums are verified before a list is given.

        Raises:
            FormatError: no tar, truncated, damaged, or with links, devices or sparse files; the message has the byte.
        """
        at, start, found = 0, 0, []
        while True:
            head = self._data[at : at + BLOCK]
            if len(head) < BLOCK:
                self._check()
                if not at:
                    raise FormatError(f"{self._path}: not a tar: {len(head)} bytes")
                raise self._truncated(
                    "without an end-of-archive block (where all is there, `truncate -s +1024` adds one)"
                )
            if head == ZEROS:
                break
            self._heads.append((at, head))
            kind, size = head[156:157], self._size(at, head)
            if kind in EXTENDED:
                self._extend(at, kind, size)
            else:
                if self._is_file(at, kind, head):
                    found.append(Member(self._told.get("path") or _name(head), start, at + BLOCK, size))
                self._told.clear()
            at += BLOCK + -(-size // BLOCK) * BLOCK
            start = start if kind in EXTENDED else at
            if len(self._heads) >= CHUNK:
                self._check()
                yield found
                found = []
        self._check()
        self.behind = len(self._data[at : at + (1 << 20)].strip(b"\0"))
        yield found

    def _is_file(self, at: int, kind: bytes, head: bytes) -> bool:
        if any(name.startswith("GNU.sparse") for name in self._told):
            kind = b"S"
        if kind in FILES:
            return not _name(head).endswith(b"/")  # a folder, as the oldest tars write one
        if kind in SKIPPED:
            return False
        self._check()
        name = printable(_name(head).decode("utf-8", "surrogateescape"))
        what = {b"1": "a hard link", b"2": "a link", b"S": "a sparse file"}.get(kind, "a device, or of unknown kind")
        raise FormatError(f"{self._path}: member {name!r} at byte {at} is {what}; refused: write plain files")

    def _size(self, at: int, head: bytes) -> int:
        if head[156:157] == b"5":
            return 0
        try:
            told = self._told.get("size") if head[156:157] not in EXTENDED else None
            size = int(told) if told else number(head[124:136])
        except ValueError:
            size = -1
        if size < 0 or at + BLOCK + -(-size // BLOCK) * BLOCK > len(self._data):
            self._check()
            name = printable(_name(head).decode("utf-8", "surrogateescape"))
            if size < 0:
                raise FormatError(f"{self._path}: damaged: member {name!r} at byte {at} has no size")
            raise self._truncated(f"inside member {name!r} of {size} bytes at byte {at}")
        return size

    def _extend(self, at: int, kind: bytes, size: int) -> None:
        if size > LONGEST_HEADER:
            self._check()
            raise FormatError(f"{self._path}: extended header at byte {at} has {size} bytes; refused")
        body = self._data[at + BLOCK : at + BLOCK + size]
        if kind == b"L":
            self._told["path"] = body.partition(b"\0")[0]
        elif kind in b"xX":
            try:
                self._told |= pax_records(body)
            except ValueError as error:
                raise FormatError(f"{self._path}: damaged extended header at byte {at}") from error

    def _truncated(self, where: str) -> FormatError:
        end = len(self._data)
        return FormatError(f"{self._path}: truncated: the file ends at byte {end} {where}; copy it anew")

    def _check(self) -> None:
        """Refuse headers whose checksum is wrong: the sum of their bytes, the checksum's own taken as spaces."""
        if not self._heads:
            return
        heads = np.frombuffer(b"".join(head for _, head in self._heads), np.uint8).reshape(-1, BLOCK)
        counted = np.delete(heads, np.s_[148:156], axis=1)
        total = counted.sum(axis=1, dtype=np.int64) + 8 * ord(" ")
        signed = total - 256 * (counted > 127).sum(axis=1)  # some old writers summed signed bytes
        for (at, head), one, other in zip(self._heads, total.tolist(), signed.tolist(), strict=True):
            try:
                good = number(head[148:156]) in (one, other)
            except ValueError:
                good = False
            if not good:
                what = "damaged: no member begins" if at else "not a tar: no member begins"
                packed = " (compressed: unpack it, such a file has no random access)" if _packed(head) else ""
                raise FormatError(f"{self._path}: {what} at byte {at}{packed if not at else ''}")
        self._heads.clear()


def number(field: bytes) -> int:
    """A number of a header: octal text, or base 256 where the first bit is set.

    Raises:
        ValueError: it is none.
    """
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.partition(b"\0")[0].strip() or b"0", 8)


def pax_records(body: bytes) -> dict[str, bytes]:
    """Path, size and GNU's sparse keys of a pax extended header (`LENGTH KEY=VALUE` and a line break, again and again).

    Raises:
        ValueError: it is none.
    """
    found, at = {}, 0
    body = body.rstrip(b"\0")
    while at < len(body):
        length, space, _ = body[at : at + 20].partition(b" ")
        end = at + int(length)
        key, equals, value = body[at + len(length) + 1 : end - 1].partition(b"=")
        if not space or not equals or not at + len(length) < end <= len(body):
            raise ValueError("no record")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse"):
            found[key.decode()] = value
        at = end
    return found


def _name(head: bytes) -> bytes:
    name = head[:100].partition(b"\0")[0]
    prefix = head[345:500].partition(b"\0")[0] if head[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _packed(head: bytes) -> bool:
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))
