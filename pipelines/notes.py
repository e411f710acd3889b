"""Notes of committed groups in `runs/notes/`: sizes and times by which a later run knows them unchanged."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..datasets.commit import write_file
from ..datasets.errors import RawDataError
from .raw import Raw, open_raw
from .raw_store import StoreError
from .rawfiles import FileNote, RawFiles, note_raw


@dataclass(frozen=True)
class UnitNote:
    """Spec hash of a unit, the raw files that it read or missed, and whether the unit as a whole was rejected."""

    spec: str
    files: dict[str, FileNote]
    failed: bool


@dataclass(frozen=True)
class GroupNote:
    """Notes of a group's units, and size and modification time of its tars and indexes, by path in OUT.

    Those of an added label name the indexes of the shards that it belongs to, too.
    """

    units: dict[str, UnitNote]
    shards: dict[str, FileNote]


def notes_folder(out: Path) -> Path:
    """Where the notes of a data set's groups lie."""
    return out / "runs" / "notes"


def note_path(out: Path, split: str, group: int, label: str = "") -> Path:
    """Where the note of a group lies, or that of a label added to it."""
    return notes_folder(out) / (f"{split}-{group:06d}" + (f".{label}" if label else "") + ".json")


def write_note(path: Path, note: GroupNote, run: str) -> None:
    """Write a group's note."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(asdict(note), separators=(",", ":")).encode(), run)


def read_note(path: Path) -> GroupNote | None:
    """A group's note; None where there is none or it is damaged, which costs a rebuild and nothing else."""
    try:
        values = json.loads(path.read_bytes())
        units = {
            name: UnitNote(unit["spec"], {p: FileNote(**note) for p, note in unit["files"].items()}, unit["failed"])
            for name, unit in values["units"].items()
        }
        return GroupNote(units, {name: FileNote(**note) for name, note in values["shards"].items()})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def unchanged(raw: Path | Raw, note: UnitNote, rehash: bool) -> UnitNote | None:
    """The note of a unit whose raw files are what they were, with their present times; None where one has changed.

    Files are compared by size and time, by content where those differ or on demand. A file that can no longer be read
    has changed: building its unit says what is wrong with it.

    Raises:
        StoreError: the object store cannot be reached.
    """
    raw, files = open_raw(raw), {}
    try:
        for path, before in note.files.items():
            now = _same(raw, path, before, rehash)
            if now is None:
                return None
            files[path] = now
    except StoreError:
        raise
    except (OSError, RawDataError):
        return None
    return UnitNote(note.spec, files, note.failed)


def _same(raw: Raw, path: str, before: FileNote, rehash: bool) -> FileNote | None:
    now = note_raw(raw / path)
    if now.size != before.size:
        return None
    if before.size < 0 or (now.mtime_ns == before.mtime_ns and not rehash):
        return before
    files = RawFiles(raw)
    files.read(path)
    return files.notes[path] if files.notes[path].sha256 == before.sha256 else None
