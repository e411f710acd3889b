"""Which groups a run has to build: those whose units, options, labels or raw files are no longer what they were."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .fingerprint import REJECTED, fingerprint
from .notes import GroupNote, note_path, read_note, unchanged, write_note
from .previous import intact, whole_group
from .rawfiles import note_file, notes_digest
from .recipe import Unit


@dataclass(frozen=True)
class Verdict:
    """Whether a group must be built, and which of its units can be copied if its shards are intact: fingerprints."""

    fresh: bool
    keep: Mapping[str, str] = field(default_factory=dict)


def judge_group(
    raw: Path,
    out: Path,
    split: str,
    group: int,
    tables: list[str],
    units: list[Unit],
    specs: Mapping[str, str],
    *,
    rehash: bool = False,
    retry_failed: bool = False,
) -> Verdict:
    """Compare a group on disk with what the plan wants of it.

    Without the group's note in `runs/` nothing is known of its raw files, and it is built again.
    """
    path = note_path(out, split, group)
    note = read_note(path)
    if note is None:
        return Verdict(False)
    committed = _fingerprints(out, split, group, tables, note)
    good, renewed = {}, {}
    for unit in units:
        known = note.units.get(unit.name)
        if known is None or known.spec != specs[unit.name] or unit.name not in committed:
            continue
        expected = f"{REJECTED}{known.spec}" if known.failed else fingerprint(known.spec, notes_digest(known.files))
        again = retry_failed and rejected_units(out, split, group, tables, unit.name)
        now = unchanged(raw, known, rehash) if committed[unit.name] == expected and not again else None
        if now is not None:
            good[unit.name], renewed[unit.name] = expected, now
    if not len(good) == len(units) == len(committed):
        return Verdict(False, good)
    present = GroupNote(renewed, {name: note_file(out / name) for name in note.shards})
    if present != note:  # touched, copied or moved, but the same: the next run need not read it again
        write_note(path, present, f"renewed-{os.getpid()}")
    return Verdict(True)


def rejected_units(out: Path, split: str, group: int, tables: list[str], unit: str) -> bool:
    """Whether the group's shards record a reject of this unit that was not already planned."""
    facts = whole_group(out, split, tables[0], group)
    return any(reject["unit"] == unit and reject["stage"] != "plan" for reject in facts[0].rejects) if facts else False


def _fingerprints(out: Path, split: str, group: int, tables: list[str], note: GroupNote) -> dict[str, str]:
    """Fingerprints of the units that are committed whole in every table.

    Files as noted need not be opened; where one is not, all are hashed, for a damaged tar may have the right size.
    """
    if note.shards and all(_as_noted(out / path, before) for path, before in note.shards.items()):
        return {
            name: f"{REJECTED}{unit.spec}" if unit.failed else fingerprint(unit.spec, notes_digest(unit.files))
            for name, unit in note.units.items()
        }
    if not intact(out, split, tables, group):
        return {}
    found: dict[str, str] | None = None
    for table in tables:
        facts = whole_group(out, split, table, group)
        named = {source.unit: source.fingerprint for part in facts for source in part.sources}
        found = named if found is None else {k: v for k, v in found.items() if named.get(k) == v}
    return found or {}


def _as_noted(path: Path, before: object) -> bool:
    now = note_file(path)
    return (now.size, now.mtime_ns) == (getattr(before, "size", None), getattr(before, "mtime_ns", None))
