"""Points of the stored grid in grid order, for networks that see a point's neighbours: a block, or the whole of it.

The grid's points are not stored: cell (i, j, k) of n lies at ((i, j, k) + 1/2) 2/n - 1, times `cube_half_side`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError, UsageError
from ..schema import Field
from ._fields import Fields, Record, require

Array = NDArray[Any]
GRIDS = {"grid": "sdf", "grid_body_face": "body_face", "grid_body_bary": "body_bary", "grid_body_sdf": "body_sdf"}
NEAR = 4  # cells from the surface within which a block's middle lies


class GridBlock:
    """Replaces the grid by `points`, `sdf` and what is known of the body there, in grid order, x slowest.

    A block's middle lies within four cells of the surface, anywhere along it.

    Args:
        side: points along each side of the block, k; of the grid's own side, all points in order.
        subject: reference that leads to the grid; "" where it is the record's own.

    Attributes:
        changes: after `bind`, the entries that fields have from then on; None for those that are gone.

    Raises:
        ValueError: no such side.
    """

    name = "grid_block"
    random = True
    writes: tuple[Field, ...] = ()

    def __init__(self, side: int = 32, subject: str = "subject") -> None:
        if isinstance(side, bool) or side < 1:
            raise ValueError(f"side {side}: 1 or more points")
        self.side = side
        self._prefix = f"{subject}." if subject else ""
        self.reads: tuple[str, ...] = (f"{self._prefix}grid", f"{self._prefix}cube_half_side")
        self.changes: dict[str, Field | None] = {}

    def bind(self, fields: Fields) -> None:
        """Note which grids the stream delivers, and what becomes of them.

        Raises:
            UsageError: points of another kind are among the fields too.
        """
        made: dict[str, Field | None] = {}
        new = {"points": Field("points", "float32", ("points", 3), "npy", "metre", "world", "of the grid, in order")}
        for grid, points in GRIDS.items():
            old = fields.get(self._prefix + grid)
            if old is not None:
                made[self._prefix + grid] = None
                shape = ("points", *old.shape[3:])
                new[points] = replace(old, name=points, shape=shape, codec="npy", options={})
        twice = [self._prefix + name for name in new if self._prefix + name in fields]
        if twice:
            raise UsageError(f"transform {self.name}: leave {', '.join(twice)} out: the grid's points take their names")
        self.changes = made | {self._prefix + name: entry for name, entry in new.items()}

    def __call__(self, record: Record, rng: Generator) -> dict[str, Array]:
        """The record with k^3 points.

        Args:
            record: with `grid` (n, n, n) metres, negative inside, and `cube_half_side`, metres.
            rng: chooses the block.

        Returns:
            a new mapping with `points` (k^3, 3) float32 world metres and `sdf` (k^3,); where the record has
            `grid_body_...`, these as `body_face` (k^3,), `body_bary` (k^3, 3), `body_sdf` (k^3,).

        Raises:
            SchemaError: the grid is missing, or smaller than the block.
        """
        require(self.name, record, self.reads, self.writes)
        grid, half = (record[name] for name in self.reads)
        if self.side > len(grid):
            raise SchemaError(
                f"transform {self.name}: {self.side} points a side, but `{self.reads[0]}` has {len(grid)}"
            )
        corner = block_corner(grid, self.side, 2 * float(half) / len(grid), rng)
        cut = tuple(slice(start, start + self.side) for start in corner)
        axes = [((np.arange(s.start, s.stop) + 0.5) / len(grid) * 2 - 1) * float(half) for s in cut]
        grids = {self._prefix + old: self._prefix + new for old, new in GRIDS.items()}
        made = {name: array for name, array in record.items() if name not in grids}
        made[f"{self._prefix}points"] = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype("f4")
        for old, new in grids.items():
            if old in record:
                made[new] = np.ascontiguousarray(record[old][cut]).reshape(-1, *record[old].shape[3:])
        return made


def block_corner(grid: Array, side: int, cell: float, rng: Generator) -> tuple[int, int, int]:
    """First cell of a block of `side` cells whose middle lies near the surface, inside the grid.

    Args:
        grid: (n, n, n) signed distances, metres.
        side: cells along each side of the block, n at most.
        cell: metres between two points.
        rng: chooses among all such blocks; among all blocks where none lies there.
    """
    room = len(grid) - side
    middle = grid[(slice(side // 2, side // 2 + room + 1),) * 3]
    near = np.flatnonzero(np.abs(middle.reshape(-1)) < NEAR * cell)
    number = int(near[rng.integers(len(near))]) if len(near) else int(rng.integers(middle.size))
    x, y, z = np.unravel_index(number, middle.shape)
    return int(x), int(y), int(z)


TRANSFORM = GridBlock
