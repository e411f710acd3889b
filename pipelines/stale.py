"""Which groups a run has to build: those whose units, options, labels or raw files are no longer what they were."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .fingerprint import REJECTED, fingerprint
from .notes import GroupNote, note_path, read_note, unchanged
from .previous import whole_group
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
    note = read_note(note_path(out, split, group))
    if note is None:
        return Verdict(False)
    committed = _fingerprints(out, split, group, tables, note)
    good = {}
    for unit in units:
        known = note.units.get(unit.name)
        if known is None or known.spec != specs[unit.name] or unit.name not in committed:
            continue
        rejected = committed[unit.name]
        expected = f"{REJECTED}{known.spec}" if known.failed else fingerprint(known.spec, notes_digest(known.files))
        again = retry_failed and rejected_units(out, split, group, tables, unit.name)
        if rejected == expected and not again and unchanged(raw, known, rehash):
            good[unit.name] = expected
    if len(good) == len(units) == len(committed):
        return Verdict(True)
    return Verdict(False, good)


def rejected_units(out: Path, split: str, group: int, tables: list[str], unit: str) -> bool:
    """Whether the group's shards record a reject of this unit that was not already planned."""
    facts = whole_group(out, split, tables[0], group)
    return any(reject["unit"] == unit and reject["stage"] != "plan" for reject in facts[0].rejects) if facts else False


def _fingerprints(out: Path, split: str, group: int, tables: list[str], note: GroupNote) -> dict[str, str]:
    """Fingerprints of the units that are committed whole in every table; files as noted need not be opened."""
    if note.shards and all(_as_noted(out / path, before) for path, before in note.shards.items()):
        return {
            name: f"{REJECTED}{unit.spec}" if unit.failed else fingerprint(unit.spec, notes_digest(unit.files))
            for name, unit in note.units.items()
        }
    found: dict[str, str] | None = None
    for table in tables:
        facts = whole_group(out, split, table, group)
        named = {source.unit: source.fingerprint for part in facts for source in part.sources}
        found = named if found is None else {k: v for k, v in found.items() if named.get(k) == v}
    return found or {}


def _as_noted(path: Path, before: object) -> bool:
    now = note_file(path)
    return (now.size, now.mtime_ns) == (getattr(before, "size", None), getattr(before, "mtime_ns", None))
