"""Reading of raw files: each is read once, hashed while it is read, and noted for staleness."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..datasets.errors import RawDataError
from ..datasets.stages import Stages
from .raw import Raw, open_raw

LARGEST = 2 << 30  # bytes: a file is held in memory as a whole


@dataclass(frozen=True)
class FileNote:
    """What a raw file was when it was read; without a hash where it was absent (size -1) or could not be read."""

    size: int
    mtime_ns: int
    sha256: str


def file_state(path: str | Path) -> tuple[int, int]:
    """Size and modification time (nanoseconds) of a file; (-1, 0) where there is none."""
    try:
        state = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return -1, 0
    return state.st_size, state.st_mtime_ns


def note_file(path: Path) -> FileNote:
    """Size and modification time of a file, hash left empty; the note of an absent file where there is none."""
    return FileNote(*file_state(path), "")


def note_raw(place: Raw) -> FileNote:
    """The same of a file in RAW.

    Raises:
        ArchiveError, StoreError, OSError: it cannot be told.
    """
    state = place.state()
    return FileNote(-1, 0, "") if state is None else FileNote(state.size, state.mtime_ns, "")


class RawFiles:
    """Files of one unit, by POSIX path relative to RAW; `notes` holds what was read and what was found absent.

    `opened` is told each path before it is read.
    """

    def __init__(
        self, root: Path | Raw, stages: Stages | None = None, opened: Callable[[str], None] = lambda path: None
    ) -> None:
        self.raw, self.opened = open_raw(root), opened
        self.stages = stages if stages is not None else Stages()
        self.notes: dict[str, FileNote] = {}

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            RawDataError: it cannot be read, or the path leaves RAW (also through a symbolic link).
            FileNotFoundError: it does not exist; the caller decides whether that is an error.
            StoreError: its object store cannot be reached.
        """
        place = self.raw / path
        place.check()
        self.opened(path)
        try:
            before = note_raw(place)  # before reading: a change meanwhile is then seen by the next run
            self.notes[path] = before
            if before.size > LARGEST:
                raise RawDataError(f"{path}: {before.size} bytes; refused: files of up to {LARGEST} are read")
            with self.stages("read file"):
                data = place.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            self.notes[path] = FileNote(-1, 0, "")
            raise FileNotFoundError(path) from error
        except PermissionError as error:
            raise RawDataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        with self.stages("hash"):
            digest = hashlib.sha256(data).hexdigest()
        self.notes[path] = FileNote(len(data), before.mtime_ns, digest)
        return data

    def digest(self) -> str:
        """Hash of all that was read: paths, sizes and contents, independent of order and modification times."""
        return notes_digest(self.notes)


def notes_digest(notes: dict[str, FileNote]) -> str:
    """Hash of file notes without their modification times."""
    digest = hashlib.sha256()
    for path in sorted(notes):
        line = f"{path}\0{notes[path].size}\0{notes[path].sha256}\n"
        digest.update(line.encode(errors="surrogateescape"))  # a name may be no UTF-8
    return digest.hexdigest()
