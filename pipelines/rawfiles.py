"""Reading of raw files: each is read once, hashed while it is read, and noted for staleness."""

import hashlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..datasets.errors import RawDataError
from ..datasets.stages import Stages


@dataclass(frozen=True)
class FileNote:
    """What a raw file was when it was read; without a hash where it was absent (size -1) or could not be read."""

    size: int
    mtime_ns: int
    sha256: str


def note_file(path: Path) -> FileNote:
    """Size and modification time of a file, hash left empty; the note of an absent file where there is none."""
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return FileNote(-1, 0, "")
    return FileNote(state.st_size, state.st_mtime_ns, "")


class RawFiles:
    """Files of one unit, by POSIX path relative to RAW; `notes` holds what was read and what was found absent.

    `opened` is told each path before it is read.
    """

    def __init__(
        self, root: Path, stages: Stages | None = None, opened: Callable[[str], None] = lambda path: None
    ) -> None:
        self.root, self.opened = root.resolve(), opened
        self.stages = stages if stages is not None else Stages()
        self.notes: dict[str, FileNote] = {}

    def read(self, path: str) -> bytes:
        """Content of a file.

        Raises:
            RawDataError: it cannot be read, or the path leaves RAW (also through a symbolic link).
            FileNotFoundError: it does not exist; the caller decides whether that is an error.
        """
        full = self._inside(path)
        self.opened(path)
        try:
            state = full.stat()  # before reading: a change meanwhile is then seen by the next run
            self.notes[path] = FileNote(state.st_size, state.st_mtime_ns, "")
            if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for
                raise RawDataError(f"{path}: cannot be read (it is no regular file)")
            with self.stages("read file"), full.open("rb") as stream:
                data = stream.read()
        except (FileNotFoundError, NotADirectoryError) as error:
            self.notes[path] = FileNote(-1, 0, "")
            raise FileNotFoundError(path) from error
        except PermissionError as error:
            raise RawDataError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
        with self.stages("hash"):
            digest = hashlib.sha256(data).hexdigest()
        self.notes[path] = FileNote(len(data), state.st_mtime_ns, digest)
        return data

    def digest(self) -> str:
        """Hash of all that was read: paths, sizes and contents, independent of order and modification times."""
        return notes_digest(self.notes)

    def _inside(self, path: str) -> Path:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise RawDataError(f"{path}: leaves the raw folder; refused")
        full = (self.root / path).resolve()
        if not full.is_relative_to(self.root):
            raise RawDataError(f"{path}: a symbolic link leaves the raw folder; refused")
        return full


def notes_digest(notes: dict[str, FileNote]) -> str:
    """Hash of file notes without their modification times."""
    digest = hashlib.sha256()
    for path in sorted(notes):
        digest.update(f"{path}\0{notes[path].size}\0{notes[path].sha256}\n".encode())
    return digest.hexdigest()
