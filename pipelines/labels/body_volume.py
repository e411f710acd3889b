"""A body as a volume of voxels with a colour each, as PaMIR feeds it to a 3-D network."""

import numpy as np
from numpy.typing import NDArray

from ...datasets.surface.surface import Surface

VERSION = 1  # raised whenever a voxel changes
SIDE = 128
Floats = NDArray[np.float64]


def grid_points(half_side: float, side: int = SIDE) -> Floats:
    """(side^3, 3) centres of the voxels of a cube about the origin, metres, world frame; x runs slowest, z fastest."""
    axis = ((np.arange(side) + 0.5) / side * 2 - 1) * half_side
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)


def body_volume(body: Surface, canonical: Floats, half_side: float, side: int = SIDE) -> NDArray[np.uint8]:
    """Canonical colours inside a body: for each voxel those of the closest place on the body's surface.

    PaMIR fills tetrahedra that come with a model of its own; this needs the surface alone. Empty voxels are zero, full
    ones 1 to 255 for 0 to 1.

    Args:
        body: world frame, metres.
        canonical: (V, 3) colour of each vertex, 0 to 1.
        half_side: metres from the origin to the sides of the cube.
        side: voxels along each side.

    Returns:
        (side, side, side, 3) uint8, axes x, y, z of the world.
    """
    points = grid_points(half_side, side)
    places = body.tree.vertices[body.tree.faces.reshape(-1)]
    near = ((points >= places.min(0)) & (points <= places.max(0))).all(1)
    found = body.signed_distance(points[near])
    inside = found.distance < 0
    colours = np.einsum("nk,nkc->nc", found.bary[inside], canonical[body.tree.faces[found.face[inside]]])
    out = np.zeros((side**3, 3), np.uint8)
    out[np.flatnonzero(near)[inside]] = 1 + np.rint(254 * np.clip(colours, 0, 1))
    return out.reshape(side, side, side, 3)
