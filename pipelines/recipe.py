"""What a recipe is: a reader, its labels in order, a schema, options and a demo."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..datasets.errors import UsageError
from ..datasets.plain import printable
from ..datasets.schema import Column, Field, Reference, Schema
from .raw import Raw
from .rawfiles import RawFiles
from .shared import Shared


@dataclass(frozen=True)
class LabelOptions:
    """Options that every recipe has; its own options class derives from this one.

    Attributes:
        with_: labels to switch on that are off by default, separated by commas.
        without: labels to switch off, separated by commas.
    """

    with_: Annotated[str, tyro.conf.arg(name="with")] = ""
    without: str = ""


@dataclass(frozen=True)
class Reject:
    """A unit (where `key` is empty) or record that is left out, and why. Paths are relative to RAW."""

    unit: str
    key: str
    path: str
    stage: str
    error: str

    def __post_init__(self) -> None:
        """Escape what no terminal should see: names and errors come from raw files, and from strangers' data sets."""
        for entry in fields(self):
            object.__setattr__(self, entry.name, printable(getattr(self, entry.name)))


@dataclass(frozen=True)
class Unit:
    """The smallest piece of raw data that is processed alone.

    Attributes:
        name: unique in the data set; keys of its records begin with it.
        split: where its records go.
        records: planned keys, each with what the reader needs to find the record.
        payload: what the reader needs of the unit; JSON values only, for they are part of its fingerprint.
        rejects: records known to be missing when planning.
        summaries: keys of records about the unit as a whole (of another table), there whichever records are selected.
        seed: seed of the unit's keyed choices, set by the run.
    """

    name: str
    split: str
    records: Mapping[str, Any]
    payload: Mapping[str, Any] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    summaries: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def only(self, keys: list[str]) -> "Unit":
        """This unit with just these records."""
        return replace(self, records={key: self.records[key] for key in keys}, rejects=())


@dataclass(frozen=True)
class Plan:
    """Units in order of their names, and lines about what was left out on purpose."""

    units: tuple[Unit, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """What the reader gives for one record: raw data ready for the labels, and scalars for the index."""

    key: str
    data: Any
    table: str
    scalars: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Label:
    """One label: the fields and index columns it makes, and the function that makes them from a sample's data.

    `version` is raised whenever its output changes, which makes shards that hold it stale. A label that is off by
    default is switched on with `--with NAME`; `--without NAME` switches any off. A `joint` label looks across the
    records of a unit, so that a record which fails late makes the unit be built again without it.
    """

    name: str
    version: int
    make: Callable[[Any, Any], Mapping[str, Any]]
    fields: tuple[Field, ...]
    columns: tuple[Column, ...] = ()
    default: bool = True
    references: tuple[Reference, ...] = ()
    joint: bool = False


@dataclass(frozen=True)
class TableSpec:
    """Labels, dimensions, columns and references of one table; `dimensions` takes the recipe's options.

    A table all of whose labels are off is left out, but for the first; a reference to it becomes a plain column.
    """

    labels: tuple[Label, ...]
    dimensions: Callable[[Any], dict[str, int | None]]
    columns: tuple[Column, ...] = ()
    references: tuple[Reference, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """Everything that `DATASET=name` names.

    Attributes:
        name: name of the recipe, `[a-z][a-z0-9_]*`.
        summary: one line for `tessera ls`.
        options: frozen dataclass derived from LabelOptions; fields of type Path never enter the data set, those in
            `selecting` say which records there are, the others what is in them.
        selecting: names of the options that select records.
        tables: the tables.
        plan: finds the units of RAW.
        read: loads a unit: yields a sample or a reject for each planned record.
        record_bytes: expected bytes of a record, for the number of groups.
        demo: writes demo raw data into a folder; None where there is no demo.
        shared: what all records share.
    """

    name: str
    summary: str
    options: type[LabelOptions]
    tables: Mapping[str, TableSpec]
    plan: Callable[[Raw, Any], Plan]
    read: Callable[[Unit, RawFiles, Any], Iterator[Sample | Reject]]
    record_bytes: Callable[[Any], int]
    selecting: frozenset[str] = frozenset()
    demo: Callable[..., None] | None = None
    shared: Callable[[Raw, Any], Shared] = lambda raw, options: Shared()

    def labels(self, table: str, options: Any) -> tuple[Label, ...]:
        """Labels of a table that the options leave on, in order.

        Raises:
            UsageError: `--with` or `--without` names a label that no table has.
        """
        wanted, unwanted = listed_names(options.with_), listed_names(options.without)
        known = {label.name for spec in self.tables.values() for label in spec.labels}
        for name in sorted((wanted | unwanted) - known):
            raise UsageError(f"no label {name!r} in recipe {self.name} (labels: {', '.join(sorted(known))})")
        spec = self.tables[table]
        return tuple(x for x in spec.labels if (x.default or x.name in wanted) and x.name not in unwanted)

    def schemas(self, options: Any) -> dict[str, Schema]:
        """Schema of each table under these options; dimensions that no field uses are left out.

        Raises:
            UsageError: no label of the first table is on.
        """
        labels = {name: self.labels(name, options) for name in self.tables}
        first = next(iter(self.tables))
        if not any(label.fields for label in labels[first]):
            raise UsageError(f"table {first}: every label is switched off; leave one on")
        there = {name for name, on in labels.items() if any(label.fields for label in on)}
        return {name: self._schema(name, labels[name], there, options) for name in self.tables if name in there}

    def _schema(self, name: str, labels: tuple[Label, ...], there: set[str], options: Any) -> Schema:
        spec = self.tables[name]
        chosen = tuple(entry for label in labels for entry in label.fields)
        used = {size for entry in chosen for size in entry.shape}
        dimensions = {dim: size for dim, size in spec.dimensions(options).items() if dim in used}
        references = (*spec.references, *(reference for label in labels for reference in label.references))
        plain = (Column(x.name, "string", x.meaning) for x in references if x.table not in there and not x.many)
        columns = (*spec.columns, *plain, *(column for label in labels for column in label.columns))
        return Schema(chosen, dimensions, columns, tuple(x for x in references if x.table in there))

    def is_joint(self, options: Any) -> bool:
        """Whether a label that is on looks across the records of a unit."""
        return any(label.joint for table in self.tables for label in self.labels(table, options))

    def versions(self, options: Any) -> dict[str, int]:
        """Version of each label that is on."""
        return {label.name: label.version for table in self.tables for label in self.labels(table, options)}

    def content_options(self, options: Any) -> dict[str, Any]:
        """Options that the content of records depends on, as JSON values."""
        return {name: value for name, value in _plain(options).items() if name not in self.selecting}

    def selection(self, options: Any) -> dict[str, Any]:
        """Options that select records, as JSON values."""
        return {name: value for name, value in _plain(options).items() if name in self.selecting}


def listed_names(listed: str) -> set[str]:
    """Names in a text, separated by commas or blanks."""
    return {name for name in re.split(r"[,\s]+", listed) if name}


def _plain(options: Any) -> dict[str, Any]:
    values = {}
    for entry in fields(options):
        value = getattr(options, entry.name)
        if not isinstance(value, Path) and "Path" not in str(entry.type):
            values[entry.name.rstrip("_")] = list(value) if isinstance(value, tuple) else value
    return values
