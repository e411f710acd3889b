"""One pass over a strangers' tar: its records, and what each member holds; kept as a Parquet file with the indexes."""

import io
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import FormatError
from ..members import BLOCK, checksums
from ..parquet import read_parquet
from ..plain import printable
from ..regular import regular
from .entries import Entry, entries_of
from .tar import Member, TarWalk

META = re.compile(r"__[^/]*__($|/)")  # WebDataset's reader skips these
MOST_ENTRIES = 1024  # of one record
BEHIND = b"behind"
ENTRIES = pa.struct([
    ("raw", pa.string()), ("codec", pa.string()), ("dtype", pa.string()), ("shape", pa.list_(pa.int64())),
    ("offset", pa.int64()), ("size", pa.int64()), ("crc", pa.list_(pa.uint32())), ("why", pa.string()),
])  # fmt: skip
SCAN = pa.schema([
    ("key", pa.string()), ("offset", pa.int64()), ("size", pa.int64()), ("entries", pa.list_(ENTRIES)),
])  # fmt: skip


@dataclass
class _Rows:
    """Columns that grow; `ends` has the number of entries up to the end of each record."""

    keys: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    crcs: list[list[int]] = field(default_factory=list)

    def table(self) -> pa.Table:
        """As an arrow table of schema `SCAN`."""
        raw, codec, dtype, shape, _, size, why = zip(*self.entries, strict=True) if self.entries else ((),) * 7
        columns = [raw, codec, dtype, shape, self.offsets, size, self.crcs, why]
        arrays = [pa.array(values, kind.type) for values, kind in zip(columns, ENTRIES, strict=True)]
        entries = pa.StructArray.from_arrays(arrays, fields=list(ENTRIES))
        nested = pa.ListArray.from_arrays(
            pa.array([0, *self.ends], pa.int32()), entries, type=SCAN.field("entries").type
        )
        sizes = [stop - start for start, stop in zip(self.starts, self.stops, strict=True)]
        return pa.table([pa.array(self.keys, pa.string()), self.starts, sizes, nested], schema=SCAN)


def scan_tar(path: Path) -> bytes:
    """The Parquet file of a tar's scan: one row a record, its values as a list; metadata `behind` (`TarWalk.behind`).

    A key is a member's path up to the first dot of its base name, and a record a run of members of one key, as
    WebDataset's reader has it. Hidden files, and names with underscores before and behind, are passed over.

    Raises:
        FormatError: as `TarWalk`; or members of one key are not side by side, or one is there twice.
    """
    with regular(path, None).open("rb") as stream:
        try:
            data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:
            raise FormatError(f"{path}: not a tar: 0 bytes") from error
        with data, memoryview(data) as view:
            walk, rows = TarWalk(data, path), _Rows()
            _fill(rows, walk, view, path)
    kept = io.BytesIO()
    metadata = {BEHIND: str(walk.behind).encode()}
    pq.write_table(rows.table().replace_schema_metadata(metadata), kept, compression="zstd", use_dictionary=False)
    return kept.getvalue()


def _fill(rows: _Rows, walk: TarWalk, view: memoryview, path: Path) -> None:
    seen: set[str] = set()
    endings: set[str] = set()
    last = None
    for members in walk:
        for member, name, key, ending in _named(members):
            if key != last:
                if key in seen:
                    raise FormatError(
                        f"{path}: members of key {printable(key)!r} are not side by side (again at byte "
                        f"{member.start}); pack it anew in sorted order, such as `tar --sort=name`"
                    )
                seen.add(key)
                endings.clear()
                last = key
                rows.keys.append(printable(key))
                rows.starts.append(member.start)
                rows.stops.append(0)
                rows.ends.append(0)
            if ending in endings:
                raise FormatError(f"{path}: member {printable(name)!r} is there twice, again at byte {member.start}")
            endings.add(ending)
            if len(endings) > MOST_ENTRIES:
                raise FormatError(
                    f"{path}: key {printable(key)!r} has more than {MOST_ENTRIES} members; "
                    "WebDataset ends a key at the first dot, so names with dots in them all have one key"
                )
            rows.stops[-1] = member.offset + -(-member.size // BLOCK) * BLOCK
            _add(rows, ending, view[member.offset : member.offset + member.size], member.offset)


def _named(members: list[Member]) -> Iterator[tuple[Member, str, str, str]]:
    """(member, name, key, ending) of those that belong to a record."""
    for member in members:
        name = member.name.decode("utf-8", "surrogateescape")
        folder, slash, base = name.rpartition("/")
        stem, dot, ending = base.partition(".")
        if stem and dot and not META.match(name):
            yield member, name, f"{folder}{slash}{stem}", ending.lower()


def _add(rows: _Rows, ending: str, data: memoryview, offset: int) -> None:
    for entry in entries_of(ending, data):
        rows.entries.append(entry)
        rows.offsets.append(offset + entry.offset)
        rows.crcs.append(_checksums(entry.codec, data[entry.offset : entry.offset + entry.size]))
    rows.ends[-1] = len(rows.entries)


def _checksums(codec: str, data: memoryview) -> list[int]:
    return list(checksums(data, fine=codec == "npy")) if codec else []


@dataclass(frozen=True)
class Scan:
    """A scan as it was kept.

    Attributes:
        records: key, offset, size; one row a record.
        entries: columns of `ENTRIES`; one row a value, in the order of the records.
        of: (entries,) number of each value's record.
        behind: bytes behind the archive's end.
    """

    records: pa.Table
    entries: dict[str, Any]
    of: Any
    behind: int


def read_scan(path: Path) -> Scan:
    """A scan from its file.

    Raises:
        FormatError: damaged, or none; it can be made again.
        OSError: it is not there.
    """
    try:
        table = read_parquet(path)
        table.validate(full=True)
        behind = int((table.schema.metadata or {}).get(BEHIND, b""))
    except (pa.ArrowException, ValueError) as error:
        raise FormatError(f"{path}: damaged scan ({error}); delete it") from error
    if not table.schema.equals(SCAN) or any(column.null_count for column in table.columns):
        raise FormatError(f"{path}: no scan of a tar; delete it")
    nested = pa.chunked_array(table["entries"].chunks, SCAN.field("entries").type).combine_chunks()
    if isinstance(nested, pa.ChunkedArray):
        nested = nested.chunk(0) if nested.num_chunks else pa.array([], SCAN.field("entries").type)
    of = nested.value_parent_indices().to_numpy(zero_copy_only=False)
    columns = dict(zip([x.name for x in ENTRIES], nested.flatten().flatten(), strict=True))
    if any(column.null_count for column in columns.values()):
        raise FormatError(f"{path}: no scan of a tar; delete it")
    return Scan(table.drop_columns(["entries"]), columns, of, behind)
