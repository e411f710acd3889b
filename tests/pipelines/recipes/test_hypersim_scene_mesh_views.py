"""Visibility, covisibility and neighbours of the records against lines of sight in the demo's exact meshes."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import transform, unproject
from tessera.datasets.visibility import ViewState, unpack_visibility

from .exact_room import SCENES, ExactRoom, exact_room, scene_records

TAU = 0.02  # of the distance: the tolerance that the docs state
PIXELS = 4_000  # of a frame: every so many-th that is measured
ROUNDED = 2e-3  # of a distance: two float16 of each side, and what the tolerance adds for them
NEAR = 1e-3  # metres before a surface
EDGE = 1e-3  # pixels


@dataclass(frozen=True)
class Pairs:
    """Some measured pixels of all frames in each of their neighbours; (N,) each.

    Attributes:
        state: as stored.
        inside: it falls into the neighbour's picture.
        rho: metres from the neighbour's camera.
        first: exact distance of what that camera has in the point's own direction.
        centre: exact distance of what it has through the centre of the pixel that the point falls into.
        shifted: the same of a pixel half a pixel away.
        stored: distance in the neighbour's record of that pixel.
        edge: the point falls on the line between two pixels, or on the picture's edge.
    """

    state: np.ndarray
    inside: np.ndarray
    rho: np.ndarray
    first: np.ndarray
    centre: np.ndarray
    shifted: np.ndarray
    stored: np.ndarray
    edge: np.ndarray


def some(record: Record, values: np.ndarray) -> np.ndarray:
    """About PIXELS rows of a record's array (h, w, ...), always those of the same measured pixels."""
    rows = values[np.isfinite(record["distance"])]
    return rows[:: max(1, len(rows) // PIXELS)]


def some_points(record: Record) -> np.ndarray:
    """(N, 3) world metres of those pixels."""
    return some(record, transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"]))


def is_full(dataset: Dataset) -> bool:
    """Whether this is the data set of the raw size, or that of half of it."""
    return next(iter(dataset.table("frames")))["distance"].shape == (192, 256)


def through(room: ExactRoom, record: Record, pixel: np.ndarray) -> np.ndarray:
    """Exact distances (N,) through places (N, 2) of a record's picture, by its stored camera."""
    pose = record["world_from_camera"]
    ways = np.concatenate([pixel, np.ones((len(pixel), 1))], axis=1) @ np.linalg.inv(record["intrinsics"]).T
    return room.cast(pose[:3, 3], ways / np.linalg.norm(ways, axis=1, keepdims=True) @ pose[:3, :3].T)


def pair(room: ExactRoom, record: Record, other: Record, state: np.ndarray) -> Pairs:
    """What the exact mesh says of a record's pixels in a neighbour; `state` as stored, (h, w)."""
    look = room.sights(other, some_points(record))
    pixel = np.where(look.inside[:, None], look.pixel, 0.5)
    cell = np.floor(pixel)
    stored = other["distance"][tuple(cell.astype(int).T[::-1])].astype(float)
    edge = (np.abs(pixel - np.rint(pixel)) < EDGE).any(axis=1) & look.inside
    return Pairs(some(record, state), look.inside, look.rho, look.first,
                 through(room, other, cell + 0.5), through(room, other, cell + 1.0), stored, edge)  # fmt: skip


@pytest.fixture(scope="module")
def pairs(dataset: Dataset, demo: Path) -> dict[str, Pairs]:
    found = {}
    for scene in SCENES:
        room, table = exact_room(demo, scene), dataset.table("frames")
        every = []
        for record in scene_records(dataset, scene):
            keys = record.columns["neighbours"]
            states = unpack_visibility(record["visibility"], len(keys))
            assert (states[:, ~np.isfinite(record["distance"])] == ViewState.UNKNOWN).all()
            every += [pair(room, record, table[key], state) for key, state in zip(keys, states, strict=True)]
        columns = zip(*(vars(one).values() for one in every), strict=True)
        found[scene] = Pairs(*(np.concatenate(column) for column in columns))
    return found


def judged(found: Pairs, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States (N,) by the distances (N,) that the neighbour's pixels measure, and where these are beyond doubt."""
    gap = found.rho - distance
    state = np.where(gap > 0, ViewState.OCCLUDED, ViewState.INCONSISTENT)
    state[np.abs(gap) <= TAU * found.rho] = ViewState.VISIBLE
    state[~found.inside | ~np.isfinite(distance)] = ViewState.UNKNOWN
    doubtful = np.abs(np.abs(gap) - TAU * found.rho) < ROUNDED * found.rho
    return state, ~(found.inside & np.isfinite(distance) & doubtful) & ~found.edge


@pytest.mark.parametrize("scene", SCENES)
def test_states_are_those_of_the_exact_distance_at_the_neighbours_pixel(
    dataset: Dataset, pairs: dict[str, Pairs], scene: str
) -> None:
    """Through the pixel's centre; of a smaller picture where its pixel has chosen the surface that the centre sees."""
    found = pairs[scene]
    state, sure = judged(found, found.centre)
    with np.errstate(invalid="ignore"):
        same = np.abs(found.stored / found.centre - 1) < ROUNDED / 2
    own = ~found.inside | same | (np.isnan(found.stored) & np.isinf(found.centre))
    full = is_full(dataset)
    assert own[found.inside].mean() > (0.995 if full else 0.75)
    wrong = (state != found.state) & sure & (own | full)
    assert wrong.sum() <= 1e-4 * len(wrong), np.unique(state[wrong], return_counts=True)
    counts = np.bincount(found.state, minlength=4)
    assert (counts > 100).all(), counts
    assert (state != found.state)[sure].mean() < 0.05


def test_trap_half_pixel(dataset: Dataset, pairs: dict[str, Pairs]) -> None:
    """Half a pixel off, hundreds of states would be others: the test above can see it."""
    found = pairs[SCENES[0]]
    state, sure = judged(found, found.shifted)
    assert ((state != found.state) & sure).mean() > 5e-3


def test_visible_pixels_are_in_free_sight_and_occluded_ones_are_not(dataset: Dataset, pairs: dict[str, Pairs]) -> None:
    """Along the exact line of sight; between 1 mm and the tolerance of 2 % nothing is decided.

    Where the line just passes an edge, the pixel's centre may see what is before or behind: hence the shares.
    """
    full = is_full(dataset)
    free, hidden = [], []
    for found in pairs.values():
        measured = found.inside & np.isfinite(found.first)
        free.append(found.state[measured & (found.first > found.rho - NEAR)])
        hidden.append(found.state[measured & (found.first < (1 - TAU - ROUNDED) * found.rho)])
    in_sight = np.bincount(np.concatenate(free), minlength=4) / sum(map(len, free))
    behind = np.bincount(np.concatenate(hidden), minlength=4) / sum(map(len, hidden))
    assert in_sight[ViewState.VISIBLE] > (0.98 if full else 0.96), in_sight
    assert in_sight[ViewState.OCCLUDED] < (0.007 if full else 0.015), in_sight
    assert behind[ViewState.OCCLUDED] > (0.96 if full else 0.9), behind
    assert behind[ViewState.UNKNOWN] < 2e-3, behind


def exact_share(room: ExactRoom, record: Record, other: Record) -> float:
    """Share of a record's measured pixels that another record's camera sees, by exact lines of sight."""
    look = room.sights(other, some_points(record))
    seen = look.inside & np.isfinite(look.first) & (np.abs(look.rho - look.first) <= TAU * look.rho)
    return float(seen.mean())


@pytest.mark.parametrize("scene", SCENES)
def test_covisibility_is_exact_and_the_neighbours_are_the_best(dataset: Dataset, demo: Path, scene: str) -> None:
    """Nearly: neighbours are chosen by a sample of 768 pixels; their order is that of all pixels."""
    room, records = exact_room(demo, scene), scene_records(dataset, scene)
    slack = 0.02 if is_full(dataset) else 0.035
    share = np.array([[exact_share(room, a, b) for b in records] for a in records])
    exact = dict(zip((r.key for r in records), np.minimum(share, share.T), strict=True))
    names = list(exact)
    for record in records:
        chosen = record.columns["neighbours"]
        assert record.key not in chosen and len(set(chosen)) == len(chosen) == 4 and set(chosen) <= set(names)
        mine = {key: exact[record.key][names.index(key)] for key in names if key != record.key}
        np.testing.assert_allclose(record["covisibility"], [mine[key] for key in chosen], atol=slack)
        assert min(mine[key] for key in chosen) > max(v for k, v in mine.items() if k not in chosen) - 0.01
        assert all(mine[better] > mine[worse] - 0.01 for better, worse in pairwise(chosen))
        assert (np.diff(record["covisibility"]) <= 0).all()
    matrix = dataset.table("scenes")[scene]["covisibility"]
    off = ~np.eye(len(records), dtype=bool)
    np.testing.assert_allclose(matrix[off], np.minimum(share, share.T)[off], atol=slack + 0.015)


def test_neighbours_are_of_the_same_scene_and_split(dataset: Dataset) -> None:
    table = dataset.table("frames")
    for record in table:
        for key in record.columns["neighbours"]:
            assert (table[key].unit, table[key].split) == (record.unit, record.split)
