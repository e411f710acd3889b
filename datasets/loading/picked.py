"""Which records of a table are read for a batch, and where they go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chance import Chance
from .rows import Spot

Arrays = dict[str, Any]  # name to numpy array, or to a list where values are texts or JSON


@dataclass(frozen=True)
class Picked:
    """Which records are read, and where they go.

    Attributes:
        numbers: (n,) record numbers.
        at: place of each in the output; the others of its `total` rows have no record.
        total: rows of the output.
        owners: slot of the batch that fails with each record.
        ids: (n,) numbers that draws are keyed by.
        starts: first element of each record's window, where windows are read.
        chance: draws the windows of pictures, by the batch's slots.
    """

    numbers: NDArray[np.int64]
    at: Sequence[int]
    total: int
    owners: Sequence[int]
    ids: NDArray[np.int64]
    starts: NDArray[np.int64] | None = None
    chance: Chance | None = None


def where(spot: Spot) -> str:
    """Shard and key of a record, for messages."""
    return f"{spot.rows.shard.tar}, record {spot.rows.keys[spot.row].as_py()}"
