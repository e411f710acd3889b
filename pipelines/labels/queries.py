"""Query points of a frame: where its signed distance is sampled, rounded as they are stored, sorted into strata."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.octree import morton_decode
from ...datasets.storage import Linear
from ...datasets.voxels import VoxelState
from .scene_sdf import SurfaceIndex, signed_distance
from .surfels import Surfels
from .voxels import VoxelGrid

VERSION = 1  # raised whenever a point, its place in the order or an offset changes

STORAGE = Linear(-1.0, 1.0)  # of the points; 0.16 mm a step in a cube of 10.24 m
SIGMAS = (0.01, 0.05)  # metres, of the offsets along the normal in the strata near the surface
COUNTS = (12_288, 8_192, 12_288)  # points in the two strata near the surface, and in the cube
KNOWN = 0.5  # share of the cube's points that are drawn where some frame has seen free space or a surface
STRATA = tuple(f"{place}_{side}" for place in ("near", "near_5cm", "cube") for side in ("inside", "outside", "unsure"))
PARTS = len(STRATA)  # of the points: three strata, each inside, outside, not valid
TRIES = 24  # draws for a point near the surface until it is within the cube

_EDGE = 1 - 3 / 65_535  # points up to here are still strictly inside the cube when rounded

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Queries:
    """Labelled query points of a frame.

    Attributes:
        points: (Q, 3) float32 in the cube's frame, 2 (x - centre) / side, strictly within (-1, 1), on `STORAGE`'s grid.
        sdf: (Q,) float16 metres, negative inside; a guess where not valid.
        valid: (Q,) bool, whether the distance can be trusted (`scene_sdf.signed_distance`).
        state: (Q,) uint8 of `VoxelState` over all frames.
        strata: (10,) int32; part 3 s + k is the slice strata[3 s + k] : strata[3 s + k + 1], where s is the stratum (0
            and 1 near the surface by `SIGMAS`, 2 the cube) and k says which: 0 inside (valid, sdf < 0), 1 outside
            (valid), 2 not valid. The order within a part is random: a slice of it is a fair draw.
    """

    points: NDArray[np.float32]
    sdf: NDArray[np.float16]
    valid: NDArray[np.bool_]
    state: NDArray[np.uint8]
    strata: NDArray[np.int32]


def frame_queries(
    surfels: Surfels, index: SurfaceIndex, grid: VoxelGrid, cube: NDArray[np.float64], depth: int,
    rng: np.random.Generator, counts: tuple[int, int, int] = COUNTS,
) -> Queries:  # fmt: skip
    """Points of a frame's cube with their distances to the surface that all frames of its scene have seen.

    Points are rounded first and everything else is computed from what the record will give back, so that no label
    belongs to a place next to its point. The side that a point is sorted to is that of the stored float16.

    Args:
        surfels: the scene's fused surface.
        index: the same, made ready for questions.
        grid: the scene's voxels, after all its frames.
        cube: (4,) float64 centre x, y, z and side, metres, world frame, on the lattice of the voxels.
        depth: the cube's side is 2^depth voxels.
        rng: keyed generator of this frame's points.
        counts: points in each stratum.
    """
    points, stratum = sample_points(surfels, cube, grid.cube_states(cube, depth), rng, counts)
    places = world_points(points, cube)
    distance, valid = signed_distance(places, index, grid)
    sdf = distance.astype(np.float16)
    order, strata = arrange(stratum, sdf, valid, rng)
    return Queries(points[order], sdf[order], valid[order], grid.lookup(places[order]), strata)


def world_points(points: NDArray[np.float32], cube: NDArray[np.float64]) -> Points:
    """Places (Q, 3) float64, metres, world frame, of points (Q, 3) in the frame of a cube (4,)."""
    return cube[:3] + points.astype(np.float64) * (cube[3] / 2)


def sample_points(
    surfels: Surfels, cube: NDArray[np.float64], states: NDArray[np.uint8], rng: np.random.Generator,
    counts: tuple[int, int, int] = COUNTS,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:  # fmt: skip
    """Points in a cube before anything is known of them.

    Near the surface: around surfels within the cube, seen by this frame or by others, each as likely as the next;
    Gaussian along the normal, and evenly over a disc of half the spacing. In the cube: a share of `KNOWN` evenly over
    the voxels that are FREE or SURFACE, as a room may fill but a twentieth of its cube; the others evenly over all of
    it. As positive distances are valid in such voxels only, those points are still even over where they are valid. With
    no surfel in the cube, all points are of the last stratum.

    Args:
        surfels: the scene's fused surface.
        cube: (4,) float64 centre x, y, z and side, metres, world frame.
        states: (8^depth,) uint8 of `VoxelState` of the cube's voxels in Morton order.
        rng: generator.
        counts: points in each stratum.

    Returns:
        (Q, 3) float32 in the cube's frame, strictly within (-1, 1), as `STORAGE` gives them back; (Q,) uint8 strata.
    """
    inside = _within(surfels.position, cube)
    if not len(inside):
        counts = (0, 0, sum(counts))
    drawn = [
        _near_surface(surfels, inside, cube, sigma, count, rng)
        for sigma, count in zip(SIGMAS, counts[:2], strict=True) if count
    ]  # fmt: skip
    points = np.concatenate([*drawn, _in_cube(states, counts[2], rng)])
    rounded = STORAGE.unpack(STORAGE.pack(points), np.dtype(np.float32))
    return rounded, np.repeat(np.arange(3, dtype=np.uint8), counts)


def arrange(
    stratum: NDArray[np.uint8], sdf: NDArray[np.floating], valid: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Order of points by stratum and side, shuffled within.

    Args:
        stratum: (Q,) 0..2.
        sdf: (Q,) as stored.
        valid: (Q,) bool.
        rng: generator.

    Returns:
        (Q,) rows in their new order; (10,) int32 boundaries of the nine parts, as `Queries.strata`.
    """
    part = 3 * stratum + np.where(valid, np.where(sdf < 0, 0, 1), 2).astype(np.uint8)
    shuffled = rng.permutation(len(part))
    order = shuffled[np.argsort(part[shuffled], kind="stable")]
    return order, np.searchsorted(part[order], np.arange(PARTS + 1)).astype(np.int32)


def _within(positions: NDArray[np.float32], cube: NDArray[np.float64]) -> NDArray[np.intp]:
    """Rows of positions (N, 3) strictly inside a cube; one axis after the other, as there may be millions."""
    rows = np.arange(len(positions))
    for axis in range(3):
        rows = rows[np.abs(positions[rows, axis] - cube[axis]) < cube[3] / 2]
    return rows


def _near_surface(
    surfels: Surfels, inside: NDArray[np.intp], cube: NDArray[np.float64], sigma: float, count: int,
    rng: np.random.Generator,
) -> Points:  # fmt: skip
    """Points (count, 3) in the cube's frame around the surfels `inside` it; drawn again where they leave it."""
    points = np.full((count, 3), 2.0)
    left = np.arange(count)
    for _ in range(TRIES):
        rows = inside[rng.integers(len(inside), size=len(left))]
        normal = surfels.normal[rows].astype(np.float64)
        aside = rng.normal(size=normal.shape)
        aside -= (aside * normal).sum(axis=1, keepdims=True) * normal
        aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
        radius = surfels.spacing / 2 * np.sqrt(rng.random((len(left), 1)))
        places = surfels.position[rows] + radius * aside + sigma * rng.normal(size=(len(left), 1)) * normal
        points[left] = (places - cube[:3]) * (2 / cube[3])
        left = left[(np.abs(points[left]) > _EDGE).any(axis=1)]
        if not len(left):
            break
    points[left] = rng.uniform(-_EDGE, _EDGE, (len(left), 3))  # all surfels at the cube's very side
    return points


def _in_cube(states: NDArray[np.uint8], count: int, rng: np.random.Generator) -> Points:
    """Points (count, 3) in the cube's frame: evenly over known voxels for a share of `KNOWN`, then over all of it."""
    known = np.flatnonzero(states >= VoxelState.SURFACE)
    points = rng.uniform(-_EDGE, _EDGE, (count, 3))
    if len(known):
        chosen = known[rng.integers(len(known), size=round(KNOWN * count))].astype(np.uint32)
        across = round(len(states) ** (1 / 3))
        voxel = morton_decode(chosen) + rng.random((len(chosen), 3))
        points[: len(chosen)] = np.clip(voxel * (2 / across) - 1, -_EDGE, _EDGE)
    return points
