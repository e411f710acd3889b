"""Where raw files lie: what a folder on disk and an object store have in common, and the folder on disk."""

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ..datasets.errors import RawDataError, TesseraError


class StoreError(TesseraError, OSError):
    """An object store cannot be reached or refuses to answer: no fault of a unit, so that none is rejected for it."""


@dataclass(frozen=True, slots=True)
class State:
    """Size in bytes and modification time of a file, folder or anything else (a pipe, a device)."""

    size: int
    mtime_ns: int
    kind: Literal["file", "folder", "other"]


class Store(Protocol):
    """A tree of files; paths are POSIX, relative to its root, which is the empty path."""

    def __hash__(self) -> int:
        """Stores are keys of caches."""

    def locate(self, path: str) -> str:
        """Where a path leads in the end; RawDataError where that is outside the root."""

    def state(self, path: str) -> State | None:
        """State of a path; None where there is nothing. Links are followed wherever they lead."""

    def entries(self, folder: str) -> Mapping[str, bool]:
        """Names in a folder, and whether each is a folder; empty where there is no such folder."""

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Content of a file, or up to `size` bytes of it from `start`."""


@dataclass(frozen=True)
class LocalStore:
    """A folder on disk; nothing outside it is listed or read, also through symbolic links.

    Attributes:
        root: its real path.
    """

    root: str

    def __str__(self) -> str:
        """The folder's path."""
        return self.root

    def locate(self, path: str) -> str:
        """The real path of a file or folder.

        Raises:
            RawDataError: a symbolic link leads out of the root, or back to itself.
        """
        full = os.path.realpath(f"{self.root}/{path}")
        if os.path.islink(full):
            raise RawDataError(f"{path}: a symbolic link leads back to itself; refused")
        if full != self.root and not full.startswith(self.root.rstrip("/") + "/"):
            raise RawDataError(f"{path}: a symbolic link leaves the raw folder; refused: put the real one there")
        return full

    def state(self, path: str) -> State | None:
        """State of a path; None where there is nothing, or a link that leads nowhere."""
        try:
            found = os.stat(f"{self.root}/{path}")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise
        kind: Literal["file", "folder", "other"] = "file" if stat.S_ISREG(found.st_mode) else "other"
        return State(found.st_size, found.st_mtime_ns, "folder" if stat.S_ISDIR(found.st_mode) else kind)

    def entries(self, folder: str) -> Mapping[str, bool]:
        """Names in a folder.

        Raises:
            RawDataError: it cannot be listed, or lies outside the root.
        """
        full = self.locate(folder)
        try:
            with os.scandir(full) as found:
                return {entry.name: _is_folder(entry) for entry in found}
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise RawDataError(f"{full}: cannot be listed ({error.strerror}); check its permissions") from error

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Content of a file or of a part of it; a handle is open only as long, so that threads and forks share none.

        Raises:
            RawDataError: it lies outside the root.
            OSError: as `open`.
        """
        with open(self.locate(path), "rb") as stream:
            stream.seek(start)
            return stream.read() if size is None else stream.read(size)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads round in a circle
        return False
