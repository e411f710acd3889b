"""`dataset.json`: what a data set is, and the list of its shards."""

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from .commit import write_file
from .entries import (
    BASE,
    ShardEntry,
    Sidecar,
    State,
    check_entry,
    committed,
    shard_entries,
    sidecar_from_json,
    sidecar_json,
)
from .errors import FormatError, SchemaError, UsageError
from .index import check_version
from .members import FORMAT_VERSION
from .names import check_name
from .regular import regular
from .schema import Reference, Schema
from .typed import typed

CATALOG = "dataset.json"


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
        joint_sets: named joint lists with their roots and hashes, as `JointSet.to_json()` writes them.
        assets: files that all records share, path to sha256.
        splits: records of each table by split.
        shards: every shard.
        rejects: number of rows in `rejects.parquet`.
        code_version: version of Tessera that wrote it.
        sidecars: labels that were added later, by name.
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
    sidecars: dict[str, Sidecar] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """The file; the same catalog gives the same bytes."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["tables"] = {name: schema.to_json() for name, schema in self.tables.items()}
        values["shards"] = [asdict(shard) for shard in self.shards]
        sidecars = {name: sidecar_json(sidecar) for name, sidecar in values.pop("sidecars").items()}
        values |= {"sidecars": sidecars} if sidecars else {}
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
            values = json.loads(regular(path).read_bytes())
        except FileNotFoundError as error:
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(root)):
                raise FormatError(f"{root}: object stores cannot be read yet; copy the data set to a folder") from error
            raise FormatError(f"{root}: no {CATALOG} here; `tessera shards RECIPE --out {root}` makes one") from error
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(f"{path}: cannot be read ({error})") from error
        check_version(values.get("format_version") if isinstance(values, dict) else None, path)
        try:
            values["tables"] = {name: Schema.from_json(entry) for name, entry in values["tables"].items()}
            values["shards"] = shard_entries(values["shards"])
            values["sidecars"] = {name: sidecar_from_json(entry) for name, entry in values.get("sidecars", {}).items()}
            catalog = typed(Catalog, values)
            catalog._check_names()
        except (KeyError, TypeError, ValueError, AttributeError, SchemaError) as error:
            raise FormatError(f"{path}: damaged ({type(error).__name__}: {error}); make it again") from error
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from error
        if not scan:
            return catalog
        if catalog.state != "complete":
            catalog = replace(catalog, shards=scan_shards(root, catalog))
        building = {name for name, sidecar in catalog.sidecars.items() if "building" in (catalog.state, sidecar.state)}
        return catalog.with_sidecars({name: scan_sidecar(root, catalog, name) for name in building})

    def _check_names(self) -> None:
        """Refuse names and paths that lead out of the data set's folder, and shards of unknown tables and splits."""
        for table in self.tables:
            check_name(table, "table")
        for split in self.groups:
            check_name(split, "split")
        for shard in (*self.shards, *(shard for sidecar in self.sidecars.values() for shard in sidecar.shards)):
            if shard.table not in self.tables or shard.split not in self.groups:
                raise SchemaError(f"shard {shard.index!r} is of no table or split of this data set")
            _inside(shard.index)
            _inside(shard.tar or "")
            check_entry(shard)
        for label, sidecar in self.sidecars.items():
            check_name(label, "label")
            if not set(sidecar.tables) <= set(self.tables):
                raise SchemaError(f"label {label!r} was added to a table that this data set does not have")
        for table in self.tables:
            self.schema(table)
        for name in self.assets:
            _inside(name)

    @property
    def main_table(self) -> str:
        """The table that is meant where none is named: the first that no other table refers to."""
        referred = {
            reference.table
            for name, schema in self.tables.items()
            for reference in schema.references
            if reference.table != name
        }
        return next((name for name in self.tables if name not in referred), next(iter(self.tables)))

    def schema(self, table: str) -> Schema:
        """Schema of a table with the labels that were added to it.

        Raises:
            SchemaError: these do not go together.
        """
        added = [sidecar.tables[table] for sidecar in self.sidecars.values() if table in sidecar.tables]
        return self.tables[table].joined(added) if added else self.tables[table]

    def referred(self, table: str, name: str, path: str = "") -> Reference:
        """The reference of a table by its name.

        Args:
            table: that refers.
            name: of the reference.
            path: that was asked for, for messages; the name alone where not given.

        Raises:
            UsageError: there is none, or no such table is in this data set.
        """
        found = {entry.name: entry for entry in self.schema(table).references}
        if name not in found:
            refers = ", ".join(found) or "none"
            raise UsageError(f"{path or name!r}: table {table!r} has no reference {name!r} (references: {refers})")
        if found[name].table not in self.tables:
            raise UsageError(f"{path or name!r}: there is no table {found[name].table!r} in this data set")
        return found[name]

    def home(self, table: str, path: str) -> tuple[str, str]:
        """The table that has what a path over references leads to (`subject.points`), and its name there.

        Raises:
            UsageError: there is no such reference, or no such table.
        """
        *way, leaf = path.split(".")
        for name in way:
            table = self.referred(table, name, path).table
        return table, leaf

    def with_sidecars(self, shards: dict[str, tuple[ShardEntry, ...]]) -> "Catalog":
        """This catalog with other lists of sidecar shards, by label."""
        changed = {name: replace(self.sidecars[name], shards=entries) for name, entries in shards.items()}
        return replace(self, sidecars=self.sidecars | changed) if changed else self

    def with_shards(self, shards: tuple[ShardEntry, ...], rejects: int, state: State) -> "Catalog":
        """This catalog with its shard list, the counts that follow from it, and its state."""
        splits: dict[str, dict[str, int]] = {split: dict.fromkeys(self.tables, 0) for split in self.groups}
        for shard in shards:
            splits[shard.split][shard.table] += shard.records
        return replace(self, shards=shards, splits=splits, rejects=rejects, state=state)


def _inside(name: str) -> None:
    """Refuse a path that leaves the data set's folder: a catalog may come from a stranger."""
    if name.startswith("/") or ".." in name.split("/"):
        raise FormatError(f"path {name!r} leaves the data set's folder; refused")


def scan_shards(root: Path, catalog: Catalog) -> tuple[ShardEntry, ...]:
    """Entries of every shard committed at `root`, read from the indexes' footers; groups with all their parts only.

    Raises:
        FormatError: an index is damaged, newer than this code, or not that of the shard it lies beside.
    """
    found = (committed(root, split, table) for split in catalog.groups for table in catalog.tables)
    return tuple(entry for entries in found for entry, _ in entries)


def scan_sidecar(root: Path, catalog: Catalog, label: str) -> tuple[ShardEntry, ...]:
    """Entries of the committed shards of a label that was added, those only that belong to the catalog's own shards.

    Raises:
        FormatError: as `scan_shards`.
    """
    bases = {(x.split, x.table, x.group, x.part): x.sha256 for x in catalog.shards}
    tables = catalog.sidecars[label].tables
    found = (committed(root, split, table, label) for split in catalog.groups for table in tables)
    return tuple(
        entry for entries in found for entry, facts in entries
        if bases.get((entry.split, entry.table, entry.group, entry.part)) == facts.made_from.get(BASE)
    )  # fmt: skip
