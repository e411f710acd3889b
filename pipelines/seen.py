"""What a finished run saw, in one file: a later run need not open ten thousand notes to find that nothing has changed.

`runs/seen.json` only saves work: a group that is not exactly as it was seen is judged by its own note.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..datasets.catalog import CATALOG
from ..datasets.commit import write_file
from ..datasets.errors import RawDataError
from .group import GroupTask
from .notes import GroupNote, notes_folder, read_note
from .raw import Raw
from .rawfiles import FileNote, file_state
from .rejects import REJECTS

SEEN = "runs/seen.json"
States = dict[str, list[int]]  # path -> size, modification time (-1, 0: absent)
Group = tuple[list[int], dict[str, str], States, States]  # of its note's file; specs of units; raw files; shards


class Seen:
    """Sizes and times of all files of a data set as a finished run left them; empty where there was none.

    `missed` tells whether something was asked for that is no longer as it was seen.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        values = _read(out / SEEN)
        self.whole: States = values.get("whole", {})
        self.groups: dict[str, Group] = values.get("groups", {})
        self.notes = _note_states(out) if self.groups else {}
        self.missed = False
        self._raw: dict[str, list[int]] = {}

    def unchanged(self, task: GroupTask) -> bool:
        """Whether a group is what its plan wants, and its note, raw files and shards are as they were seen."""
        same = self._unchanged(task)
        self.missed |= not same
        return same

    def finished(self) -> bool:
        """Whether catalog and rejects are as a run left them that had completed the data set."""
        same = set(self.whole) == {CATALOG, REJECTS} and _as_seen(self.out, self.whole)
        self.missed |= not same
        return same

    def _unchanged(self, task: GroupTask) -> bool:
        try:
            note, specs, raw, shards = self.groups[task.name]
            return (
                specs == task.specs
                and note == self.notes[task.name]
                and bool(shards)
                and all(self._raw_state(task.raw, path) == state for path, state in raw.items())
                and _as_seen(self.out, shards)
            )
        except (KeyError, OSError, RawDataError):  # not seen yet, or it cannot be read: the group's note tells
            return False

    def _raw_state(self, raw: Raw, path: str) -> list[int]:
        if path not in self._raw:  # a file that many units share is looked at once
            state = raw.store.state(path)  # as `note_raw`, without an object for each of 100,000 files
            self._raw[path] = [state.size, state.mtime_ns] if state else [-1, 0]
        return self._raw[path]


def write_seen(out: Path, tasks: Iterable[GroupTask], before: Seen, run: str) -> None:
    """Write down how a completed data set stands; groups as they stood `before` are not read again."""
    notes, groups = _note_states(out), {}
    for task in tasks:
        state, known = notes.get(task.name), before.groups.get(task.name)
        if state is not None and known is not None and known[0] == state:
            groups[task.name] = known
        elif state is not None:
            found = _group(state, read_note(notes_folder(out) / f"{task.name}.json"))
            if found is not None:
                groups[task.name] = found
    whole = {name: [*file_state(out / name)] for name in (CATALOG, REJECTS)}
    if (groups, whole) != (before.groups, before.whole):
        text = json.dumps({"whole": whole, "groups": groups}, separators=(",", ":")).encode()
        write_file(out / SEEN, hashlib.sha256(text).hexdigest().encode() + b"\n" + text, run)


def _group(state: list[int], note: GroupNote | None) -> Group | None:
    """What is kept of a note; None where there is none, or units saw a file they share in different states."""
    if note is None:
        return None
    raw: States = {}
    for unit in note.units.values():
        for path, now in _states(unit.files).items():
            if raw.setdefault(path, now) != now:
                return None
    return state, {name: unit.spec for name, unit in note.units.items()}, raw, _states(note.shards)


def _states(files: Mapping[str, FileNote]) -> States:
    return {path: [note.size, note.mtime_ns] for path, note in files.items()}


def _as_seen(folder: Path, states: States) -> bool:
    return all([*file_state(f"{folder}/{path}")] == state for path, state in states.items())


def _note_states(out: Path) -> dict[str, list[int]]:
    """Size and modification time of each group's note, by group; taken before any of them is read."""
    try:
        with os.scandir(notes_folder(out)) as entries:
            found = [(entry.name, entry.stat()) for entry in entries if entry.name.endswith(".json")]
    except FileNotFoundError:
        return {}
    return {name.removesuffix(".json"): [state.st_size, state.st_mtime_ns] for name, state in found}


def _read(path: Path) -> dict[str, Any]:
    """The file's content; nothing where there is none, or it does not have the hash in its first line."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    return json.loads(text) if hashlib.sha256(text).hexdigest().encode() == digest else {}
