"""One stream's records as parts of batches: where its items come from, and what is done to each record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from math import gcd
from time import perf_counter
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, SchemaError
from ..order import key_of, mix64
from .baton import BATON
from .blanks import Blanks
from .buffers import Buffers, Memory
from .chance import Chance, Crops
from .cuts import window_counts
from .faults import Faults
from .meter import Meter
from .packing import merged
from .picked import Arrays, Picked
from .reader import TableReader
from .skipped import Skipped
from .stack import apply_to_records

MOST_LOOKED_AT = 32  # records, to learn what an optional field is like
MOST_TRIED = 1000  # records, in place of a batch of which none can be read
AT_ONCE = 8  # records that are read, transformed, and let go
Transform = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True)
class Windows:
    """How sequences are cut: `window` elements at every `stride` along `dimension`."""

    dimension: str
    window: int
    stride: int


class Source:
    """Items 0 to N - 1 of one stream: records, or windows of their sequences.

    Args:
        reader: reads the records.
        key: of all draws: that of the seed, the data set, the table and the split.
        windows: how sequences are cut, None for whole records.
        transforms: applied to each record, in order.
        on_error: `raise`, or `skip` what cannot be read.
        skipped: gets what was skipped.
        fixed: whether every epoch has the draws of the first.
    """

    def __init__(
        self,
        reader: TableReader,
        key: int,
        windows: Windows | None,
        transforms: Sequence[Transform],
        on_error: str,
        skipped: Skipped,
        *,
        fixed: bool = False,
    ) -> None:
        self._fixed = fixed
        self.reader, self.windows, self._key = reader, windows, key
        self._transforms, self._on_error, self._skipped = tuple(transforms), on_error, skipped
        self._blanks = Blanks(self._holders, self._one)
        self._crops = cast(Crops, transforms[0]) if reader.windowed else None
        self._first: NDArray[np.int64] | None = None
        if windows is not None:
            sizes = reader.records.sizes(windows.dimension)
            self._first = np.concatenate([[0], np.cumsum(window_counts(sizes, windows.window, windows.stride))])

    def __len__(self) -> int:
        """Number of items."""
        return len(self.reader.records) if self._first is None else int(self._first[-1])

    def locate(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
        """Record number of each item, and the first element of its window where there are windows."""
        if self._first is None or self.windows is None:
            return items, None
        records = np.searchsorted(self._first, items, side="right") - 1
        return records, (items - self._first[records]) * self.windows.stride

    def read(
        self,
        items: NDArray[np.int64],
        epoch: int,
        repeat: NDArray[np.bool_],
        buffers: Memory,
        meter: Meter,
        *,
        exact: bool = False,
    ) -> Arrays:
        """Arrays of some items, `key` and `repeat` included.

        Args:
            items: (n,) item numbers.
            epoch: whose draws they get.
            repeat: (n,) items that only fill the batch.
            buffers: where large arrays come from.
            meter: gets seconds and bytes by field.
            exact: nothing may stand in for what cannot be read.

        Raises:
            FormatError: a record cannot be read, and is not to be skipped; or none of them can.
        """
        others: Iterator[int] | None = None
        items, repeat, epoch = items.copy(), repeat.copy(), 0 if self._fixed else epoch
        while True:
            faults = Faults()
            arrays = self._attempt(items, epoch, buffers, faults, meter)
            if not faults:
                return {"key": arrays.pop("key"), "repeat": repeat} | arrays
            if exact:
                raise faults.slots[min(faults.slots)]
            others = others or self._others(int(items[0]))
            self._replace(items, repeat, faults, others)

    def _attempt(self, items: NDArray[np.int64], epoch: int, buffers: Memory, faults: Faults, meter: Meter) -> Arrays:
        """The arrays of a batch, but for `repeat`.

        Where records are transformed, a few at a time: what is decoded still lies in the processor's cache then, and
        what is made of it is often smaller.
        """
        if not self._transforms or len(items) <= AT_ONCE:
            return self._piece(items, epoch, buffers, faults, meter)
        parts = []
        for first in range(0, len(items), AT_ONCE):
            some = items[first : first + AT_ONCE]
            wrong = Faults()
            parts.append((list(range(first, first + len(some))), self._piece(some, epoch, buffers, wrong, meter)))
            for slot, error in wrong.slots.items():
                faults.add(first + slot, error)
        if faults:
            return {}
        if len({frozenset(arrays) for _, arrays in parts}) > 1:  # transforms give some records what others lack
            return self._piece(items, epoch, buffers, faults, meter)
        try:
            return merged(parts, len(items), buffers)
        except ValueError as error:
            name, one, other = error.args
            raise SchemaError(f"transforms: {name!r} is {one}, and {other} in other records of the batch") from error

    def _piece(self, items: NDArray[np.int64], epoch: int, buffers: Memory, faults: Faults, meter: Meter) -> Arrays:
        arrays = self._read_piece(items, epoch, buffers, faults, meter)
        if self._transforms and not faults:
            self._blanks.fill(arrays)
        return arrays

    def _read_piece(
        self, items: NDArray[np.int64], epoch: int, buffers: Memory, faults: Faults, meter: Meter
    ) -> Arrays:
        numbers, starts = self.locate(items)
        key = key_of(self._key, "draws", epoch)
        keys = mix64(key_of(self._key, "transforms", epoch), items).tolist() if self._transforms else ()
        chance = Chance(keys, self._crops)
        rows = Picked(
            numbers, range(len(items)), len(items), range(len(items)), items, starts, chance if self._crops else None
        )
        with BATON:
            fields = self.reader.read(rows, key, buffers, faults, meter)
        if faults:
            return {}
        arrays: Arrays = {"key": fields.pop("key")}
        if self.windows is not None and starts is not None:
            steps = starts[:, None] + np.arange(self.windows.window)
            sizes = self._sizes(numbers)
            arrays |= {"window.start": starts, "window.mask": steps < sizes[:, None]}
        if self._transforms:
            began = perf_counter()
            fields = apply_to_records(self._transforms, fields, arrays["key"], chance, buffers)
            chance.close()
            meter.add("transforms", perf_counter() - began)
        return arrays | fields

    def _holders(self, name: str) -> Iterator[int]:
        """Items whose records have an optional field, some of them; of a field behind a reference, any items."""
        return islice((item for item in chain([0], self._others(0)) if self._has(name, item)), MOST_LOOKED_AT)

    def _has(self, name: str, item: int) -> bool:
        try:
            return self.reader.has(name, self.locate(np.array([item]))[0].item())
        except FormatError:  # told where the record is due
            return False

    def _one(self, item: int) -> Arrays | None:
        """One item as it comes without what stands in for it; None where it cannot be read."""
        faults = Faults()
        arrays = self._read_piece(np.array([item]), 0, Buffers(1), faults, Meter())
        return None if faults else arrays

    def _sizes(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        assert self.windows is not None
        records, name = self.reader.records, f"dim.{self.windows.dimension}"
        return np.array([records.rows(shard).sizes[name].item(row) for shard, row in records.where(numbers)])

    def _others(self, item: int) -> Iterator[int]:
        """Items far from one and from each other (a whole shard may be bad), all others where those are not many."""
        count = len(self)
        step = next(step for step in range(max(1, round(count * (5**0.5 - 1) / 2)), count + 2) if gcd(step, count) == 1)
        return ((item + step * number) % count for number in range(1, min(count, MOST_TRIED)))

    def _replace(
        self, items: NDArray[np.int64], repeat: NDArray[np.bool_], faults: Faults, others: Iterator[int]
    ) -> None:
        """Put readable items in the places of those that are not, flagged as repeats.

        They are of the batch itself; where nothing of it can be read, those of `others` are tried.

        Raises:
            FormatError: nothing may be skipped, or nothing is left.
        """
        first = faults.slots[min(faults.slots)]
        if self._on_error == "raise":
            raise first
        good = [slot for slot in range(len(items)) if slot not in faults.slots]
        for slot, error in faults.slots.items():
            self._skipped.add(int(items[slot]), error)
        bad = sorted(faults.slots)
        fill = items[good] if good else np.fromiter(islice(others, len(bad)), np.int64)
        if not len(fill):
            raise FormatError(f"none of the records that were tried can be read; one of them: {first}")
        items[bad], repeat[bad] = np.resize(fill, len(bad)), True
