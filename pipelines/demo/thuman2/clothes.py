"""Clothes: how far a person's surface lies off the body, and the closed surface that this gives.

The surface is the level set distance to the body = thickness of the clothes, by marching cubes (W. Lorensen and
H. Cline, 1987) in a thin layer round the body. So it is closed, arms that touch the trunk grow together with it as they
do in scans, and it has no idea of the body's vertices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....datasets.surface.mesh_nearest import nearest
from ....datasets.surface.mesh_topology import topology
from ....datasets.surface.surface import Surface
from ...bodies.joints import SMPLX_JOINTS

Floats = NDArray[np.float64]
BLOCK = 4  # cells: where the surface lies is found by blocks first
BARE = 0.001
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar")
SLEEVES = ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow")
LEGS = ("left_hip", "right_hip", "left_knee", "right_knee")
FEET = ("left_ankle", "right_ankle", "left_foot", "right_foot")
HAIR = 0.012


@dataclass(frozen=True)
class Outfit:
    """What a person wears.

    Attributes:
        trunk, sleeves, legs, feet, hair: thickness in metres; 0 for bare.
        folds: depth of folds, metres.
        pitch: folds a metre.
        phase: where they begin, radians.
        lower: whether sleeves reach over the elbows.
    """

    trunk: float
    sleeves: float
    legs: float
    feet: float
    hair: float
    folds: float
    pitch: float
    phase: float
    lower: bool


def outfit(rng: np.random.Generator) -> Outfit:
    """Something to wear: from tight to loose."""
    loose = rng.uniform(0.3, 1.0)
    return Outfit(
        trunk=0.015 + 0.035 * loose, sleeves=0.01 + 0.022 * loose, legs=0.01 + 0.03 * rng.uniform(0.2, 1.0), feet=0.01,
        hair=HAIR * rng.uniform(0.5, 2.0), folds=0.008 + 0.012 * loose, pitch=rng.uniform(14, 26),
        phase=rng.uniform(0, 2 * np.pi), lower=bool(rng.integers(0, 2)),
    )  # fmt: skip


def thickness(wears: Outfit, weights: Floats, template: Floats) -> Floats:
    """(V,) metres that the surface lies off each vertex of the body.

    Args:
        wears: the outfit.
        weights: (V, 55) skinning weights, by which parts of the body go over into each other smoothly.
        template: (V, 3) the body at rest, metres: folds stay with the cloth.
    """

    def share(names: tuple[str, ...]) -> Floats:
        found: Floats = weights[:, [SMPLX_JOINTS.index(name) for name in names]].sum(1)
        return found

    sleeves = SLEEVES if wears.lower else SLEEVES[:2]
    cloth = share(TRUNK) * wears.trunk + share(sleeves) * wears.sleeves + share(LEGS) * wears.legs
    x, y, z = template.T
    waves = np.sin(wears.pitch * (y + 0.35 * np.sin(5 * x + wears.phase)) + 9 * z + wears.phase)
    waves += 0.6 * np.sin(1.7 * wears.pitch * (x + 0.4 * y) - 7 * z + 2 * wears.phase)
    folds = (share(TRUNK) + share(sleeves) + share(LEGS)) * wears.folds * waves / 1.6
    head = template[:, 1] - template[weights[:, SMPLX_JOINTS.index("head")] > 0.5][:, 1].min()
    crown = share(("head",)) * np.clip((head - 0.10) / 0.03, 0, 1) * np.clip((0.1 - z) / 0.05 + 1, 0, 1)
    return BARE + np.maximum(cloth + folds, 0) + share(FEET) * wears.feet + crown * wears.hair


@dataclass(frozen=True, eq=False)
class Clothed:
    """The surface of a clothed person.

    Attributes:
        vertices: (V, 3) float64 metres, in the frame of the body.
        faces: (F, 3) int64.
        body_face: (V,) int32 closest face of the body.
        bary: (V, 3) float64 where on it.
    """

    vertices: Floats
    faces: NDArray[np.int64]
    body_face: NDArray[np.int32]
    bary: Floats


def clothed(vertices: Floats, faces: NDArray[np.int32], off: Floats, cell: float) -> Clothed:
    """The closed surface that lies `off` (V,) metres off a body, on a grid of cells `cell` metres wide."""
    from skimage.measure import marching_cubes

    body = Surface(vertices, faces, method="winding")
    wide, most = BLOCK * cell, float(off.max())
    low = vertices.min(0) - most - wide
    blocks = np.ceil((vertices.max(0) + most + wide - low) / wide).astype(int)
    centres = (np.indices(blocks).reshape(3, -1).T + 0.5) * wide + low
    rough = body.signed_distance(centres).distance
    near = (rough > -wide) & (rough < most + wide)  # half a block's diagonal is less than its width
    field = np.repeat(np.repeat(np.repeat(rough.reshape(blocks), BLOCK, 0), BLOCK, 1), BLOCK, 2).astype(np.float32)
    inner = np.indices((BLOCK,) * 3).reshape(3, -1).T
    corners = np.argwhere(near.reshape(blocks)) * BLOCK
    cells = (corners[:, None] + inner).reshape(-1, 3)
    found = body.signed_distance((cells + 0.5) * cell + low)
    field[tuple(cells.T)] = found.distance - np.einsum("nk,nk->n", found.bary, off[faces[found.face]])
    places, triangles, _, _ = marching_cubes(field, 0.0, gradient_direction="descent")
    surface, triangles = _largest((places + 0.5) * cell + low, triangles)
    closest = nearest(body.tree, surface)
    return Clothed(surface, triangles, closest.face, closest.bary)


def _largest(vertices: Floats, faces: NDArray[np.int32]) -> tuple[Floats, NDArray[np.int64]]:
    """The largest part of a mesh: not what lies in the mouth, or behind the eyes."""
    component = topology(vertices, faces).component
    kept = faces[component == np.bincount(component[component >= 0]).argmax()]
    used, numbers = np.unique(kept, return_inverse=True)
    return vertices[used].astype(np.float64), numbers.reshape(-1, 3)
