"""The tars of a strangers' data set, and the folder where their indexes lie."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import FormatError
from .names import split_name

INDEX_VERSION = 1  # of scans and of how a schema follows from them
FOLDER = ".tessera-index"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True)
class Tar:
    """One tar: path relative to the data set's folder, its split, and size and time by which a change is seen."""

    path: str
    split: str
    size: int
    mtime_ns: int

    @property
    def mark(self) -> str:
        """Name that another tar, or this one changed, does not have."""
        return _mark([INDEX_VERSION, self.path, self.size, self.mtime_ns])


def find_tars(folder: Path) -> list[Tar]:
    """The tars below a folder, in order of their paths; hidden files and folders are passed over.

    Raises:
        FormatError: there is none; the message says what there is.
    """
    found, packed = [], []
    for where, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(where, name)
            if name.startswith("."):
                continue
            if name.lower().endswith(PACKED):
                packed.append(path)
            elif name.endswith(".tar"):
                found.append(_tar(folder, path))
    if found:
        return sorted(found, key=lambda tar: PurePosixPath(tar.path).parts)
    if packed:
        raise FormatError(f"{packed[0]}: compressed tars have no random access; unpack it (gunzip, unzstd, ...)")
    raise FormatError(f"{folder}: no .tar file here; name the folder that holds the shards")


def _tar(folder: Path, path: Path) -> Tar:
    relative = PurePosixPath(path.relative_to(folder).as_posix())
    try:
        state = path.stat()
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror}); was it moved?") from error
    return Tar(str(relative), split_name(relative), state.st_size, state.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise FormatError(f"{error.filename}: cannot be read ({error.strerror}); name a folder of tars") from error


def index_folders(folder: Path, chosen: Path | None) -> list[Path]:
    """Where indexes may lie: the chosen folder, or else one in the data set's folder, or in the user's cache."""
    if chosen is not None:
        return [chosen]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [folder / FOLDER, cache / "tessera" / "index" / _mark([str(folder.resolve())])]


def writable(folders: list[Path]) -> Path:
    """The first folder that can be written to, made where it is not there.

    Raises:
        FormatError: none can.
    """
    reasons = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        reasons.append(f"{folder}: read-only")
    raise FormatError(f"no place for the index ({'; '.join(reasons)}); name a folder with --index-dir")


def state_name(tars: list[Tar]) -> str:
    """Name of the folder for indexes of exactly these tars."""
    return _mark([tar.mark for tar in tars])


def _mark(values: list[object] | list[str]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time builds in a folder; others wait, and then find it done."""
    with (folder / "lock").open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            # a file system without locks: two then do the same work, and every file is renamed into its place whole
            if error.errno not in NO_LOCKS:
                raise
        yield
