"""Unfolding of all surface patches into one flat atlas, on which light is stored."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import Array, Ints
from .assembly import Mesh

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


def _locate(lines: list[Array], patch: Ints, where: Array) -> tuple[Ints, Array]:
    """Cell within its patch (T,) and position in that cell 0..1 (T,) of surface coordinates `where` (T,) in metres.

    One search for all patches: the grid lines of patch k are shifted by 1,000 k, beyond every coordinate.
    """
    counts = np.array([len(x) for x in lines])
    first = np.concatenate([[0], np.cumsum(counts)])[:-1]
    joined = np.concatenate(lines)
    shifted = joined + 1000.0 * np.repeat(np.arange(len(lines)), counts)
    found = np.searchsorted(shifted, where + 1000.0 * patch, side="right") - 1
    cell = np.clip(found, first[patch], first[patch] + counts[patch] - 2)
    return cell - first[patch], (where - joined[cell]) / (joined[cell + 1] - joined[cell])


def texels(mesh: Mesh, atlas: Atlas) -> Texels:
    """Sample points of every chart; those on an edge are drawn inwards by at most 4 mm, out of the corner."""
    counts = atlas.cells.prod(axis=1)
    patch = np.repeat(np.arange(len(counts)), counts)
    rank = np.arange(len(patch)) - np.repeat(np.cumsum(counts) - counts, counts)
    cell = np.stack(np.divmod(rank, atlas.cells[patch, 1]), axis=1)
    place = cell / (atlas.cells[patch] - 1)
    size = np.array([[p.rows[-1], p.cols[-1]] for p in mesh.patches])[patch]
    inset = np.minimum(INSET, size / 4)
    where = np.clip(place * size, inset, size - inset)
    row, a = _locate([p.rows for p in mesh.patches], patch, where[:, 0])
    col, b = _locate([p.cols for p in mesh.patches], patch, where[:, 1])
    across = np.array([len(p.cols) for p in mesh.patches])[patch]
    corner = mesh.first[patch] + row * across + col
    value = np.zeros((len(patch), 6))
    for shift, weight in ((0, (1 - a) * (1 - b)), (1, (1 - a) * b), (across, a * (1 - b)), (across + 1, a * b)):
        vertex = corner + shift
        value += weight[:, None] * np.concatenate([mesh.vertices[vertex], mesh.normals[vertex]], axis=1)
    normals = value[:, 3:] / np.linalg.norm(value[:, 3:], axis=1, keepdims=True)
    index = (atlas.origin[patch] + cell) @ np.array([atlas.shape[1], 1])
    return Texels(index, patch, place, value[:, :3].astype(np.float32), normals.astype(np.float32))
