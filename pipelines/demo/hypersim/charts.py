"""Unfolding of all surface patches into one flat atlas, on which light is stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .assembly import Mesh
from .surfaces import Patch

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
ATLAS_WIDTH = 2048
INSET = 0.004


@dataclass(frozen=True)
class Atlas:
    """Where each patch lies; the outermost texel centres of a chart are the patch's edges, so that charts join.

    Attributes:
        origin: (P, 2) int64 row and column of each chart.
        cells: (P, 2) int64 texels of each chart.
        shape: rows and columns of the atlas.
        vertex: (V, 2) float64 row and column of each mesh vertex.
    """

    origin: Ints
    cells: Ints
    shape: tuple[int, int]
    vertex: Array


@dataclass(frozen=True)
class Texels:
    """Sample points of an atlas, one for each used texel, in patch order.

    Attributes:
        index: (T,) int64 flat atlas index.
        patch: (T,) int64.
        place: (T, 2) float64 position within the chart, 0..1 along rows and columns.
        positions: (T, 3) float32 metres.
        normals: (T, 3) float32 unit.
    """

    index: Ints
    patch: Ints
    place: Array
    positions: NDArray[np.float32]
    normals: NDArray[np.float32]


def _shelves(cells: Ints) -> tuple[Ints, tuple[int, int]]:
    """Chart corners on shelves of falling height, one spare texel between charts."""
    origin = np.zeros_like(cells)
    top, left, tall = 0, 0, 0
    for chart in np.lexsort((-cells[:, 1], -cells[:, 0])):
        if left + cells[chart, 1] > ATLAS_WIDTH:
            top, left, tall = top + tall + 1, 0, 0
        origin[chart] = top, left
        left += int(cells[chart, 1]) + 1
        tall = max(tall, int(cells[chart, 0]))
    return origin, (top + tall + 1, ATLAS_WIDTH)


def unfold(mesh: Mesh, texel: float) -> Atlas:
    """An atlas with at most `texel` metres between samples and at least two samples along each edge."""
    size = np.array([[p.rows[-1], p.cols[-1]] for p in mesh.patches])
    cells = np.minimum(np.ceil(size / texel).astype(np.int64) + 1, ATLAS_WIDTH)
    origin, shape = _shelves(cells)
    counts = np.array([len(p.rows) * len(p.cols) for p in mesh.patches])
    step = np.repeat((cells - 1) / size, counts, axis=0)
    return Atlas(origin, cells, shape, np.repeat(origin, counts, axis=0) + mesh.st * step)


def _interpolate(patch: Patch, rows: Array, cols: Array) -> tuple[Array, Array]:
    """Positions and unit normals (len(rows), len(cols), 3) bilinear within the patch's cells."""

    def weights(lines: Array, where: Array) -> tuple[Ints, Array]:
        cell = np.clip(np.searchsorted(lines, where, side="right") - 1, 0, len(lines) - 2)
        return cell, (where - lines[cell]) / (lines[cell + 1] - lines[cell])

    i, a = weights(patch.rows, rows)
    j, b = weights(patch.cols, cols)
    both = np.concatenate([patch.points, patch.normals], axis=-1)
    line = both[i] + a[:, None, None] * (both[i + 1] - both[i])
    value = line[:, j] + b[None, :, None] * (line[:, j + 1] - line[:, j])
    normal = value[..., 3:]
    return value[..., :3], normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def texels(mesh: Mesh, atlas: Atlas) -> Texels:
    """Sample points of every chart; those on an edge are drawn inwards by at most 4 mm, out of the corner."""
    index, place, positions, normals = [], [], [], []
    for patch, origin, cells in zip(mesh.patches, atlas.origin, atlas.cells, strict=True):
        where = [np.linspace(0.0, 1.0, n) for n in cells]
        inner = []
        for w, lines in zip(where, (patch.rows, patch.cols), strict=True):
            inset = min(INSET, lines[-1] / 4)
            inner.append(np.clip(w * lines[-1], inset, lines[-1] - inset))
        point, normal = _interpolate(patch, *inner)
        index.append(
            ((origin[0] + np.arange(cells[0]))[:, None] * atlas.shape[1] + origin[1] + np.arange(cells[1])).ravel()
        )
        place.append(np.stack(np.meshgrid(*where, indexing="ij"), axis=-1).reshape(-1, 2))
        positions.append(point.reshape(-1, 3))
        normals.append(normal.reshape(-1, 3))
    return Texels(
        np.concatenate(index), np.repeat(np.arange(len(atlas.cells)), atlas.cells.prod(axis=1)), np.concatenate(place),
        np.concatenate(positions).astype(np.float32), np.concatenate(normals).astype(np.float32),
    )  # fmt: skip
