"""`dataset.json`: what a data set is, and the list of its shards."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from .commit import write_file
from .errors import FormatError, SchemaError
from .index import ShardFacts, check_version, read_facts
from .members import FORMAT_VERSION
from .names import check_name
from .schema import Schema
from .typed import typed

CATALOG = "dataset.json"
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


@dataclass(frozen=True)
class Catalog:
    """Contents of `dataset.json`.

    Attributes:
        name: name of the data set.
        recipe: name of the recipe that wrote it.
        state: `building` until every group is committed.
        labels: version of each label.
        options: the recipe's options, those that records depend on.
        selection: what of the raw data was asked for.
        seed: seed of every keyed choice.
        groups: number of groups of each split, fixed when the data set is created.
        shard_bytes: size at which a shard is full.
        tables: schema of each table.
        joint_sets: named joint lists with their hashes.
        assets: files that all records share, path to sha256.
        splits: records of each table by split.
        shards: every shard.
        rejects: number of rows in `rejects.parquet`.
        code_version: version of Tessera that wrote it.
        format_version: version of the disk format.
    """

    name: str
    recipe: str
    state: State
    labels: dict[str, int]
    options: dict[str, Any]
    selection: dict[str, Any]
    seed: int
    groups: dict[str, int]
    shard_bytes: int
    tables: dict[str, Schema]
    code_version: str
    joint_sets: dict[str, Any] = field(default_factory=dict)
    assets: dict[str, str] = field(default_factory=dict)
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    shards: tuple[ShardEntry, ...] = ()
    rejects: int = 0
    format_version: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """The file; the same catalog gives the same bytes."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["tables"] = {name: schema.to_json() for name, schema in self.tables.items()}
        values["shards"] = [asdict(shard) for shard in self.shards]
        return (json.dumps(values, indent=1, sort_keys=True) + "\n").encode()

    def write(self, root: Path, run: str) -> None:
        """Write `dataset.json`, atomically; nothing happens where it already says the same."""
        path, data = root / CATALOG, self.to_bytes()
        if not path.exists() or path.read_bytes() != data:
            write_file(path, data, run)

    @staticmethod
    def read(root: Path, *, scan: bool = True) -> "Catalog":
        """The catalog of the data set at `root`; one still building lists the shards committed so far.

        Args:
            root: folder of the data set.
            scan: False leaves the shard list of a data set that is still building as it was written.

        Raises:
            FormatError: there is none, it is damaged, or newer than this code.
        """
        path = root / CATALOG
        try:
            values = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise FormatError(f"{root}: no {CATALOG} here; `tessera shards RECIPE --out {root}` makes one") from error
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{path}: cannot be read ({error})") from error
        check_version(values.get("format_version") if isinstance(values, dict) else None, path)
        try:
            values["tables"] = {name: Schema.from_json(entry) for name, entry in values["tables"].items()}
            values["shards"] = tuple(typed(ShardEntry, e | {"units": tuple(e["units"])}) for e in values["shards"])
            catalog = typed(Catalog, values)
            catalog._check_names()
        except (KeyError, TypeError, ValueError, AttributeError, SchemaError) as error:
            raise FormatError(f"{path}: damaged ({type(error).__name__}: {error}); make it again") from error
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        return replace(catalog, shards=scan_shards(root, catalog)) if scan and catalog.state != "complete" else catalog

    def _check_names(self) -> None:
        """Refuse names and paths that lead out of the data set's folder, and shards of unknown tables and splits."""
        for table in self.tables:
            check_name(table, "table")
        for split in self.groups:
            check_name(split, "split")
        for shard in self.shards:
            if shard.table not in self.tables or shard.split not in self.groups:
                raise SchemaError(f"shard {shard.index!r} is of no table or split of this data set")
            _inside(shard.index)
            _inside(shard.tar or "")
        for name in self.assets:
            _inside(name)

    def with_shards(self, shards: tuple[ShardEntry, ...], rejects: int, state: State) -> "Catalog":
        """This catalog with its shard list, the counts that follow from it, and its state."""
        splits: dict[str, dict[str, int]] = {split: dict.fromkeys(self.tables, 0) for split in self.groups}
        for shard in shards:
            splits[shard.split][shard.table] += shard.records
        return replace(self, shards=shards, splits=splits, rejects=rejects, state=state)


def _inside(name: str) -> None:
    """Refuse a path that leaves the data set's folder: a catalog may come from a stranger."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise FormatError(f"path {name!r} leaves the data set's folder; refused")


def shard_entry(root: Path, index: Path, facts: ShardFacts) -> ShardEntry:
    """The catalog's entry of a committed shard."""
    return ShardEntry(
        table=facts.table, split=facts.split, group=facts.group, part=facts.part,
        index=index.relative_to(root).as_posix(), index_sha256=hashlib.sha256(index.read_bytes()).hexdigest(),
        tar=f"{facts.split}/{facts.tar}" if facts.tar else None, bytes=facts.tar_bytes, sha256=facts.tar_sha256,
        records=sum(source.records for source in facts.sources),
        units=tuple(source.unit for source in facts.sources if source.records),
    )  # fmt: skip


def index_paths(root: Path, split: str, table: str) -> list[Path]:
    """Paths of the indexes of one table in one split, in order of group and part; other files are passed over."""
    pattern = re.compile(rf"{re.escape(table)}-(\d+)(?:-(\d+))?\.parquet")
    found = [(match, path) for path in (root / split).glob("*.parquet") if (match := pattern.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: [int(number or 0) for number in pair[0].groups()])]


def scan_shards(root: Path, catalog: Catalog) -> tuple[ShardEntry, ...]:
    """Entries of every shard committed at `root`, read from the indexes' footers; groups with all their parts only.

    Raises:
        FormatError: an index is damaged, newer than this code, or not that of the shard it lies beside.
    """
    entries: list[ShardEntry] = []
    for split in catalog.groups:
        for table in catalog.tables:
            found: dict[int, list[ShardEntry]] = {}
            parts: dict[int, int] = {}
            for path in index_paths(root, split, table):
                facts = read_facts(path)
                if (facts.split, facts.table) != (split, table) or facts.tar not in (None, f"{path.stem}.tar"):
                    raise FormatError(f"{path}: the index of {facts.split}/{facts.tar}; was it moved? Put it back")
                found.setdefault(facts.group, []).append(shard_entry(root, path, facts))
                parts[facts.group] = facts.parts
            entries += [entry for group, members in found.items() if len(members) == parts[group] for entry in members]
    return tuple(entries)
