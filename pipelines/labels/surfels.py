"""Surface points of a scene, fused over all its frames: one mean a cell of a lattice and direction of the normal."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

VERSION = 1  # raised whenever a surfel changes

MOST = 4_000_000
AXIS_BITS = 20  # cells along an axis: 10 km either way at 2 cm
FACE_BITS = 3
PENDING = 1 << 20  # rows gathered before a merge pays
SHORTEST_NORMAL = 0.5  # shorter ones are no direction

Floats = NDArray[np.floating]
Keys = NDArray[np.int64]
Table = NDArray[np.float32]

# Columns of a table of weighted sums.
_WEIGHT, _COLOUR_WEIGHT = slice(0, 1), slice(1, 2)
_OFFSET, _NORMAL, _COLOUR = slice(2, 5), slice(5, 8), slice(8, 11)


@dataclass(frozen=True)
class Surfels:
    """Fused surface points of a scene, in ascending order of their keys.

    Attributes:
        key: (N,) int64 cell and direction, as `surfel_keys` gives them for `spacing`.
        position: (N, 3) float32 metres, world frame.
        normal: (N, 3) float32 unit, world frame.
        colour: (N, 3) float32 linear radiance; zeros where unknown.
        weight: (N,) float32 sum of the weights of the points.
        spacing: side of a cell in metres: what was asked for, or that doubled until not too many were left.
    """

    key: Keys
    position: Table
    normal: Table
    colour: Table
    weight: Table
    spacing: float

    def rows(self, keys: Keys) -> NDArray[np.intp]:
        """Rows (M,) of the surfels of keys (M,) made with this `spacing`; -1 where there is no such surfel."""
        if not len(self.key):
            return np.full(len(keys), -1, np.intp)
        row = np.minimum(np.searchsorted(self.key, keys), len(self.key) - 1)
        return np.where(self.key[row] == keys, row, -1)


def surfel_keys(points: Floats, normals: Floats, spacing: float) -> Keys:
    """The surfel each point belongs to.

    A point belongs to the cell floor(point / spacing), and in it to one of six surfels by the axis, and the way along
    it, that its normal is closest to. So the two sides of a board thinner than a cell stay apart, and within a surfel
    no two normals cancel out: each is less than 55 degrees off the axis.

    Args:
        points: (M, 3) finite, metres, world frame.
        normals: (M, 3) unit, world frame.
        spacing: side of a cell in metres.

    Returns:
        (M,) int64; they sort by x, y, z of the cell, then by direction.

    Raises:
        ValueError: a point more than 2^19 cells from the origin.
    """
    cell = np.floor(np.asarray(points, np.float64) / spacing)
    half = 1 << (AXIS_BITS - 1)
    if len(cell) and not (cell.min() >= -half and cell.max() < half):
        raise ValueError(f"points reach beyond {half * spacing:.0f} m or are not finite: no surfels of {spacing} m")
    axis = np.abs(normals).argmax(axis=1)
    face = 2 * axis + (np.take_along_axis(normals, axis[:, None], axis=1)[:, 0] < 0)
    return _packed(cell.astype(np.int64).T, face)


class SurfelBuilder:
    """Fuses the points of many frames into surfels with bounded memory.

    Frames are reduced to a row of sums a surfel, 52 bytes, and merged when as many rows wait as half of those that are
    there (or a million), so that the whole costs time in proportion to the points. At most 1.5 times `most` rows are
    held (or `most` and a million), and three times that for a moment in a merge. The result depends on nothing but the
    frames and, in the last bits, on their order.

    Args:
        spacing: side of a cell in metres.
        most: with more surfels than that the spacing is doubled.
    """

    def __init__(self, spacing: float, most: int = MOST) -> None:
        self.spacing = spacing
        self._most = most
        self._keys: list[Keys] = [np.empty(0, np.int64)]
        self._sums: list[Table] = [np.empty((0, 11), np.float32)]

    def add(self, points: Floats, normals: Floats, weights: Floats, colours: Floats | None = None) -> None:
        """Add the points of a frame.

        Args:
            points: (M, 3) metres, world frame.
            normals: (M, 3) unit, world frame.
            weights: (M,).
            colours: (M, 3) linear radiance, or None; a row that is not finite counts as unknown.

        A point that is not finite, of no direction (normal shorter than 0.5) or not of positive weight is left out.

        Raises:
            ValueError: a point more than 2^19 cells from the origin.
        """
        weights = np.asarray(weights, np.float32)
        square = np.einsum("mc,mc->m", normals, normals)
        good = np.flatnonzero(
            _finite(points) & np.isfinite(square) & np.isfinite(weights)
            & (square >= SHORTEST_NORMAL**2) & (weights > 0)
        )  # fmt: skip
        points, normals, weights = points[good], normals[good], weights[good]
        keys = surfel_keys(points, normals, self.spacing)
        table = np.zeros((len(keys), 11), np.float32)
        table[:, _WEIGHT] = 1
        table[:, _OFFSET] = points - _cell_centres(keys, self.spacing)
        table[:, _NORMAL] = normals
        if colours is not None:
            colours = colours[good]
            known = _finite(colours)[:, None]
            table[:, _COLOUR_WEIGHT] = known
            table[:, _COLOUR] = np.where(known, colours, 0)
        keys, sums = _reduced(keys, table, weights)
        self._keys.append(keys)
        self._sums.append(sums)
        if sum(map(len, self._keys[1:])) >= max(PENDING, len(self._keys[0]) // 2):
            self._merge()

    def finish(self) -> Surfels:
        """The surfels of all points added so far."""
        self._merge()
        return _surfels(self._keys[0], self._sums[0], self.spacing)

    def lights(self, most: int = MOST) -> Surfels:
        """Surfels of known colour, on cells of twice the side at least.

        Positions and normals are of all points of cells that have a coloured one, weights of the coloured points alone.

        Args:
            most: with more surfels than that the spacing is doubled again.
        """
        self._merge()
        lit = self._sums[0][:, 1] > 0
        keys, sums, spacing = self._keys[0][lit], self._sums[0][lit], self.spacing
        while spacing == self.spacing or len(keys) > most:
            keys, sums = _doubled(keys, sums, spacing)
            spacing *= 2
        return replace(_surfels(keys, sums, spacing), weight=sums[:, 1].copy())

    def _merge(self) -> None:
        """One row a surfel; with too many of them, cells of twice the side until there are not."""
        keys, table = np.concatenate(self._keys), np.concatenate(self._sums)
        self._keys, self._sums = [], []
        keys, table = _reduced(keys, table, np.ones(len(keys), np.float32))
        while len(keys) > self._most:
            keys, table = _doubled(keys, table, self.spacing)
            self.spacing *= 2
        self._keys, self._sums = [keys], [table]


def _surfels(keys: Keys, sums: Table, spacing: float) -> Surfels:
    """Means from weighted sums."""
    weight, colour_weight = sums[:, _WEIGHT], sums[:, _COLOUR_WEIGHT]
    position = _cell_centres(keys, spacing) + sums[:, _OFFSET] / weight
    normal = sums[:, _NORMAL] / np.linalg.norm(sums[:, _NORMAL], axis=1, keepdims=True)
    colour = (sums[:, _COLOUR] / np.where(colour_weight > 0, colour_weight, 1)).astype(np.float32)
    return Surfels(keys, position.astype(np.float32), normal.astype(np.float32), colour, weight[:, 0].copy(), spacing)


def _finite(vectors: Floats) -> NDArray[np.bool_]:
    """Rows of (M, 3) without inf or NaN; five times as quick as `all(axis=1)`."""
    x, y, z = np.isfinite(vectors).T
    return x & y & z


def _reduced(keys: Keys, table: Table, weights: Table) -> tuple[Keys, Table]:
    """Distinct keys, ascending, and the weighted sums of their rows of a table (M, 11)."""
    order = np.argsort(keys, kind="stable")  # merges rows already in order in linear time
    ordered = keys[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(keys) else np.empty(0, np.intp)
    groups = csr_array((weights[order], order, np.append(first, len(keys))), shape=(len(first), len(keys)))
    return ordered[first], groups @ table


def _doubled(keys: Keys, table: Table, spacing: float) -> tuple[Keys, Table]:
    """The same surfels on cells of twice the side; face is kept."""
    coarse = _packed(_cells(keys) >> 1, keys & ((1 << FACE_BITS) - 1))
    table = table.copy()
    shift = _cell_centres(keys, spacing) - _cell_centres(coarse, 2 * spacing)
    table[:, _OFFSET] += table[:, _WEIGHT] * shift.astype(np.float32)
    return _reduced(coarse, table, np.ones(len(keys), np.float32))


def _packed(cells: NDArray[np.int64], faces: NDArray[np.int64]) -> Keys:
    """Keys (N,) of cell coordinates (3, N) and faces (N,)."""
    x, y, z = cells + (1 << (AXIS_BITS - 1))
    return ((x << AXIS_BITS | y) << AXIS_BITS | z) << FACE_BITS | faces


def _cells(keys: Keys) -> NDArray[np.int64]:
    """Cell coordinates (3, N) of keys (N,)."""
    mask = (1 << AXIS_BITS) - 1
    shifts = (FACE_BITS + 2 * AXIS_BITS, FACE_BITS + AXIS_BITS, FACE_BITS)
    return np.stack([keys >> shift & mask for shift in shifts]) - (1 << (AXIS_BITS - 1))


def _cell_centres(keys: Keys, spacing: float) -> Floats:
    """Centres (N, 3) of the cells of keys (N,), metres."""
    return (_cells(keys).T + 0.5) * spacing
