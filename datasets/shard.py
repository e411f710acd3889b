"""Writer of one group's shards in one table: tars and indexes that appear whole or not at all."""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .commit import sync_folder, temporary_name, write_file
from .errors import SchemaError
from .index import ShardFacts, Source, index_bytes, index_row, shift_offsets
from .members import BLOCK, encode_record
from .names import check_key
from .schema import Schema
from .stages import Stages

END = bytes(2 * BLOCK)


def shard_stem(table: str, group: int, part: int, label: str = "") -> str:
    """`frames-000012` for a group's first shard, `frames-000012-1` for the next when a group fills several.

    `frames-000012-1.semantic` holds a label that was added to the latter.
    """
    return f"{table}-{group:06d}" + (f"-{part}" if part else "") + (f".{label}" if label else "")


@dataclass
class _Part:
    path: Path
    stream: BinaryIO
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def finish(self) -> None:
        """End the tar and flush it to the disk."""
        self.stream.write(END)
        self.digest.update(END)
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()


class ShardWriter:
    """Collects records of one (table, split, group) under temporary names and commits them together.

    A unit's records are added between `begin` and the next `begin`; `rollback` drops what the unit wrote. Memory
    holds index rows only. Use as a context manager: leaving it without `commit` removes everything.

    Args:
        folder: the split's folder, created when missing.
        table: table name.
        split: split name.
        group: number of the group.
        schema: the table's schema.
        run: the run's id, part of the temporary names.
        limit: bytes after which the next unit begins another part; a unit is cut only where it alone exceeds this.
    """

    label = ""  # of sidecar shards

    def __init__(
        self, folder: Path, table: str, split: str, group: int, schema: Schema, *, run: str, limit: int = 512 << 20
    ) -> None:
        self.folder, self.table, self.split, self.group = folder, table, split, group
        self.schema, self.run, self.limit = schema, run, limit
        self.stages = Stages()
        self._parts: list[_Part] = []
        self._keys: set[str] = set()
        self._unit = ""
        self._mark: tuple[int, int, int, Any] = (0, 0, 0, None)
        self._unit_start = 0
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "ShardWriter":
        """The writer itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was not committed."""
        self._drop_parts(0)

    def begin(self, unit: str) -> None:
        """Name the unit whose records follow, and remember the place to which `rollback` returns."""
        self._unit = unit
        last = self._parts[-1] if self._parts else None
        state = (last.size, len(last.rows), last.digest.copy()) if last else (0, 0, None)
        self._mark = (len(self._parts), *state)
        if last and last.size >= self.limit:
            self._new_part()
        self._unit_start = self._parts[-1].size if self._parts else 0

    def add(self, key: str, values: Mapping[str, Any], scalars: Mapping[str, Any]) -> int:
        """Append one record; returns its bytes in the tar.

        Raises:
            SchemaError: the record does not keep the schema, or its key is malformed or already there.
        """
        check_key(key, self._unit)
        if key in self._keys:
            raise SchemaError(f"key {key!r} is already in {self.table}-{self.group:06d}: keys are unique")
        with self.stages("encode"):
            encoded = encode_record(self.schema, key, values)
            row = index_row(self.schema, key, self._unit, len(encoded.data), encoded.places, encoded.sizes, scalars)
        self.append(row, encoded.data)
        return len(encoded.data)

    def append(self, row: dict[str, Any], data: bytes) -> None:
        """Append tar bytes of one record whose row's offsets are relative to them."""
        if not self._parts or self._parts[-1].size - self._unit_start >= self.limit:
            self._new_part()
        part = self._parts[-1]
        shift_offsets(self.schema, row, part.size)
        with self.stages("write"):
            part.stream.write(data)
            part.digest.update(data)
        part.size += len(data)
        part.rows.append(row)
        self._keys.add(row["key"])

    def rollback(self) -> None:
        """Drop every record added since `begin`; the unit can be added again, with the same bytes as at first."""
        count, size, rows, digest = self._mark
        self._drop_parts(count)
        if count:
            part = self._parts[-1]
            part.stream.seek(size)
            part.stream.truncate()
            part.size, part.digest = size, digest.copy()
            del part.rows[rows:]
        self._keys = {row["key"] for part in self._parts for row in part.rows}
        self.begin(self._unit)

    def counts(self) -> dict[str, int]:
        """Records by unit, so far."""
        counts: dict[str, int] = {}
        for part in self._parts:
            for row in part.rows:
                counts[row["unit"]] = counts.get(row["unit"], 0) + 1
        return counts

    def commit(
        self, fingerprints: Mapping[str, str], rejects: list[dict[str, str]], made_from: dict[str, Any]
    ) -> list[ShardFacts]:
        """Make the group's shards final: old indexes go, tars are renamed, then indexes; returns their facts.

        Args:
            fingerprints: of every unit of the group, also of those without a record.
            rejects: rows of the group's units for `rejects.parquet`.
            made_from: options and label versions, for staleness.
        """
        with self.stages("commit"):
            if self._parts and not self._parts[-1].rows:
                self._drop_parts(len(self._parts) - 1)
            for written in self._parts:
                written.finish()
            parts: list[_Part | None] = [*self._parts] or [None]
            facts = [self._facts(i, part, fingerprints, rejects, made_from) for i, part in enumerate(parts)]
            indexes = [
                index_bytes(self.schema, part.rows if part else [], fact)
                for fact, part in zip(facts, parts, strict=True)
            ]
            self._remove_old()  # only now, when nothing but the disk can fail
            for fact, part in zip(facts, parts, strict=True):
                if part:
                    os.replace(part.path, self.folder / str(fact.tar))
            sync_folder(self.folder)
            for fact, data in zip(facts, indexes, strict=True):
                write_file(self.folder / f"{self._stem(fact.part)}.parquet", data, self.run)
            self._parts = []
        return facts

    def _facts(
        self,
        number: int,
        part: _Part | None,
        fingerprints: Mapping[str, str],
        rejects: list[dict[str, str]],
        made_from: dict[str, Any],
    ) -> ShardFacts:
        counts = dict.fromkeys(fingerprints, 0) if number == 0 else {}
        for row in part.rows if part else ():
            counts[row["unit"]] = counts.get(row["unit"], 0) + 1
        return ShardFacts(
            table=self.table, split=self.split, group=self.group, part=number, parts=max(len(self._parts), 1),
            tar=f"{self._stem(number)}.tar" if part else None,
            tar_bytes=part.size + len(END) if part else 0,
            tar_sha256=part.digest.hexdigest() if part else "",
            sources=tuple(Source(unit, fingerprints[unit], counts[unit]) for unit in sorted(counts)),
            rejects=tuple(rejects) if number == 0 else (), made_from=made_from,
        )  # fmt: skip

    def _remove_old(self) -> None:
        """Remove the group's shards as they were, indexes first; the folder, which may hold many, is listed once.

        Those of labels that were added stay: nobody reads them without the shards that they were made for.
        """
        stem = shard_stem(self.table, self.group, 0)
        ours = re.compile(rf"{stem}(-\d+)?{re.escape(f'.{self.label}') if self.label else ''}\.(parquet|tar)")
        names = [name for name in os.listdir(self.folder) if name.startswith(stem) and ours.fullmatch(name)]
        for name in sorted(names, key=lambda name: (name.endswith(".tar"), name)):
            (self.folder / name).unlink()
        sync_folder(self.folder)

    def _stem(self, part: int) -> str:
        return shard_stem(self.table, self.group, part, self.label)

    def _new_part(self) -> None:
        name = f"{self._stem(len(self._parts))}.tar"
        path = temporary_name(self.folder / name, self.run)
        self._parts.append(_Part(path, path.open("wb")))
        self._unit_start = 0

    def _drop_parts(self, keep: int) -> None:
        dropped = self._parts[keep:]
        del self._parts[keep:]
        for part in dropped:
            part.path.unlink(missing_ok=True)
        for part in dropped:
            part.stream.close()  # last, for on a full disk it fails
