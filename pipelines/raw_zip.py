"""A zip archive read in place: its directory is checked as a whole, then single members are read by their position.

The format is that of PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 to 4.5; members are stored or deflated.
"""

import re
import stat
import struct
from collections.abc import Callable, Mapping

import deflate
import numpy as np

from ..datasets.errors import RawDataError
from .raw_zip_directory import FETCH_AGAIN, ArchiveError, read_directory

MOST_MEMBER = 1 << 30  # bytes of a member; the largest file of a raw data set is far smaller
MAX_INFLATION = 1032  # a deflate stream yields at most 258 bytes from 2 bits (RFC 1951)
MOST_FOLDERS, DEEPEST = 100_000, 64
FOLDER = -1  # in place of a member's number
STORED, DEFLATED = 0, 8
ENCRYPTED = 1 << 0 | 1 << 6 | 1 << 13
LOCAL, LOCAL_SIZE = b"PK\x03\x04", 30
EXTRA = 128  # bytes of extra fields before the data that are read along; where there are more, there is a second read
BAD_NAME = re.compile(r"[\x00-\x1f\x7f\\]|^[A-Za-z]:|(^|/)\.{0,2}(/|$)")
KINDS = (0, stat.S_IFREG, stat.S_IFDIR)  # file types of Unix, 0 where the archive does not tell

Read = Callable[[int, int], bytes]  # (start, size) -> up to so many bytes of the archive


class Archive:
    """Members of a zip archive below one folder, by path.

    Args:
        source: what the archive is called in messages: its path relative to RAW.
        size: its bytes.
        read: gives a part of it.
        root: the folder that the archive holds; members elsewhere are checked, too, but not seen.

    Raises:
        ArchiveError: it is truncated or no zip archive, does not hold the folder, or holds what an honest one does
            not: members that leave their folder, links, two of one name, overlapping ones, line breaks in names.
    """

    def __init__(self, source: str, size: int, read: Read, root: str) -> None:
        self.source, self._read = source, read
        self._directory = read_directory(source, size, read)
        self._folders: dict[str, dict[str, int]] = {}
        try:
            names = self._directory.names()
        except UnicodeDecodeError as error:
            raise ArchiveError(f"{source}: the name of a member is not text ({error.reason}); refused") from error
        if bad := next((name for name in names if BAD_NAME.search(name.removesuffix("/"))), None):
            raise ArchiveError(f"{source}: member {_shown(bad)} leaves its folder or is misnamed; refused")
        other = ~np.isin((self._directory.table["attributes"] >> 16) & 0xF000, KINDS)
        if other.any():
            bad = names[int(other.argmax())]
            raise ArchiveError(f"{source}: member {_shown(bad)} is a link or a device; refused")
        for number, name in enumerate(names):
            self._add(name, number)
        self._folders = {name: entries for name, entries in self._folders.items() if f"{name}/".startswith(f"{root}/")}
        if not self._folders:
            raise ArchiveError(f"{source}: holds no folder {root}; an archive stands for the folder of its own name")

    def _add(self, name: str, number: int) -> None:
        """Enter a member and the folders above it."""
        folder, _, last = name.removesuffix("/").rpartition("/")
        if name.endswith("/"):
            self._folders.setdefault(name[:-1], {})
            number = FOLDER
        entries = self._folders.get(folder)
        if entries is None:
            if len(self._folders) >= MOST_FOLDERS or folder.count("/") > DEEPEST:
                raise ArchiveError(
                    f"{self.source}: more than {MOST_FOLDERS} folders, or {DEEPEST} in each other; refused"
                )
            entries = self._folders[folder] = {}
            if folder:
                self._add(f"{folder}/", FOLDER)
        if entries.setdefault(last, number) != number:
            raise ArchiveError(f"{self.source}: member {_shown(name)} is there twice; refused")

    def entries(self, folder: str) -> Mapping[str, bool]:
        """Names in a folder, and whether each is a folder; empty where there is no such folder."""
        return {name: number < 0 for name, number in self._folders.get(folder, {}).items()}

    def size(self, path: str) -> int | None:
        """Bytes of a member as its archive declares them; -1 for a folder, None where there is neither."""
        number = self._number(path)
        return number if number is None or number < 0 else int(self._directory.table["size"][number])

    def read(self, path: str) -> bytes:
        """Content of a member.

        Raises:
            FileNotFoundError: there is none.
            RawDataError: it is damaged, encrypted, packed in another way, or its declared sizes cannot be true; no
                memory is taken for these.
        """
        number = self._number(path)
        if number is None or number < 0:
            raise FileNotFoundError(path)
        row = self._directory.table[number]
        method, flags, packed, size = (int(row[name]) for name in ("method", "flags", "packed", "size"))
        if flags & ENCRYPTED:
            raise self._refuse(path, "is encrypted; unpack it")
        if method not in (STORED, DEFLATED):
            raise self._refuse(path, f"is packed by method {method}, neither stored nor deflated; pack it again")
        if max(size, packed) > MOST_MEMBER:
            raise self._refuse(path, f"claims {max(size, packed)} bytes; refused")
        if size != packed and (method == STORED or size > packed * MAX_INFLATION):
            raise self._refuse(path, f"claims {size} bytes, but cannot hold them; {FETCH_AGAIN}")
        data = _inflate(self._payload(path, number), method, size)
        if data is None or deflate.crc32(data) != int(row["crc"]):
            raise self._refuse(path, f"is damaged; {FETCH_AGAIN}")
        return data

    def _payload(self, path: str, number: int) -> memoryview:
        """The member's packed bytes, behind a header of its own that must agree with the directory."""
        row, name = self._directory.table[number], self._directory.raw_name(number)
        start, packed = int(row["offset"]), int(row["packed"])
        block = self._read(start, LOCAL_SIZE + len(name) + EXTRA + packed)
        if len(block) >= LOCAL_SIZE and block[:4] == LOCAL:
            _, flags, method = struct.unpack_from("<3H", block, 4)
            long, extra = struct.unpack_from("<2H", block, 26)
            same = method == row["method"] and not (flags ^ int(row["flags"])) & ENCRYPTED
            begin = LOCAL_SIZE + long + extra
            if same and block[LOCAL_SIZE : LOCAL_SIZE + long] == name:
                data = memoryview(block)[begin : begin + packed]
                return data if len(data) == packed else memoryview(self._read(start + begin, packed))
        raise self._refuse(path, f"does not agree with the archive's directory; {FETCH_AGAIN}")

    def _number(self, path: str) -> int | None:
        folder, _, name = path.rpartition("/")
        return self._folders.get(folder, {}).get(name)

    def _refuse(self, path: str, why: str) -> RawDataError:
        return RawDataError(f"{path} in {self.source} {why}")


def _inflate(packed: memoryview, method: int, size: int) -> bytes | None:
    """The content of a member; None where it has not `size` bytes."""
    if method == STORED or size == 0:
        return bytes(packed) if method == STORED and len(packed) == size else b"" if size == 0 else None
    try:
        data = bytes(deflate.deflate_decompress(packed, size))
    except deflate.DeflateError:
        return None
    return data if len(data) == size else None


def _shown(name: str) -> str:
    """A member's name on one line, however long it is."""
    return repr(name if len(name) <= 120 else f"{name[:117]}...")
