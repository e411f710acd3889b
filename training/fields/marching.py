"""From a field on a lattice to the mesh of its surface, by marching cubes (Lewiner et al. 2003, as in scikit-image)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes

from .grid import FieldError, FieldGrid
from .mesh import Mesh

Float = NDArray[np.float32]
STEEP = 1e3  # outside the box the field falls this many times its range within one cell


def extract_mesh(grid: FieldGrid, level: float = 0.5, inside: Literal["above", "below"] = "above") -> Mesh:
    """The surface where the field is `level`: closed, faces outwards.

    What is inside and touches the border of the box is cut flat there.

    Args:
        grid: the field; vertices are in its box's frame and unit.
        level: value on the surface, counted as outside.
        inside: which values are inside: "above" the level (occupancy) or "below" it (signed distance).

    Raises:
        FieldError: nothing is inside, or everything; the message says the field's least and largest value.
    """
    if inside not in ("above", "below"):
        raise ValueError(f'inside must be "above" or "below", not {inside!r}')
    sign, values = 1, grid.values
    if inside == "below":
        sign, values = -1, -values
    edge = float(np.float32(sign * level))  # as the octree compares
    above = values > edge
    if not above.any() or above.all():
        least, most = grid.values.min(), grid.values.max()
        raise FieldError(f"the field never crosses {level:.4g}: its values lie between {least:.4g} and {most:.4g}")
    block, start = _closed_block(values, above, edge)
    vertices, faces = marching_cubes(block, edge, gradient_direction="ascent")[:2]
    low, high = np.array(grid.low), np.array(grid.high)
    lattice = (vertices.astype(np.float64) + start).clip(0, grid.resolution)
    return Mesh(low + (high - low) / grid.resolution * lattice, np.ascontiguousarray(faces, np.int32))


def _closed_block(values: Float, above: NDArray[np.bool_], edge: float) -> tuple[Float, NDArray[np.int64]]:
    """What is above the edge and one point around it, points outside the box being outside; its origin."""
    last = values.shape[0] - 1
    spans = [np.flatnonzero(above.any(axis=other))[[0, -1]] for other in ((1, 2), (0, 2), (0, 1))]
    block = values[tuple(slice(max(a - 1, 0), b + 2) for a, b in spans)]
    outside = edge - STEEP * float(np.ptp(values))
    block = np.pad(block, [(int(a == 0), int(b == last)) for a, b in spans], constant_values=outside)
    return block, np.array([a - 1 for a, _ in spans])
