"""The pool of points of a scanned person: where its signed distance is known, in strata that a stream draws from.

Points are rounded as they are stored before anything is computed of them. The order within a stratum is random, so
that any slice of it is a fair draw.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import FormatError
from ...datasets.storage import Linear
from ...datasets.surface.surface import SignedDistance, Surface

VERSION = 2  # raised whenever a point, its place in the order or its distance changes
HALF = 2.0  # metres: the box that points are stored in reaches so far from the origin
STORAGE = Linear(-HALF, HALF)  # 61 micrometres a step
REGIONS = ("body", "face", "hands", "feet")
KINDS = {
    "near_1cm": (None, 0.01), "near_5cm": (None, 0.05), "face": (1, 0.01), "hands": (2, 0.005), "feet": (3, 0.01),
    "uniform": (None, None),
}  # fmt: skip
COUNTS = {"near_1cm": 120_000, "near_5cm": 150_000, "face": 40_000, "hands": 40_000, "feet": 20_000, "uniform": 30_000}
STRATA = tuple(f"{kind}_{side}" for kind in KINDS for side in ("inside", "outside"))
INSIDE, TRIES = 1 / 3, 8  # share of the uniform points that are sought inside; how often, where little is inside
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Pool:
    """Points about a scan.

    Attributes:
        points: (N, 3) float32 metres, world frame, on `STORAGE`'s grid.
        sdf: (N,) float16 metres, negative inside; a point is inside where this is below zero.
        face: (N,) int32 closest face of the scan.
        bary: (N, 3) float64 where on it.
        strata: (13,) int32; stratum s of `STRATA` is the slice strata[s] : strata[s + 1].
        doubt: share of points whose side is in doubt (`SignedDistance.doubt`).
    """

    points: NDArray[np.float32]
    sdf: NDArray[np.float16]
    face: NDArray[np.int32]
    bary: Floats
    strata: NDArray[np.int32]
    doubt: float


def scan_pool(
    surface: Surface,
    half_side: float,
    rng: np.random.Generator,
    regions: NDArray[np.uint8] | None = None,
    counts: Mapping[str, int] = COUNTS,
) -> Pool:
    """Draw the pool of a scan.

    Near the surface, places are drawn by area, and moved by a normal distribution in all directions. Where a scan has
    no region (no fit says where its hands are), its points are drawn within a centimetre of the whole surface instead,
    and its strata are empty. Of the uniform points, a third is sought inside, of which a cube has some hundredth part.

    Args:
        surface: the scan, metres, world frame.
        half_side: the cube that the uniform stratum fills reaches so far from the origin, metres.
        rng: keyed generator of this subject's points.
        regions: (F,) number of each face's region in `REGIONS`; None where nothing tells.
        counts: points of each of `KINDS`.

    Raises:
        FormatError: the scan reaches out of the box that points are stored in.
    """
    reach = float(np.abs(surface.tree.vertices[surface.tree.faces.reshape(-1)]).max())
    if reach > HALF or not 0 < half_side <= HALF:
        raise FormatError(
            f"the scan reaches {max(reach, half_side):.2f} m from its middle, more than {HALF} m; is its scale right?"
        )
    counts = _without_empty(dict(counts), surface, regions)
    drawn = []
    for kind, (region, sigma) in KINDS.items():
        if sigma is None:
            inside = _inside(surface, round(INSIDE * counts[kind]), half_side, rng)
            cube = rng.uniform(-half_side, half_side, (counts[kind] - len(inside), 3))
            drawn.append(np.concatenate([inside, cube]))
            continue
        chosen = None if region is None or regions is None else regions == region
        places = surface_samples(surface, counts[kind], rng, chosen)[0]
        drawn.append(places + rng.normal(scale=sigma, size=places.shape))
    kinds = np.repeat(np.arange(len(KINDS)), [len(part) for part in drawn])
    points = _rounded(np.concatenate(drawn))
    found = surface.signed_distance(points.astype(np.float64))
    return _arranged(points, kinds, found)


def _without_empty(counts: dict[str, int], surface: Surface, regions: NDArray[np.uint8] | None) -> dict[str, int]:
    """The counts, those of regions that the scan does not have given to the stratum next to the surface."""
    there = set() if regions is None else set(np.unique(regions[_areas(surface) > 0]).tolist())
    for kind, (region, _) in KINDS.items():
        if region is not None and region not in there:
            counts["near_1cm"] += counts[kind]
            counts[kind] = 0
    return counts


def _inside(surface: Surface, count: int, half_side: float, rng: np.random.Generator) -> Floats:
    """Up to so many places (n, 3), drawn evenly from what is inside the scan and the cube."""
    corners = surface.tree.vertices[surface.tree.faces.reshape(-1)]
    low, high = np.maximum(corners.min(0), -half_side), np.minimum(corners.max(0), half_side)
    found = [np.empty((0, 3))]
    for _ in range(TRIES):
        if sum(map(len, found)) >= count or (low >= high).any():
            break
        places = _rounded(rng.uniform(low, high, (8 * count, 3))).astype(np.float64)
        found.append(places[surface.signed_distance(places).distance.astype(np.float16) < 0])
    return np.concatenate(found)[:count]


def _rounded(places: Floats) -> NDArray[np.float32]:
    """Places as they are stored."""
    return STORAGE.unpack(STORAGE.pack(np.clip(places, -HALF, HALF)), np.dtype(np.float32))


def _areas(surface: Surface) -> Floats:
    """(F,) areas of the faces."""
    corners = surface.tree.vertices[surface.tree.faces]
    found: Floats = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return found


def surface_samples(
    surface: Surface, count: int, rng: np.random.Generator, chosen: NDArray[np.bool_] | None = None
) -> tuple[Floats, NDArray[np.int32], Floats]:
    """Places drawn evenly from a mesh's area.

    Args:
        surface: the mesh.
        count: how many.
        rng: keyed generator.
        chosen: (F,) faces that they are drawn from; all of them where it is None, or chooses no area.

    Returns:
        (n, 3) places, (n,) their faces, (n, 3) their barycentric coordinates.
    """
    corners = surface.tree.vertices[surface.tree.faces]
    areas = _areas(surface)
    if chosen is not None and (areas * chosen).sum() > 0:
        areas = areas * chosen
    ends = np.cumsum(areas)
    faces = np.searchsorted(ends, rng.uniform(0, ends[-1], count), side="right").clip(max=len(areas) - 1)
    root, share = np.sqrt(rng.uniform(size=count)), rng.uniform(size=count)
    bary = np.stack([1 - root, root * (1 - share), root * share], 1)  # R. Osada et al., "Shape distributions", 2002
    return np.einsum("nk,nki->ni", bary, corners[faces]), faces.astype(np.int32), bary


def _arranged(points: NDArray[np.float32], kinds: NDArray[np.int64], found: SignedDistance) -> Pool:
    """Sorted into strata by what is stored of the distance; within them as they were drawn."""
    sdf = found.distance.astype(np.float16)
    stratum = 2 * kinds + ~(sdf < 0)
    order = np.argsort(stratum, kind="stable")
    strata = np.searchsorted(stratum[order], np.arange(len(STRATA) + 1)).astype(np.int32)
    return Pool(points[order], sdf[order], found.face[order], found.bary[order], strata, found.doubt)
