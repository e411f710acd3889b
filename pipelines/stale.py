"""Which groups a run has to build: those whose units, options, labels or raw files are no longer what they were."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from .fingerprint import REJECTED, fingerprint
from .group import GroupTask
from .notes import GroupNote, note_path, read_note, unchanged, write_note
from .prepare import Prepared
from .previous import belongs, intact, whole_group
from .raw import Raw
from .rawfiles import note_file, notes_digest
from .recipe import Unit
from .rejects import was_planned
from .seen import Seen


@dataclass(frozen=True)
class Verdict:
    """Whether a group must be built, and which of its units can be copied if its shards are intact: fingerprints."""

    fresh: bool
    keep: Mapping[str, str] = field(default_factory=dict)


def judge_group(
    raw: Path | Raw,
    out: Path,
    split: str,
    group: int,
    tables: list[str],
    units: list[Unit],
    specs: Mapping[str, str],
    *,
    label: str = "",
    rehash: bool = False,
    retry_failed: bool = False,
    hollow: bool = False,
) -> Verdict:
    """Compare a group on disk with what the plan wants of it.

    Without the group's note in `runs/` nothing is known of its raw files, and it is built again. With a label: the same
    of the shards that hold it, which also have to belong to the group's shards as they are now. With `hollow`, the tars
    have no content here (see `mirror`), so that size and time alone tell whether they are as noted.
    """
    path = note_path(out, split, group, label)
    note = read_note(path)
    if note is None:
        return Verdict(False)
    as_noted = bool(note.shards) and all(_as_noted(out / name, before) for name, before in note.shards.items())
    committed = {} if hollow and not as_noted else _fingerprints(out, split, group, tables, note, label, as_noted)
    good, renewed = {}, {}
    for unit in units:
        known = note.units.get(unit.name)
        if known is None or known.spec != specs[unit.name] or unit.name not in committed:
            continue
        expected = f"{REJECTED}{known.spec}" if known.failed else fingerprint(known.spec, notes_digest(known.files))
        again = retry_failed and rejected_units(out, split, group, tables, unit.name, label)
        now = unchanged(raw, known, rehash) if committed[unit.name] == expected and not again else None
        if now is not None:
            good[unit.name], renewed[unit.name] = expected, now
    belonging = not label or as_noted or belongs(out, split, tables, group, label)
    if not (belonging and len(good) == len(units) == len(committed)):
        return Verdict(False, good)
    present = GroupNote(renewed, {name: note_file(out / name) for name in note.shards})
    if present != note:  # touched, copied or moved, but the same: the next run need not read it again
        write_note(path, present, f"renewed-{os.getpid()}")
    return Verdict(True)


def rejected_units(out: Path, split: str, group: int, tables: list[str], unit: str, label: str = "") -> bool:
    """Whether the group's shards record a reject of this unit that was not already planned."""
    facts = whole_group(out, split, tables[0], group, label)
    rejects = facts[0].rejects if facts else ()
    return any(reject["unit"] == unit and not was_planned(reject["stage"]) for reject in rejects)


def _fingerprints(
    out: Path, split: str, group: int, tables: list[str], note: GroupNote, label: str, as_noted: bool
) -> dict[str, str]:
    """Fingerprints of the units that are committed whole in every table.

    Files as noted need not be opened; where one is not, all are hashed, for a damaged tar may have the right size.
    """
    if as_noted:
        return {
            name: f"{REJECTED}{unit.spec}" if unit.failed else fingerprint(unit.spec, notes_digest(unit.files))
            for name, unit in note.units.items()
        }
    if not intact(out, split, tables, group, label):
        return {}
    found: dict[str, str] | None = None
    for table in tables:
        facts = whole_group(out, split, table, group, label)
        named = {source.unit: source.fingerprint for part in facts for source in part.sources}
        found = named if found is None else {k: v for k, v in found.items() if named.get(k) == v}
    return found or {}


def _as_noted(path: Path, before: object) -> bool:
    now = note_file(path)
    return (now.size, now.mtime_ns) == (getattr(before, "size", None), getattr(before, "mtime_ns", None))


def stale_tasks(prepared: Prepared, tasks: Sequence[GroupTask], seen: Seen) -> list[GroupTask]:
    """The tasks whose groups must be built, each with the units it can copy."""
    settings, found = prepared.settings, []
    trusting = not settings.rehash and not settings.retry_failed
    for task in tasks:
        if trusting and seen.unchanged(task):
            continue
        whole = prepared.catalog
        tables = list(whole.sidecars[task.label].tables if task.label else whole.tables)
        verdict = judge_group(
            task.raw, task.out, task.split, task.group, tables, list(task.units), task.specs,
            label=task.label, rehash=settings.rehash, retry_failed=settings.retry_failed,
            hollow=bool(task.store),
        )  # fmt: skip
        if not verdict.fresh and (not settings.retry_failed or task.label or _has_rejects(task, tables)):
            found.append(replace(task, keep={} if task.store else verdict.keep))  # hollow tars have nothing to copy
    return found


def _has_rejects(task: GroupTask, tables: list[str]) -> bool:
    """Whether the group as it is committed left out something that was there."""
    return any(rejected_units(task.out, task.split, task.group, tables, unit.name) for unit in task.units)
