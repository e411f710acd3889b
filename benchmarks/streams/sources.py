"""The byte index as a source of records, for the loaders that take one, and the order of an epoch."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .byte_index import ByteIndex
from .deliver import Batch, decoded, stacked


class Records:
    """Records by number: a map-style data set or a random-access source."""

    def __init__(self, index: ByteIndex) -> None:
        self.index = index

    def __len__(self) -> int:
        """Number of records."""
        return len(self.index)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """One record as batches have it, by numpy and Pillow."""
        return decoded(self.index.profile, *self.index.stored(number))

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
