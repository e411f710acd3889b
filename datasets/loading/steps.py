"""Which positions of an epoch a rank takes at each step, and where an epoch ends."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Steps:
    """Steps of one epoch, from a position on.

    All ranks together take `batch_size * world_size` consecutive positions at each step, rank r the r-th run of
    `batch_size`. So a position says how far every rank has come, and another number of ranks or another batch size goes
    on from it with the same sequence.

    Attributes:
        records: positions of the epoch.
        start: position of the first step.
        batch_size: records a step and rank.
        rank: this process.
        world_size: number of ranks.
        pad: whether the last step is filled with repeats; otherwise it is left out where it is not full.
    """

    records: int
    start: int
    batch_size: int
    rank: int = 0
    world_size: int = 1
    pad: bool = True

    @property
    def together(self) -> int:
        """Records of one step, of all ranks."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        """Number of steps, the same for each rank."""
        left = self.records - self.start
        return max(0, -(-left // self.together) if self.pad else left // self.together)

    def after(self, step: int) -> int:
        """Position behind a step."""
        return min(self.start + (step + 1) * self.together, self.records)

    def positions(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Positions (batch_size,) of this rank at a step, and which of them are repeats that only fill it."""
        first = self.start + step * self.together + self.rank * self.batch_size
        positions = np.arange(first, first + self.batch_size)
        if first + self.batch_size <= self.records:
            return positions, np.zeros(self.batch_size, bool)
        repeat = positions >= self.records
        return np.where(repeat, positions % self.records, positions), repeat
