"""The byte index as a source of records, for the loaders that take one, and the order of an epoch."""

import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from .byte_index import ByteIndex
from .deliver import Batch, decoded, first, stacked


class Records:
    """Records by number: a map-style data set or a random-access source."""

    def __init__(self, index: ByteIndex) -> None:
        self.index = index

    def __len__(self) -> int:
        """Number of records."""
        return len(self.index)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """One record as batches have it, by numpy and Pillow; of pools, only the slice is read."""
        if self.index.profile.sliced:
            return self._sliced(number)
        return decoded(self.index.profile, *self.index.stored(number))

    def _sliced(self, number: int) -> dict[str, Any]:
        index, profile, key = self.index, self.index.profile, self.index.keys[number]
        handle, at = index.file(number), first(profile, key)
        run = min(profile.take, profile.pool - at)
        record: dict[str, Any] = {"key": key}
        for item in profile.items:
            start, size = index.places[item.name][number]
            if item.name in profile.sliced:
                each = size // profile.pool
                data = os.pread(handle, run * each, start + at * each)
                data += os.pread(handle, (profile.take - run) * each, start) if run < profile.take else b""
                record[item.name] = np.frombuffer(data, item.dtype).reshape(profile.shape(item.name))
            else:
                data = os.pread(handle, size, start)
                record[item.name] = json.loads(data) if item.codec == "json" else np.frombuffer(data, item.dtype)
        return record

    def batch(self, numbers: list[int]) -> Batch:
        """A whole batch of records."""
        return stacked([self[number] for number in numbers])


class Batches:
    """The records' numbers of each whole batch, in the order of a global permutation; every pass is a new one."""

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size = count, batch_size
        self.rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.count // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        """One epoch."""
        order = self.rng.permutation(self.count)
        for at in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[at : at + self.batch_size].tolist()
