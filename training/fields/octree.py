"""A field on a fine lattice from few evaluations: coarse to fine, only where the surface may be.

As in Mescheder et al., Occupancy Networks (2019), and the `Seg3dLossless` of Li et al., Monocular Real-Time Volumetric
Performance Capture (2020), which ICON uses: cells that the surface crosses are halved, with a ring of neighbours; what
lies between is interpolated. A new value on the other side of the level than its interpolation is a conflict, and the
points around it are evaluated, too, until there are no conflicts left. Then every fine cell that the surface crosses
holds evaluated values only, and so does the ring around it. A part of the surface that no evaluated point notices is
not found: one that is thinner than a coarse cell, slips between the points of the coarse lattice, and is joined to
nothing that was found.
"""

import torch
from torch import Tensor

from .grid import CHUNK, HIGH, LOW, Corner, Field, FieldGrid, Sampler, unravel

REACH = 2  # points from a conflict: the corners of its cells and of the ring around them
AT_ONCE = 50_000  # conflicts whose surroundings are listed together; bounds the memory


def evaluate_octree(
    field: Field,
    resolution: int = 256,
    level: float = 0.5,
    coarse: int = 32,
    low: Corner = LOW,
    high: Corner = HIGH,
    margin: float = 0.0,
    chunk: int = CHUNK,
    device: torch.device | str = "cpu",
) -> FieldGrid:
    """The field on (resolution + 1)^3 points of a box, evaluated near the surface `field = level` only.

    No point is evaluated twice. The mesh of the result is that of `evaluate_dense`, but for parts that are joined to
    nothing and slip between the points of the coarse lattice.

    Args:
        field: takes points (n, 3) float32 in the box's frame and gives values (n,).
        resolution: cells along each axis: `coarse` times a power of two.
        level: value on the surface.
        coarse: cells along each axis of the first lattice, which is evaluated whole.
        low: lower corner of the box.
        high: upper corner of the box.
        margin: cells with a value this close to the level are halved, too; finds thin parts of a smooth field.
        chunk: points a call, at most.
        device: where the points are made and the lattice is kept meanwhile: about 12 bytes a point.

    Raises:
        FieldError: a value is not finite, or the field gives another shape than (n,).
        ValueError: an argument is out of range.
    """
    _check(resolution, level, coarse, margin)
    ask = Sampler(field, low, high, chunk, device)
    cells, band = coarse, (level - margin, level + margin)
    values = ask(torch.arange((cells + 1) ** 3, device=device), cells).view(cells + 1, cells + 1, cells + 1)
    known = torch.ones_like(values, dtype=torch.bool)
    while cells < resolution:
        wanted = _inner_points(_ring(_crossed(_side(values, band), keep_band=margin > 0)))
        values, coarse_known, cells = _interpolate(values), known, cells * 2
        known = torch.zeros_like(wanted)
        known[::2, ::2, ::2] = coarse_known
        todo = (wanted & ~known).view(-1).nonzero()[:, 0]
        known |= wanted
        while len(todo):
            conflicts = _update(values, todo, ask, cells, band)
            todo = _around(conflicts, known, cells)
    return FieldGrid(values.cpu().numpy(), ask.count, low, high)


def _check(resolution: int, level: float, coarse: int, margin: float) -> None:
    ratio = resolution // max(coarse, 1)
    if coarse < 1 or resolution != coarse * ratio or ratio < 1 or ratio & (ratio - 1):
        raise ValueError(f"a resolution of {resolution} is not {coarse} (coarse) times a power of two")
    if not (abs(level) < float("inf") and 0 <= margin < float("inf")):
        raise ValueError(f"level {level} and margin {margin} must be finite, and the margin 0 or more")


def _side(values: Tensor, band: tuple[float, float]) -> Tensor:
    """1 above the band, -1 below it, 0 in it, int8: a surface at the middle lies between unequal sides, or in zeros."""
    return (values > band[1]).to(torch.int8) - (values < band[0]).to(torch.int8)


def _crossed(side: Tensor, keep_band: bool) -> Tensor:
    """Which of the cells, (r, r, r) bool, have corners on different sides; with `keep_band`, or in the band."""
    least = most = side
    for axis in range(3):
        n = least.shape[axis] - 1
        least = torch.minimum(least.narrow(axis, 0, n), least.narrow(axis, 1, n))
        most = torch.maximum(most.narrow(axis, 0, n), most.narrow(axis, 1, n))
    crossed = least != most
    return crossed | (least == 0) if keep_band else crossed


def _ring(cells: Tensor) -> Tensor:
    """The cells (r, r, r) bool and all that touch one of them at a corner."""
    for axis in range(3):
        wide, n = cells.clone(), cells.shape[axis] - 1
        wide.narrow(axis, 1, n).logical_or_(cells.narrow(axis, 0, n))
        wide.narrow(axis, 0, n).logical_or_(cells.narrow(axis, 1, n))
        cells = wide
    return cells


def _inner_points(cells: Tensor) -> Tensor:
    """The points (2r + 1, 2r + 1, 2r + 1) bool that lie in or on the cells (r, r, r) when these are halved."""
    points = cells.new_zeros([2 * n + 1 for n in cells.shape])
    points[1::2, 1::2, 1::2] = cells
    for axis in range(3):
        along = points.movedim(axis, 0)
        along[:-1:2] |= along[1::2]
        along[2::2] |= along[1::2]
    return points


def _interpolate(values: Tensor) -> Tensor:
    """Trilinear: (r + 1, ...) to (2r + 1, ...) float32; a mean of two never leaves them, whatever the rounding."""
    fine = values.new_empty([2 * n - 1 for n in values.shape])
    fine[::2, ::2, ::2] = values
    fine[1::2, ::2, ::2] = fine[:-1:2, ::2, ::2] / 2 + fine[2::2, ::2, ::2] / 2
    fine[:, 1::2, ::2] = fine[:, :-1:2, ::2] / 2 + fine[:, 2::2, ::2] / 2
    fine[:, :, 1::2] = fine[:, :, :-1:2] / 2 + fine[:, :, 2::2] / 2
    return fine


def _update(values: Tensor, todo: Tensor, ask: Sampler, cells: int, band: tuple[float, float]) -> Tensor:
    """Evaluate the points `todo` (n,) in place; those among them, (m,), whose interpolation lay on another side."""
    flat = values.view(-1)
    before = _side(flat[todo], band)
    flat[todo] = ask(todo, cells)
    return todo[_side(flat[todo], band) != before]


def _around(conflicts: Tensor, known: Tensor, cells: int) -> Tensor:
    """The unknown points, (n,) without repeats, about the conflicts; they are noted as known."""
    flat, found = known.view(-1), [conflicts[:0]]
    step = torch.arange(-REACH, REACH + 1, device=conflicts.device)
    for part in conflicts.split(AT_ONCE):
        x, y, z = ((i[:, None] + step).clamp(0, cells) for i in unravel(part, cells))
        near = (x[:, :, None, None] * (cells + 1) + y[:, None, :, None]) * (cells + 1) + z[:, None, None, :]
        near = near.view(-1)
        near = near[~flat[near]].unique()
        flat[near] = True
        found.append(near)
    return torch.cat(found)
