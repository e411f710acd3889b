"""What `dataset.json` lists: committed shards, and labels that were added later; and how they are found on disk."""

import hashlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .errors import FormatError, SchemaError
from .index import ShardFacts, read_facts
from .names import NAME
from .schema import Schema
from .shard import shard_stem
from .typed import typed

BASE = "base_sha256"  # in an index's `made_from`: of the tar that a sidecar shard belongs to
MOST = 1 << 48  # bytes of a tar, records in it
State = Literal["building", "complete"]


@dataclass(frozen=True)
class ShardEntry:
    """One shard in the catalog; paths are relative to the data set's folder, `tar` is None where it has no record."""

    table: str
    split: str
    group: int
    part: int
    index: str
    index_sha256: str
    tar: str | None
    bytes: int
    sha256: str
    records: int
    units: tuple[str, ...]


def check_entry(entry: ShardEntry) -> None:
    """Refuse names that no shard has, and counts that are none: a catalog may come from a stranger.

    WebDataset, which is handed these paths, runs `pipe:...` as a command and multiplies what is in braces.

    Raises:
        SchemaError: with the path.
    """
    stem, name = f"{entry.split}/{shard_stem(entry.table, entry.group, entry.part)}", entry.index[: -len(".parquet")]
    label = name[len(stem) :]
    known = entry.index == f"{stem}{label}.parquet" and entry.tar in (None, f"{name}.tar")
    if not known or (label and not (label[0] == "." and NAME.fullmatch(label, 1))):
        raise SchemaError(f"shard {entry.index!r}, {entry.tar!r}: such a file is called {stem}.parquet, {stem}.tar")
    for count in (entry.group, entry.part, entry.bytes, entry.records):
        if not 0 <= count <= MOST:
            raise SchemaError(f"shard {entry.index!r}: {count} is no number of bytes or records")


@dataclass(frozen=True)
class Sidecar:
    """A label that was added to a finished data set: its shards lie beside those that they belong to.

    Attributes:
        version: version of the label.
        state: `building` until every shard of its tables has one of its own beside it.
        tables: of each table that has the label, what it adds to the schema; every field is optional.
        shards: every sidecar shard.
    """

    version: int
    state: State
    tables: dict[str, Schema]
    shards: tuple[ShardEntry, ...] = ()


def shard_entry(root: Path, index: Path, facts: ShardFacts) -> ShardEntry:
    """The catalog's entry of a committed shard."""
    return ShardEntry(
        table=facts.table, split=facts.split, group=facts.group, part=facts.part,
        index=index.relative_to(root).as_posix(), index_sha256=hashlib.sha256(index.read_bytes()).hexdigest(),
        tar=f"{facts.split}/{facts.tar}" if facts.tar else None, bytes=facts.tar_bytes, sha256=facts.tar_sha256,
        records=sum(source.records for source in facts.sources),
        units=tuple(source.unit for source in facts.sources if source.records),
    )  # fmt: skip


def shard_entries(values: Any) -> tuple[ShardEntry, ...]:
    """Entries from the JSON values of `dataset.json`.

    Raises:
        KeyError, TypeError: a value is missing or of the wrong type.
    """
    return tuple(typed(ShardEntry, entry | {"units": tuple(entry["units"])}) for entry in values)


def sidecar_from_json(values: Any) -> Sidecar:
    """Inverse of `sidecar_json`.

    Raises:
        SchemaError, KeyError, TypeError: as `Schema.from_json` and `shard_entries`.
    """
    tables = {name: Schema.from_json(entry) for name, entry in values["tables"].items()}
    return typed(Sidecar, values | {"tables": tables, "shards": shard_entries(values["shards"])})


def sidecar_json(sidecar: Sidecar) -> dict[str, Any]:
    """Entry of `dataset.json`."""
    tables = {name: schema.to_json() for name, schema in sidecar.tables.items()}
    return vars(sidecar) | {"tables": tables, "shards": [asdict(shard) for shard in sidecar.shards]}


def index_paths(root: Path, split: str, table: str, label: str = "") -> list[Path]:
    """Paths of the indexes of one table (or of a label added to it) in one split, in order of group and part.

    Other files are passed over.
    """
    suffix = re.escape(f".{label}") if label else ""
    pattern = re.compile(rf"{re.escape(table)}-(\d+)(?:-(\d+))?{suffix}\.parquet")
    found = [(match, path) for path in (root / split).glob("*.parquet") if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: [int(number or 0) for number in pair[0].groups()])]


def committed(root: Path, split: str, table: str, label: str = "") -> list[tuple[ShardEntry, ShardFacts]]:
    """Entries and facts of one table's committed shards (or of a label added to it) in one split; whole groups only.

    Raises:
        FormatError: as `scan_shards`.
    """
    found: dict[int, list[tuple[ShardEntry, ShardFacts]]] = {}
    for path in index_paths(root, split, table, label):
        facts = read_facts(path)
        if (facts.split, facts.table) != (split, table) or facts.tar not in (None, f"{path.stem}.tar"):
            raise FormatError(f"{path}: the index of {facts.split}/{facts.tar}; was it moved? Put it back")
        found.setdefault(facts.group, []).append((shard_entry(root, path, facts), facts))
    return [pair for members in found.values() if len(members) == members[-1][1].parts for pair in members]
