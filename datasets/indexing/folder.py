"""The tars of a strangers' data set."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import FormatError
from .names import split_name

INDEX_VERSION = 1  # of scans and of how a schema follows from them
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
        return mark_of([INDEX_VERSION, self.path, self.size, self.mtime_ns])


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


def state_name(tars: list[Tar]) -> str:
    """Name of the folder for indexes of exactly these tars."""
    return mark_of([tar.mark for tar in tars])


def mark_of(values: list[object] | list[str]) -> str:
    """Name for a file or folder that follows from `values` alone: 32 hexadecimal digits."""
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:32]
