"""Schema of a table: fields with shapes, units and frames, index columns, and references to other tables."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .codecs import CODECS
from .errors import SchemaError
from .names import check_name
from .storage import Barycentric, Linear, Octahedral, Storage, storage_from_json
from .typed import typed

COLUMN_TYPES = ("string", "int64", "float64", "bool")
RESERVED = ("key", "unit", "labels", "record", "dim")  # the last two begin names of index columns


@dataclass(frozen=True)
class Field:
    """One named array of a record.

    Attributes:
        name: `[a-z][a-z0-9_]*`.
        dtype: numpy dtype name of the decoded array, or "json" for any JSON value (codec "text": a text).
        shape: sizes, or names of dimensions that the schema fixes or leaves free.
        codec: name of the codec (`npz` puts a small field into the record's shared `labels.npz`).
        unit: physical unit, "" where there is none.
        frame: coordinate frame (`world`, `camera`, `cube`, `ndc`, ...), "" where there is none.
        meaning: one sentence.
        storage: how values are stored, None for as they are.
        options: codec options, e.g. `{"quality": 95}`.
        optional: a record may lack it (a modality that was not measured).
        nan: what NaN means in this field; where empty, NaN is refused (infinity always is).
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    codec: str
    unit: str = ""
    frame: str = ""
    meaning: str = ""
    storage: Storage | None = None
    options: dict[str, Any] = field(default_factory=dict)
    optional: bool = False
    nan: str = ""

    def __post_init__(self) -> None:
        """Refuse a field that no record could keep."""
        check_name(self.name, "field")
        if self.name in RESERVED:
            raise SchemaError(f"field {self.name!r}: this name is taken by the format ({', '.join(RESERVED)})")
        if self.codec not in CODECS:
            raise SchemaError(f"field {self.name!r}: unknown codec {self.codec!r} (known: {', '.join(CODECS)})")
        if (self.dtype == "json") != (self.codec in ("json", "text")):
            raise SchemaError(f"field {self.name!r}: dtype json and codec json (or text) go together")
        if any(isinstance(size, int) and size < 0 for size in self.shape):
            raise SchemaError(f"field {self.name!r}: shape {self.shape} has a negative size")
        if self.dtype != "json":
            self._check_stored(self._numpy_dtype())
        elif self.storage:
            raise SchemaError(f"field {self.name!r}: JSON values are stored as they are")

    def _numpy_dtype(self) -> np.dtype:
        try:
            dtype = np.dtype(self.dtype)
        except (TypeError, ValueError, SyntaxError) as error:
            raise SchemaError(f"field {self.name!r}: {self.dtype!r} is no numpy dtype") from error
        if dtype.kind not in "biuf":
            raise SchemaError(f"field {self.name!r}: dtype {self.dtype!r} is not a number or bool")
        return dtype

    def _check_stored(self, dtype: np.dtype) -> None:
        if self.storage and dtype.kind != "f":
            raise SchemaError(f"field {self.name!r}: dtype {self.dtype} is stored as it is; storage is for floats")
        if isinstance(self.storage, Octahedral | Barycentric) and (self.nan or self.shape[-1:] != (3,)):
            kind = self.storage.to_json()["kind"]
            raise SchemaError(f"field {self.name!r}: {kind} storage holds vectors (..., 3) without NaN")
        if isinstance(self.storage, Linear) and (self.nan or dtype.itemsize < 4):
            raise SchemaError(f"field {self.name!r}: linear storage holds float32 or float64 without NaN")
        stored = self.storage.stored(dtype, (1,) * len(self.shape))[0] if self.storage else dtype
        holds = CODECS[self.codec].dtypes
        if self.codec == "cls" and (stored.name not in holds or self.shape):
            raise SchemaError(f"field {self.name!r}: cls holds one number, int64 of shape ()")
        if self.codec != "cls" and holds and (stored.name not in holds or len(self.shape) not in (2, 3)):
            raise SchemaError(f"field {self.name!r}: {self.codec} holds pictures of {' or '.join(holds)}")

    def to_json(self) -> dict[str, Any]:
        """Entry of `dataset.json`."""
        entry: dict[str, Any] = {"name": self.name, "dtype": self.dtype, "shape": list(self.shape), "codec": self.codec}
        entry |= {"unit": self.unit, "frame": self.frame, "meaning": self.meaning}
        entry |= {"storage": self.storage.to_json() if self.storage else None, "options": dict(self.options)}
        return entry | {"optional": self.optional, "nan": self.nan}

    @staticmethod
    def from_json(entry: dict[str, Any]) -> "Field":
        """Inverse of `to_json`."""
        values = dict(entry)
        values["shape"] = tuple(values["shape"])
        values["storage"] = storage_from_json(values["storage"])
        return typed(Field, values)


@dataclass(frozen=True)
class Column:
    """A scalar of the index: a name to select by, or a statistic of the record."""

    name: str
    type: str
    meaning: str = ""

    def __post_init__(self) -> None:
        """Refuse unknown types and bad names."""
        check_name(self.name, "column")
        if self.type not in COLUMN_TYPES:
            raise SchemaError(f"column {self.name!r}: type {self.type!r} is not one of {', '.join(COLUMN_TYPES)}")


@dataclass(frozen=True)
class Reference:
    """Keys of records in another table (or this one): one key, or a list of them where `many`."""

    name: str
    table: str
    many: bool = False
    meaning: str = ""

    def __post_init__(self) -> None:
        """Refuse bad names."""
        check_name(self.name, "reference")
        check_name(self.table, "table")


@dataclass(frozen=True)
class Schema:
    """Fields, dimensions, index columns and references of one table's records.

    `dimensions` maps each dimension that a field's shape names to its size, or to None where it is free; fields
    that share a free dimension agree on it within a record.
    """

    fields: tuple[Field, ...]
    dimensions: dict[str, int | None] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    references: tuple[Reference, ...] = ()

    def __post_init__(self) -> None:
        """Refuse duplicate names and shapes that name unknown dimensions."""
        names = [e.name for e in self.fields] + [e.name for e in self.columns] + [e.name for e in self.references]
        for name in names:
            if names.count(name) > 1 or name in RESERVED:
                raise SchemaError(f"{name!r}: used twice in one schema, or reserved by the format")
        for name, size in self.dimensions.items():
            check_name(name, "dimension")
            if size is not None and size < 0:
                raise SchemaError(f"dimension {name!r}: {size} is no size")
        for entry in self.fields:
            for side in entry.shape:
                if isinstance(side, str) and side not in self.dimensions:
                    raise SchemaError(f"field {entry.name!r}: dimension {side!r} is not declared by the schema")

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """Fields by name."""
        return {entry.name: entry for entry in self.fields}

    @cached_property
    def free(self) -> tuple[str, ...]:
        """Names of the free dimensions, sorted (the order of `dataset.json`'s keys)."""
        return tuple(sorted(name for name, size in self.dimensions.items() if size is None))

    def joined(self, others: Iterable["Schema"]) -> "Schema":
        """This schema and, behind its own, what the labels added later have.

        Raises:
            SchemaError: two have a name in common, or a dimension of another size.
        """
        parts = (self, *others)
        dimensions: dict[str, int | None] = {}
        for part in parts:
            for name, size in part.dimensions.items():
                if dimensions.setdefault(name, size) != size:
                    raise SchemaError(f"dimension {name!r} is {size} in one part of the schema, and not in another")
        return Schema(
            tuple(x for part in parts for x in part.fields), dimensions,
            tuple(x for part in parts for x in part.columns), tuple(x for part in parts for x in part.references),
        )  # fmt: skip

    def shape(self, entry: Field, sizes: dict[str, int]) -> tuple[int, ...]:
        """Shape of `entry` in a record whose free dimensions have these sizes."""
        fixed = self.dimensions
        return tuple(n if isinstance(n, int) else (fixed[n] if fixed[n] is not None else sizes[n]) for n in entry.shape)  # type: ignore[misc]

    def to_json(self) -> dict[str, Any]:
        """Entry of `dataset.json`."""
        return {
            "fields": [entry.to_json() for entry in self.fields],
            "dimensions": dict(self.dimensions),
            "columns": [dict(vars(entry)) for entry in self.columns],
            "references": [dict(vars(entry)) for entry in self.references],
        }

    @staticmethod
    def from_json(entry: dict[str, Any]) -> "Schema":
        """Inverse of `to_json`.

        Raises:
            SchemaError, FormatError, KeyError, TypeError: the entry is no schema that this version knows.
        """
        values: dict[str, Any] = {
            "fields": tuple(Field.from_json(value) for value in entry["fields"]),
            "dimensions": dict(entry["dimensions"]),
            "columns": tuple(typed(Column, value) for value in entry["columns"]),
            "references": tuple(typed(Reference, value) for value in entry["references"]),
        }
        return typed(Schema, values)
