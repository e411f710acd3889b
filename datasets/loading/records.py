"""The records of one table by number, and by key; indexes are opened when a record of theirs is wanted."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..catalog import Catalog
from ..entries import ShardEntry
from ..errors import FormatError, StoreError, UsageError
from ..index import arrow_schema, check_keys, read_rows
from ..names import unit_candidates
from ..schema import Field, Reference, Schema
from ..sidecar import Sidecars
from ..verify import file_sha256
from .baton import ASIDE
from .files import Files
from .rows import Rows, check_sizes, whole_numbers
from .skipped import LOG

MOST_BYTES = 512 << 20  # of indexes kept open, of a table
OPENERS = 8  # indexes that are fetched at once


@dataclass(frozen=True)
class Wanted:
    """What is read of a table's index: its fields, the references followed or asked for, and scalar columns."""

    fields: tuple[Field, ...]
    references: tuple[Reference, ...] = ()
    columns: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields."""
        return tuple(entry.name for entry in self.fields)


class Records:
    """Numbers 0 to N - 1 stand for the records of one table (in one split, or all), in the order of the shards.

    Args:
        catalog: the data set's catalog.
        files: where its bytes come from.
        table: name of the table.
        split: only this split, None for all.
        wanted: what will be asked for.
        own_keys: whether keys keep Tessera's rules, so that the unit is known from the key.
        check: whether indexes are compared with the checksums that the catalog lists.
        most_bytes: of the indexes that are kept open.

    Raises:
        SchemaError: labels that were added do not go together with the table.
        UsageError: no such split.
    """

    def __init__(
        self,
        catalog: Catalog,
        files: Files,
        table: str,
        split: str | None,
        wanted: Wanted,
        *,
        own_keys: bool = True,
        check: bool = True,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        if split is not None and split not in catalog.groups:
            raise UsageError(f"{catalog.name}: no split {split!r} (splits: {', '.join(catalog.groups)})")
        self.table, self.split, self.wanted, self.files = table, split, wanted, files
        self.schema: Schema = catalog.schema(table)
        self._own_schema, self._own_keys, self._check = catalog.tables[table], own_keys, check
        self._sidecars = Sidecars(catalog, table)
        self.shards = [s for s in catalog.shards if s.table == table and split in (None, s.split) and s.records]
        self.starts = np.cumsum([0, *(shard.records for shard in self.shards)])
        self.name = f"{catalog.name}, table {table}" + (f", split {split}" if split else "")
        self._columns = self._wanted_columns()
        self._most_bytes = most_bytes
        self._open: OrderedDict[int, Rows] = OrderedDict()
        self._sizes: dict[int, int] = {}
        self._crowded = False
        self._dropped: set[int] = set()
        self._told = False
        self._bad: dict[int, FormatError] = {}
        self._keeping = threading.Lock()
        self._locks = [threading.Lock() for _ in range(16)]
        self._by_unit: dict[str, list[int]] | None = None

    def __len__(self) -> int:
        """Number of records."""
        return int(self.starts[-1])

    def where(self, numbers: NDArray[np.int64]) -> list[tuple[int, int]]:
        """(shard, row) of each record number."""
        shards = np.searchsorted(self.starts, numbers, side="right") - 1
        rows = numbers - self.starts[shards]
        return list(zip(shards.tolist(), rows.tolist(), strict=True))

    def rows(self, shard: int) -> Rows:
        """Rows of one shard's index.

        Raises:
            FormatError: the index is missing, damaged, or not that of its tar.
        """
        rows = self._open.get(shard)
        if rows is not None:
            if self._crowded:
                with suppress(KeyError), self._keeping:  # another thread may have dropped it just now
                    self._open.move_to_end(shard)
            return rows
        if shard in self._bad:  # read once is enough: every record of it asks
            raise self._bad[shard]
        with ASIDE, self._locks[shard % len(self._locks)]:
            rows = self._open.get(shard)
            if rows is None:
                rows = self._loaded(shard)
                self._keep(shard, rows)
            return rows  # not what is kept by now: other threads may have dropped it

    def open(self, shards: Iterable[int]) -> None:
        """Open indexes, several at a time; one that cannot be opened is told of by `rows`.

        Raises:
            StoreError: the store is down.
        """
        closed = [shard for shard in shards if shard not in self._open]
        left, down = iter(closed), list[StoreError]()

        def work() -> None:
            while not down:
                with self._keeping:
                    shard = next(left, None)
                if shard is None:
                    return
                try:
                    self.rows(shard)
                except StoreError as error:
                    down.append(error)
                except FormatError:
                    continue

        # daemons: a pool's threads are waited for when Python ends, before anybody could call off their requests
        threads = [threading.Thread(target=work, name="tessera-index", daemon=True) for _ in closed[:OPENERS]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if down:
            raise down[0]

    def expect(self, keys: Iterable[str]) -> None:
        """Open the indexes that these keys may be in, several at a time."""
        self.open({shard for key in keys for shard in self._candidates(key)})

    def find(self, key: str) -> int:
        """Number of the record with this key; opens only the indexes of shards that hold its unit.

        Raises:
            KeyError: no record has it.
        """
        for shard in self._candidates(key):
            rows = self.rows(shard)
            before, row = rows.nbytes, rows.find(key)
            if rows.nbytes != before:  # it made its list of keys
                self._keep(shard, rows)
            if row is not None:
                return int(self.starts[shard]) + row
        raise KeyError(key)

    def sizes(self, dimension: str) -> NDArray[np.int64]:
        """Size of a free dimension in every record, (N,) int64; reads one column of each index."""
        name = f"dim.{dimension}"

        def one(shard: ShardEntry) -> NDArray[np.int64]:
            sizes = whole_numbers(self._joined(shard, ["key", name])[name].combine_chunks())
            check_sizes(shard, name, sizes)
            return sizes

        with ThreadPoolExecutor(OPENERS) as pool:
            return np.concatenate([np.zeros(0, np.int64), *pool.map(one, self.shards)])

    def _loaded(self, shard: int) -> Rows:
        try:
            return self._load(self.shards[shard])
        except StoreError:  # it may answer again
            raise
        except FormatError as error:
            self._bad[shard] = error
            raise

    def _keep(self, shard: int, rows: Rows) -> None:
        """Keep an index open, and let those go that were used longest ago."""
        with self._keeping:
            self._open[shard], self._sizes[shard] = rows, rows.nbytes
            self._open.move_to_end(shard)
            self._crowded = sum(self._sizes.values()) > self._most_bytes // 2  # which was used last counts from now on
            again = shard in self._dropped and not self._told
            self._told |= again
            while sum(self._sizes.values()) > self._most_bytes and len(self._open) > 1:
                old, _ = self._open.popitem(last=False)
                del self._sizes[old]
                self._dropped.add(old)
        if again:
            slow = "and are read again and again; raise it, or use order='block'"
            LOG.warning("%s: its indexes do not fit in index_bytes=%d %s", self.name, self._most_bytes, slow)

    def _candidates(self, key: str) -> Iterable[int]:
        if not self._own_keys:
            return range(len(self.shards))
        if self._by_unit is None:
            found: dict[str, list[int]] = {}
            for number, shard in enumerate(self.shards):
                for unit in shard.units:
                    found.setdefault(unit, []).append(number)
            self._by_unit = found
        return [number for unit in unit_candidates(key) for number in self._by_unit.get(unit, ())]

    def _wanted_columns(self) -> list[str]:
        fields = self.wanted.fields
        free = {side for entry in fields for side in entry.shape if side in self.schema.free}
        names = ["key", *(f"{entry.name}.{part}" for entry in fields for part in ("offset", "size", "crc"))]
        names += [f"dim.{name}" for name in sorted(str(side) for side in free)]
        names += [entry.name for entry in self.wanted.references]
        return [*dict.fromkeys([*names, *self.wanted.columns])]

    def _load(self, shard: ShardEntry) -> Rows:
        table = self._joined(shard, self._columns)
        homes = {entry.name: self._home(shard, entry.name) for entry in self.wanted.fields}
        columns = [name for name in self._columns if name.startswith("dim.")]
        return Rows(shard, table, homes, self.wanted.references, [*columns, *self.wanted.columns])

    def _joined(self, shard: ShardEntry, names: Sequence[str]) -> pa.Table:
        """Columns of a shard's index, and of what lies beside it."""
        table = self._read(shard, self._own_schema, names)
        return self._sidecars.join(shard, table, lambda x, schema: self._read(x, schema, names), set(names))

    def _home(self, shard: ShardEntry, field: str) -> ShardEntry:
        try:
            return self._sidecars.home(shard, field)
        except KeyError:  # a label that is still being added: this shard has none of it yet
            return shard

    def _read(self, shard: ShardEntry, schema: Schema, names: Sequence[str]) -> pa.Table:
        path = self.files.index(shard)
        if self._check and shard.index_sha256:
            _check_index(path, shard.index_sha256)
        known = {entry.name: entry.type for entry in arrow_schema(schema)}
        names = [name for name in names if name in known]
        rows = read_rows(path, names)
        try:
            rows.validate(full=True)
        except pa.ArrowInvalid as error:
            raise FormatError(f"{path}: damaged index ({error}); run `tessera verify`") from error
        if self._own_keys:
            check_keys(rows, path, ("key",))
        elif not "".join(rows["key"].to_pylist()).isprintable():
            raise FormatError(f"{path}: holds a key that is not for printing; delete it, so that it is made again")
        if {entry.name: entry.type for entry in rows.schema} != {name: known[name] for name in names}:
            raise FormatError(f"{path}: its columns are not those of table {self.table!r} in dataset.json")
        if len(rows) != shard.records:
            raise FormatError(f"{path}: {len(rows)} rows, dataset.json says {shard.records} records")
        return rows


def _check_index(path: Path, sha256: str) -> None:
    """Refuse an index that is not the one that the catalog lists: its offsets and columns have no other checksum.

    Raises:
        FormatError: with its path.
    """
    try:
        same = file_sha256(path) == sha256
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error}); run `tessera verify`") from error
    if not same:
        other = "damaged, or not the index that dataset.json lists (was the shard built again since?)"
        raise FormatError(f"{path}: {other}; open the data set anew, or run `tessera verify`")
