"""A field on a regular lattice of points, and how a field is asked there: in chunks, checked, without gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.errors import TesseraError

Field = Callable[[Tensor], Tensor]
Corner = tuple[float, float, float]

LOW: Corner = (-1.0, -1.0, -1.0)
HIGH: Corner = (1.0, 1.0, 1.0)
CHUNK = 50_000


class FieldError(TesseraError, ValueError):
    """A field gives no number somewhere, values of the wrong shape, or no surface; the message names the values."""


@dataclass(frozen=True)
class FieldGrid:
    """A field on a lattice of r + 1 points along each axis of a box.

    Attributes:
        values: (r + 1, r + 1, r + 1) float32; entry [i, j, k] lies at low + (high - low) * (i, j, k) / r, that is,
            x runs along the first axis, y along the second and z along the third.
        evaluated: how many of these points the field was asked at; the others are interpolated.
        low: corner of the box at entry [0, 0, 0], in the field's frame and unit.
        high: corner of the box at entry [r, r, r].
    """

    values: NDArray[np.float32]
    evaluated: int
    low: Corner = LOW
    high: Corner = HIGH

    @property
    def resolution(self) -> int:
        """Cells along each axis, r."""
        return self.values.shape[0] - 1


class Sampler:
    """Asks a field at points of the lattices of one box.

    Args:
        field: takes points (n, 3) float32 and gives values (n,), any float dtype.
        low: one corner of the box, in the field's frame.
        high: the opposite corner, larger along every axis.
        chunk: points a call, at most.
        device: where the points are made.

    Attributes:
        count: points asked so far.
    """

    def __init__(self, field: Field, low: Corner, high: Corner, chunk: int, device: torch.device | str) -> None:
        if chunk < 1:
            raise ValueError(f"a chunk of {chunk} points is too small; it must be 1 or more")
        if not (np.isfinite([low, high]).all() and (np.array(low) < np.array(high)).all()):
            raise ValueError(f"the box from {low} to {high} has no volume; low must be below high along every axis")
        self.field, self.low, self.high, self.chunk, self.device = field, low, high, chunk, device
        self.count = 0

    def __call__(self, flat: Tensor, cells: int) -> Tensor:
        """The field's values (n,) float32 at points `flat` (n,) int64, C-order indices of (cells + 1)^3 points.

        Raises:
            FieldError: a value is not finite, or the field gives another shape than (n,).
        """
        steps = np.linspace(self.low, self.high, cells + 1)  # float64: the same points whatever the lattice
        axes = torch.from_numpy(steps.astype(np.float32)).to(self.device)
        out = torch.empty(len(flat), dtype=torch.float32, device=self.device)
        for start in range(0, len(flat), self.chunk):
            index = torch.stack(unravel(flat[start : start + self.chunk], cells))
            points = torch.stack([axes[index[i], i] for i in range(3)], 1)
            out[start : start + self.chunk] = self._ask(points)
        self.count += len(flat)
        return out

    @torch.no_grad()
    def _ask(self, points: Tensor) -> Tensor:
        values = self.field(points)
        if values.shape != (len(points),):
            raise FieldError(f"the field gives {tuple(values.shape)} for {len(points)} points, not ({len(points)},)")
        values = values.to(torch.float32)
        bad = (~torch.isfinite(values)).nonzero()[:, 0]
        if len(bad):
            where = ", ".join(f"{x:.4g}" for x in points[bad[0]].tolist())
            value = values[bad[0]].item()
            raise FieldError(f"the field is {value} at ({where}) and not finite at {len(bad)} of {len(points)} points")
        return values


def unravel(flat: Tensor, cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices along x, y, z, each (n,) int64, of points given by their C-order index in (cells + 1)^3 points."""
    n = cells + 1
    return flat // (n * n), flat // n % n, flat % n


def evaluate_dense(
    field: Field,
    resolution: int = 256,
    low: Corner = LOW,
    high: Corner = HIGH,
    chunk: int = CHUNK,
    device: torch.device | str = "cpu",
) -> FieldGrid:
    """The field at all (resolution + 1)^3 points of a box.

    Args:
        field: takes points (n, 3) float32 in the box's frame and gives values (n,).
        resolution: cells along each axis.
        low: lower corner of the box.
        high: upper corner of the box.
        chunk: points a call, at most.
        device: where the points are made.

    Raises:
        FieldError: a value is not finite, or the field gives another shape than (n,).
        ValueError: an argument is out of range.
    """
    if resolution < 1:
        raise ValueError(f"a resolution of {resolution} is too small; it must be 1 or more")
    ask = Sampler(field, low, high, chunk, device)
    n = resolution + 1
    values = ask(torch.arange(n**3, device=device), resolution)
    return FieldGrid(values.view(n, n, n).cpu().numpy(), ask.count, low, high)
