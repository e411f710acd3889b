"""The exact pattern in which a mix takes turns: which source gives the item at each position, for ever.

The pattern repeats after as few items as hold every source a whole number of times, and within them each source comes
as evenly as possible: after t items of the pattern, a source of share s has given less than one item more or less
than s t (R. Tijdeman, "The chairman assignment problem", 1980).
"""

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from math import isfinite, lcm
from numbers import Rational

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError

MAX_PERIOD = 10_000
LONGEST_PERIOD = 1_000_000  # that may be declared: the pattern is kept

Integers = NDArray[np.int64]


class Pattern:
    """Sources by position, in exact proportions.

    Every window of `period` consecutive positions, wherever it starts, holds `counts[s]` items of source s; in any
    other window a source has less than two items more or less than its share.

    Attributes:
        period: number of items after which the pattern repeats.
        counts: (sources,) int64 items of each source in a period.
    """

    def __init__(self, weights: Sequence[float | Fraction], period: int | None = None) -> None:
        """Find the counts.

        Args:
            weights: one a source, above zero, of any sum. A float means the fraction that a person would write for it:
                0.1 is 1/10, and 1 / 3 is one third.
            period: length of a window in which the proportions must be exact; by default, the shortest there is, up to
                `MAX_PERIOD`. The pattern may repeat within it.

        Raises:
            UsageError: no weights, one that is not above zero, or no such period; the message says what would do.
        """
        shares = _shares(weights)
        exact = lcm(*(share.denominator for share in shares))
        if exact > MAX_PERIOD if period is None else period < 1 or period % exact:
            raise UsageError(_advice(shares, exact, period))
        if exact > LONGEST_PERIOD:
            raise UsageError(f"weights with a period of {exact} items, more than {LONGEST_PERIOD}: round them")
        self.period = exact
        self.counts: Integers = np.array([int(share * exact) for share in shares], np.int64)

    def source(self, positions: NDArray[np.integer]) -> tuple[Integers, Integers]:
        """What stands at some positions, each at least 0, in any order.

        Args:
            positions: (n,) integers.

        Returns:
            (n,) int64 source numbers, and (n,) int64 how many items of the same source come before: 0, 1, 2, ... for
            those of one source.
        """
        sequence, before = self._cycle
        rounds, place = np.divmod(np.asarray(positions, np.int64), self.period)
        sources = sequence[place]
        return sources, rounds * self.counts[sources] + before[place]

    def drawn(self, end: int) -> Integers:
        """Items of each source, (sources,) int64, among positions 0 to `end` (not included)."""
        rounds, place = divmod(end, self.period)
        return rounds * self.counts + np.bincount(self._cycle[0][:place], minlength=len(self.counts))

    @cached_property
    def _cycle(self) -> tuple[Integers, Integers]:
        """One period: (period,) source numbers, and how many of the same source come before in it."""
        sequence = _spread(self.counts)
        before = np.empty_like(sequence)
        for number, count in enumerate(self.counts):
            before[sequence == number] = np.arange(count)
        return sequence, before


def _spread(counts: Integers) -> Integers:
    """(sum of counts,) source numbers, every source as evenly spread as can be.

    At every step, among the sources that lag enough, the one whose next item is due first: Tijdeman's rule, which keeps
    every source within 1 - 1 / (2 n - 2) items of its share. Exact, in multiples of 1 / (period (2 n - 2)).
    """
    period, spare = int(counts.sum()), max(2 * len(counts) - 2, 1)
    lag = np.zeros(len(counts), np.int64)
    sequence = np.empty(period, np.int64)
    for step in range(period):
        lag += counts * spare
        due = np.where(lag >= period, (period * (spare - 1) - lag) / counts, np.inf)
        chosen = due.argmin()
        lag[chosen] -= period * spare
        sequence[step] = chosen
    return sequence


def _shares(weights: Sequence[float | Fraction]) -> list[Fraction]:
    """The weights as fractions whose sum is one."""
    if not len(weights):
        raise UsageError("a mix needs at least one source")
    for weight in weights:
        if not (isfinite(weight) and weight > 0):
            raise UsageError(f"weights of a mix are numbers above zero, not {weight!r}: leave such a source out")
    fractions = [_fraction(weight) for weight in weights]
    total = sum(fractions)
    return [fraction / total for fraction in fractions]


def _fraction(weight: float | Fraction) -> Fraction:
    """The fraction that a number stands for: of small terms if there is one, else its decimals."""
    if isinstance(weight, Rational):  # integers, too, also numpy's
        return Fraction(int(weight.numerator), int(weight.denominator))
    simple = Fraction(float(weight)).limit_denominator(MAX_PERIOD)
    return simple if float(simple) == weight else Fraction(repr(float(weight)))


def _advice(shares: list[Fraction], exact: int, period: int | None) -> str:
    """Why there is no exact pattern, and what to do."""
    length = MAX_PERIOD if period is None else period
    problem = f"no window of up to {MAX_PERIOD} items" if period is None else f"no window of {length} items"
    advice = f"{problem} holds these shares exactly, but one of {exact} does"
    if period is not None and exact <= MAX_PERIOD:
        advice += f": give period={exact} or a multiple of it"
    elif period is None:
        advice += f": give period={exact}"
    counts = _nearest(shares, length)
    return advice if min(counts) < 1 else f"{advice}, or the weights {counts}, which are close and exact in {length}"


def _nearest(shares: list[Fraction], length: int) -> list[int]:
    """Whole numbers nearest to the shares of `length`, which is their sum (the method of largest remainders)."""
    counts = [int(share * length) for share in shares]
    order = sorted(range(len(shares)), key=lambda at: counts[at] - shares[at] * length)
    for at in order[: length - sum(counts)]:
        counts[at] += 1
    return counts
