"""Index of a shard: one parquet row a record, and what the shard was made from in the file's metadata."""

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .errors import FormatError, SchemaError
from .members import FORMAT_VERSION, Placed
from .names import KEY
from .parquet import read_parquet
from .regular import regular
from .schema import Schema
from .typed import typed

METADATA = b"tessera"
COLUMNS = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}


@dataclass(frozen=True)
class Source:
    """One unit of a group: what it was made from, and how many records of this shard it gave."""

    unit: str
    fingerprint: str
    records: int


@dataclass(frozen=True)
class ShardFacts:
    """What an index says of its shard; `tar` is None where a group has no record at all.

    `part` of `parts`: a group whose records do not fit one tar fills several, and is whole only with all of them.
    """

    table: str
    split: str
    group: int
    part: int
    parts: int
    tar: str | None
    tar_bytes: int
    tar_sha256: str
    sources: tuple[Source, ...]
    rejects: tuple[dict[str, str], ...] = ()
    format_version: int = FORMAT_VERSION
    made_from: dict[str, Any] = field(default_factory=dict)


def arrow_schema(schema: Schema) -> pa.Schema:
    """Columns: key, unit, the record's span, references, `FIELD.offset/.size/.crc`, free dimensions, scalars."""
    columns = [pa.field("key", pa.string(), nullable=False), pa.field("unit", pa.string(), nullable=False)]
    columns += [
        pa.field("record.offset", pa.int64(), nullable=False),
        pa.field("record.size", pa.int64(), nullable=False),
    ]
    for reference in schema.references:
        columns.append(pa.field(reference.name, pa.list_(pa.string()) if reference.many else pa.string()))
    for entry in schema.fields:
        columns.append(pa.field(f"{entry.name}.offset", pa.int64()))
        columns.append(pa.field(f"{entry.name}.size", pa.int64()))
        columns.append(pa.field(f"{entry.name}.crc", pa.list_(pa.uint32())))
    columns += [pa.field(f"dim.{name}", pa.int64()) for name in schema.free]
    columns += [pa.field(column.name, COLUMNS[column.type]) for column in schema.columns]
    return pa.schema(columns)


def index_row(
    schema: Schema,
    key: str,
    unit: str,
    size: int,
    places: Mapping[str, Placed],
    sizes: Mapping[str, int],
    scalars: Mapping[str, Any],
) -> dict[str, Any]:
    """One row, offsets relative to the record's first byte; `scalars` holds the values of columns and references.

    Raises:
        SchemaError: a scalar is unknown, missing or of the wrong type; the message names it.
    """
    row: dict[str, Any] = {"key": key, "unit": unit, "record.offset": 0, "record.size": size}
    for entry in schema.fields:
        place = places.get(entry.name)
        row[f"{entry.name}.offset"] = place.offset if place else None
        row[f"{entry.name}.size"] = place.size if place else None
        row[f"{entry.name}.crc"] = list(place.checksums) if place else None
    row |= {f"dim.{name}": size for name, size in sizes.items()}
    return row | _scalars(schema, scalars)


def _scalars(schema: Schema, scalars: Mapping[str, Any]) -> dict[str, Any]:
    kinds: dict[str, Any] = {"string": str, "int64": int, "float64": (float, int), "bool": bool}
    wanted: dict[str, Any] = {column.name: kinds[column.type] for column in schema.columns}
    wanted |= {reference.name: list if reference.many else str for reference in schema.references}
    types = {column.name: COLUMNS[column.type] for column in schema.columns}
    types |= {reference.name: pa.list_(pa.string()) for reference in schema.references if reference.many}
    unknown = sorted(set(scalars) - set(wanted))
    if unknown:
        raise SchemaError(f"column {unknown[0]!r} is not in the schema")
    for name, kind in wanted.items():
        value = scalars.get(name)
        mismatch = value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool))
        if name not in scalars or mismatch:
            raise SchemaError(f"column {name!r}: got {value!r}, the schema says {getattr(kind, '__name__', 'number')}")
        try:
            pa.scalar(value, types.get(name, pa.string()))
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError) as error:
            raise SchemaError(f"column {name!r}: {value!r} does not fit the index ({error})") from error
    return dict(scalars)


def shift_offsets(schema: Schema, row: dict[str, Any], by: int) -> None:
    """Move every offset of a row, in place: its record begins `by` bytes later."""
    row["record.offset"] += by
    for entry in schema.fields:
        if row[f"{entry.name}.offset"] is not None:
            row[f"{entry.name}.offset"] += by


def index_bytes(schema: Schema, rows: list[dict[str, Any]], facts: ShardFacts) -> bytes:
    """The parquet file of an index; the same rows and facts give the same bytes."""
    return table_bytes(pa.Table.from_pylist(rows, schema=arrow_schema(schema)), facts)


def table_bytes(table: pa.Table, facts: ShardFacts) -> bytes:
    """The parquet file of an index whose rows are a table already, of the columns of `arrow_schema`."""
    metadata = {METADATA: json.dumps(asdict(facts), sort_keys=True).encode()}
    stream = io.BytesIO()
    table = table.replace_schema_metadata(metadata)
    pq.write_table(table, stream, compression="zstd", use_dictionary=False, write_statistics=False)
    return stream.getvalue()


def check_version(version: object, path: Path) -> None:
    """Refuse a file of a newer format by name.

    Raises:
        FormatError: the version is newer than this code reads, or no version at all.
    """
    if not isinstance(version, int) or version < 1:
        raise FormatError(f"{path}: format version {version!r} is none of Tessera's; is this a Tessera file?")
    if version > FORMAT_VERSION:
        raise FormatError(
            f"{path}: format version {version} is newer than this Tessera reads ({FORMAT_VERSION}); upgrade tessera"
        )


def read_facts(path: Path) -> ShardFacts:
    """Facts of one shard, from the index's footer alone.

    Raises:
        FormatError: the file is no index of Tessera's, is damaged, or is newer than this code.
    """
    try:
        metadata = pq.read_schema(regular(path)).metadata or {}
        values = json.loads(metadata[METADATA])
    except (pa.ArrowException, OSError, KeyError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: not a whole index of Tessera's ({type(error).__name__}: {error})") from error
    check_version(values.get("format_version") if isinstance(values, dict) else None, path)
    try:
        values["sources"] = tuple(typed(Source, source) for source in values["sources"])
        values["rejects"] = tuple(values["rejects"])
        return typed(ShardFacts, values)
    except (KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"{path}: damaged ({type(error).__name__}: {error}); run `tessera verify`") from error


def read_rows(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Rows of an index, all columns or some.

    Raises:
        FormatError: the file is damaged.
    """
    try:
        return read_parquet(path, columns)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"{path}: damaged index ({error}); run `tessera verify`") from error


def read_keys(path: Path) -> list[str]:
    """Keys of an index's records; only their column is read.

    Raises:
        FormatError: the file is damaged, or a key is none.
    """
    rows = read_rows(path, ["key"])
    check_keys(rows, path, ("key",))
    return rows["key"].to_pylist()


def check_keys(rows: pa.Table, path: Path, columns: tuple[str, ...] = ("key", "unit")) -> None:
    """Refuse an index whose keys could be no tar members: they go into messages, and users name files by them.

    Raises:
        FormatError: with the index's path.
    """
    for name in columns:
        if name not in rows.column_names or rows.schema.field(name).type != pa.string():
            raise FormatError(f"{path}: has no column of {name}s; run `tessera verify`")
        if rows[name].null_count or not all(map(KEY.fullmatch, rows[name].to_pylist())):
            raise FormatError(f"{path}: holds a {name} that is none; run `tessera verify`")
