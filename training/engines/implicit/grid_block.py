"""A block of the stored grid as a record's points, in grid order, for heads that see a point's neighbours."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ....datasets.schema import Field

Array = NDArray[Any]
GRIDS = {"grid": "sdf", "grid_body_face": "body_face", "grid_body_bary": "body_bary", "grid_body_sdf": "body_sdf"}
NEAR = 4  # cells from the surface within which a block's middle lies


class GridBlock:
    """Replaces `subject.grid...` by `subject.points`, `subject.sdf`, `subject.body_...` of one block.

    Args:
        side: points along each side of the block, k.

    Raises:
        ValueError: no such side.
    """

    name = "grid_block"
    random = True
    reads: tuple[str, ...] = ("subject.grid", "subject.cube_half_side")

    def __init__(self, side: int) -> None:
        if side < 1:
            raise ValueError(f"side {side}: 1 or more")
        self.side = side
        self.writes: tuple[Field, ...] = ()
        self.changes: dict[str, Field | None] = {}

    def bind(self, fields: Mapping[str, Field]) -> None:
        """Note which grids the stream delivers, and what becomes of them."""
        made = {"subject.points": Field("points", "float32", ("points", 3), "npy", "metre", "world")}
        for grid, points in GRIDS.items():
            if f"subject.{grid}" in fields:
                old = fields[f"subject.{grid}"]
                made[f"subject.{points}"] = Field(points, old.dtype, ("points", *old.shape[3:]), "npy", old.unit)
                self.changes[f"subject.{grid}"] = None
        self.changes |= made

    def __call__(self, record: Mapping[str, Array], rng: Generator) -> dict[str, Array]:
        """The record with k^3 points in grid order, x slowest: those of a block whose middle lies near the surface.

        Args:
            record: with `subject.grid` (n, n, n) metres and `subject.cube_half_side`.
            rng: chooses the block.
        """
        grid = record["subject.grid"]
        side, half = len(grid), float(record["subject.cube_half_side"])
        corner = block_corner(grid, self.side, 2 * half / side, rng)
        cut = tuple(slice(start, start + self.side) for start in corner)
        axes = [((np.arange(s.start, s.stop) + 0.5) / side * 2 - 1) * half for s in cut]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3).astype(np.float32)
        kept = {name: value for name, value in record.items() if name.removeprefix("subject.") not in GRIDS}
        taken = {
            f"subject.{new}": np.ascontiguousarray(record[f"subject.{old}"][cut]).reshape(
                -1, *record[f"subject.{old}"].shape[3:]
            )
            for old, new in GRIDS.items()
            if f"subject.{old}" in record
        }
        return {**kept, "subject.points": points, **taken}


def block_corner(grid: Array, side: int, cell: float, rng: Generator) -> tuple[int, int, int]:
    """First cell of a block of `side` cells whose middle lies near the surface, inside the grid."""
    room = len(grid) - side
    middle = grid[side // 2 : side // 2 + room + 1, side // 2 : side // 2 + room + 1, side // 2 : side // 2 + room + 1]
    near = np.flatnonzero(np.abs(middle.reshape(-1)) < NEAR * cell)
    number = int(near[rng.integers(len(near))]) if len(near) else int(rng.integers(middle.size))
    x, y, z = np.unravel_index(number, middle.shape)
    return int(x), int(y), int(z)
