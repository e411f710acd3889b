"""RAW: the raw data set, on disk or on an object store, unpacked or in zip archives; a recipe cannot tell which."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ..datasets.errors import RawDataError, UsageError
from .raw_archives import Zipped
from .raw_remote import open_remote
from .raw_store import LocalStore, State

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


@dataclass(frozen=True)
class Raw:
    """RAW, or a file or folder in it; used as a `pathlib.Path` is.

    Attributes:
        store: where it lies.
        path: POSIX path relative to RAW, empty for RAW itself; the same whether the file lies on disk, in an archive
            or on an object store.
    """

    store: Zipped
    path: str = ""

    def __truediv__(self, path: str) -> "Raw":
        """A path below this one.

        Raises:
            RawDataError: it is absolute or goes upwards.
        """
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if path.startswith("/") or ".." in parts:
            raise RawDataError(f"{path}: leaves the raw folder; refused")
        return Raw(self.store, "/".join([self.path, *parts] if self.path else parts))

    def __str__(self) -> str:
        """The full path or URL."""
        return f"{self.store}/{self.path}" if self.path else str(self.store)

    def __lt__(self, other: "Raw") -> bool:
        """Order by path."""
        return self.path < other.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.path).stem

    @property
    def suffix(self) -> str:
        """The name's ending with its dot."""
        return PurePosixPath(self.path).suffix

    @property
    def parent(self) -> "Raw":
        """The folder that holds this; RAW itself is its own."""
        return Raw(self.store, self.path.rpartition("/")[0])

    @property
    def local(self) -> Path | None:
        """The folder on this machine that RAW is, at this path; None on an object store. Not where archives count."""
        return Path(str(self)) if isinstance(self.store.base, LocalStore) else None

    @property
    def archive(self) -> str | None:
        """Path of the archive that stands for this folder, which is not opened; None where there is none."""
        return self.store.archive(self.path)

    def state(self) -> State | None:
        """Size, time and kind; None where there is nothing.

        Raises:
            ArchiveError, StoreError, OSError: it cannot be told.
        """
        return self.store.state(self.path)

    def is_dir(self) -> bool:
        """Whether this is a folder.

        Raises:
            RawDataError: it is, elsewhere, by way of a symbolic link.
            ArchiveError, StoreError, OSError: it cannot be told.
        """
        return self._is("folder")

    def is_file(self) -> bool:
        """Whether this is a file; raises as `is_dir`."""
        return self._is("file")

    def names(self) -> list[str]:
        """Names in this folder, sorted; none where there is no such folder.

        Raises:
            RawDataError, StoreError: it cannot be listed.
        """
        return sorted(self.store.entries(self.path))

    def glob(self, pattern: str) -> Iterator["Raw"]:
        """Files and folders below this folder by a pattern such as `*.txt` or `*/images/*.hdf5`, in order of names.

        Every archive that a pattern leads into is opened.

        Raises:
            RawDataError, StoreError: a folder cannot be listed.
        """
        first, _, rest = pattern.partition("/")
        entries = self.store.entries(self.path)
        for name in sorted(entries):
            if fnmatchcase(name, first) and (entries[name] or not rest):
                yield from (self / name).glob(rest) if rest else [self / name]

    def read_bytes(self) -> bytes:
        """Content of this file. Where it makes records, read it through `RawFiles`, so that changes are noticed.

        Raises:
            FileNotFoundError: there is none.
            RawDataError: it is no regular file, lies elsewhere, or its archive is damaged.
            StoreError, OSError: it cannot be read.
        """
        state = self.state()
        if state is None:
            raise FileNotFoundError(self.path)
        if state.kind != "file":  # a pipe would be waited for
            raise RawDataError(f"{self.path}: cannot be read (it is no regular file)")
        return self.store.read(self.path)

    def read_text(self) -> str:
        """Content of this file as UTF-8 text; raises as `read_bytes`, and UnicodeDecodeError."""
        return self.read_bytes().decode()

    def check(self) -> None:
        """Refuse a path that leads out of RAW by a symbolic link.

        Raises:
            RawDataError: as said.
        """
        self.store.locate(self.path)

    def _is(self, kind: str) -> bool:
        state = self.state()
        if state is not None and state.kind == kind:
            self.check()
        return state is not None and state.kind == kind


Place = str | Path | Raw  # what may name RAW: a folder's path, a URL, or RAW itself


def open_raw(place: Place) -> Raw:
    """RAW from a folder's path or URL. Nothing is read yet.

    Raises:
        UsageError: a URL that is not supported.
    """
    if isinstance(place, Raw):
        return place
    text = str(place)
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    elif "://" in text and URL.match(text):
        return Raw(Zipped(open_remote(text)))
    elif URL.match(text) and not Path(text).exists():
        raise UsageError(f"{text}: write a URL with two slashes, such as s3://bucket/folder")
    return Raw(Zipped(LocalStore(str(Path(text).resolve()))))
