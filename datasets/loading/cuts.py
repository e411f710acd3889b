"""Parts of a pool or of a sequence: which elements along one dimension a record gives this time.

Pools are in random order within each of their strata (a pool without strata: as a whole), so that a run of elements
that begins at a random place, and goes on at the stratum's first element when it reaches its last, is a random sample:
every element is as likely as any other, and reading it is reading one piece of the tar.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UsageError
from ..order import draw, key_of
from ..schema import Field, Schema
from .arguments import whole_number

LONGEST_POOL = (1 << 32) - 1  # elements that `draw` tells apart
MOST_STRATA = 4096
Spans = list[tuple[int, int]]  # (first element, elements)
Request = int | Mapping[str | int, int]


@dataclass(frozen=True)
class Sample:
    """A keyed draw of `count` elements of a pool.

    Attributes:
        dimension: the pool's.
        count: elements in all.
        strata: (stratum, elements) asked for; None takes all strata in their own proportions.
        bounds: the field with the strata's first elements and the end, None where the pool has none.
    """

    dimension: str
    count: int
    strata: tuple[tuple[int, int], ...] | None = None
    bounds: Field | None = None


@dataclass(frozen=True)
class Window:
    """A run of `count` elements of a sequence; what lies behind its end repeats the last one."""

    dimension: str
    count: int


def sample_of(schema: Schema, dimension: str, request: Request, table: str) -> Sample:
    """The draw that a user asked for: a number of elements, or a number for each stratum, by name or number.

    The strata of a pool over dimension `points` are told by the field `points_strata` (S + 1,): the first element of
    each, and the end; its option `strata` may name them.

    Raises:
        UsageError: counts that are none, or strata that the pool does not have.
        FormatError: the schema's field of strata is none.
    """
    bounds = schema.by_name.get(f"{dimension}_strata")
    what = f"sample of {dimension!r} in table {table!r}"
    count, names = _strata_of(schema, bounds) if bounds is not None else (0, [])
    if not isinstance(request, Mapping):
        _check_count(request, what)
        return Sample(dimension, request, None, bounds)
    if bounds is None:
        raise UsageError(f"{what}: the pool has no strata (there is no field {dimension}_strata); give a number")
    known = [*names, *range(count)]
    strata = []
    for name, wanted in request.items():
        if name not in known:
            raise UsageError(f"{what}: no stratum {name!r} (strata: {', '.join(map(str, known))})")
        _check_count(wanted, f"{what}, stratum {name!r}")
        strata.append((names.index(name) if isinstance(name, str) else name, wanted))
    return Sample(dimension, sum(wanted for _, wanted in strata), tuple(strata), bounds)


def _strata_of(schema: Schema, bounds: Field) -> tuple[int, list[str]]:
    """Number of strata that a field tells of, and their names.

    Raises:
        FormatError: it is no list of so many bounds.
    """
    names = bounds.options.get("strata", ())
    sides = schema.shape(bounds, dict.fromkeys(schema.free, 0))
    good = len(sides) == 1 and 2 <= sides[0] <= MOST_STRATA and bounds.dtype != "json"
    good = good and np.dtype(bounds.dtype).kind in "iu" and isinstance(names, list | tuple)
    if not good or len(names) >= sides[0] or not all(isinstance(name, str) for name in names):
        raise FormatError(f"field {bounds.name!r} of the schema is no list of strata (integers, of fixed number)")
    return sides[0] - 1, list(names)


def _check_count(count: object, what: str) -> None:
    try:
        whole_number("", count, 1)
    except UsageError as error:
        raise UsageError(f"{what}: {count!r} is no number of elements") from error


def pool_spans(cut: Sample, sizes: NDArray[np.int64] | int, key: int, ids: NDArray[np.int64]) -> list[Spans]:
    """Spans of a pool without strata.

    Args:
        cut: the draw.
        sizes: elements of each record's pool, (n,) or one number for all, 1 to `LONGEST_POOL`.
        key: of the epoch.
        ids: (n,) numbers of the draws.

    Returns:
        For each record, spans of `cut.count` elements in all; a smaller pool gives each element several times.
    """
    starts = draw(key, ids, sizes)
    each = repeat(sizes, len(ids)) if isinstance(sizes, int) else sizes.tolist()
    pairs = zip(starts.tolist(), each, strict=True)
    return [_around(0, size, start, cut.count) for start, size in pairs]


def strata_spans(cut: Sample, bounds: NDArray[np.int64], key: int, ids: NDArray[np.int64]) -> list[Spans | FormatError]:
    """Spans of pools with strata; what an empty stratum cannot give is taken from the whole pool.

    Args:
        cut: the draw.
        bounds: (n, S + 1) first element of each stratum, and the end.
        key: of the epoch.
        ids: (n,) numbers of the draws.

    Returns:
        For each record its spans, or an error where its pool is empty or its bounds are none.
    """
    good = (bounds[:, 0] == 0) & (bounds[:, 1:] >= bounds[:, :-1]).all(1) & (bounds[:, -1] > 0)
    good &= bounds[:, -1] <= LONGEST_POOL
    sizes = np.diff(np.where(good[:, None], bounds, 0), axis=1)
    counts = _counts(cut, sizes)
    strata = np.arange(sizes.shape[1])
    draws = [draw(key_of(key, "stratum", int(s)), ids, np.maximum(sizes[:, s], 1)) for s in strata]
    starts = np.stack(draws, 1)
    found: list[Spans | FormatError] = []
    rows = zip(good.tolist(), bounds.tolist(), sizes.tolist(), counts.tolist(), starts.tolist(), strict=True)
    for fine, first, size, count, start in rows:
        if not fine:
            found.append(FormatError(f"its pool {cut.dimension!r} is empty, or its strata are damaged"))
            continue
        spans: Spans = []
        for low, n, k, at in zip(first[:-1], size, count, start, strict=True):
            if k:
                spans += _around(low, n, at, k)
        found.append(spans)
    return found


def _counts(cut: Sample, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, S) elements to take of each stratum, `cut.count` in each row."""
    there = np.maximum(sizes, 0)
    if cut.strata is None:
        return _shared(np.full(len(sizes), cut.count), there)
    wanted = np.zeros_like(sizes)
    for stratum, count in cut.strata:
        wanted[:, stratum] += count
    wanted[there == 0] = 0
    return wanted + _shared(cut.count - wanted.sum(1), there)


def _shared(count: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shares of `count` (n,) in proportion to `sizes` (n, S), by largest remainder."""
    total = np.maximum(sizes.sum(1, keepdims=True), 1)
    exact = count[:, None] * sizes
    whole = exact // total
    rest = count - whole.sum(1)
    rank = np.argsort(np.argsort(-(exact - whole * total), axis=1, kind="stable"), axis=1, kind="stable")
    return whole + (rank < rest[:, None])


def _around(first: int, size: int, start: int, count: int) -> Spans:
    """`count` elements from `start` on, going round a stratum of `size` elements that begins at `first`."""
    spans = []
    while count > 0:
        run = min(count, size - start)
        spans.append((first + start, run))
        start, count = 0, count - run
    return spans


def window_spans(window: int, starts: Sequence[int], sizes: Sequence[int]) -> list[Spans]:
    """The part of each window that lies in its sequence."""
    return [[(start, min(window, size - start))] for start, size in zip(starts, sizes, strict=True)]


def window_counts(sizes: NDArray[np.int64], window: int, stride: int) -> NDArray[np.int64]:
    """Windows of each sequence: one at every stride, up to the first that reaches the end; none of nothing.

    With a stride above the window, elements between windows are left out, and maybe the end.
    """
    enough = np.maximum(-(-(sizes - window) // stride), 0) + 1
    return np.minimum(enough, -(-sizes // stride))
