"""The pattern of a mix: exact counts in every window of a period, and evenly spread within it."""

import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.errors import UsageError
from tessera.datasets.pattern import MAX_PERIOD, Pattern

weights = st.lists(st.integers(1, 40), min_size=1, max_size=9)


def items(pattern, count, start=0):
    return pattern.source(np.arange(start, start + count))[0]


@given(weights, st.integers(0, 10**12))
def test_every_window_of_a_period_holds_the_exact_counts(numbers, start):
    pattern = Pattern(numbers)
    assert [Fraction(int(count), pattern.period) for count in pattern.counts] == [
        Fraction(number, sum(numbers)) for number in numbers
    ]
    sequence = items(pattern, 2 * pattern.period, start)
    for source, count in enumerate(pattern.counts):
        total = np.concatenate([[0], np.cumsum(sequence == source)])
        assert (total[pattern.period :] - total[: -pattern.period] == count).all()


@given(weights)
def test_every_beginning_is_within_one_item_and_every_window_within_two(numbers):
    pattern = Pattern(numbers)
    sequence = items(pattern, 2 * pattern.period)
    ideal = np.arange(2 * pattern.period + 1)[:, None] * pattern.counts / pattern.period
    given_so_far = np.concatenate(
        [[[0] * len(numbers)], np.cumsum(sequence[:, None] == np.arange(len(numbers)), axis=0)]
    )
    error = given_so_far - ideal
    assert np.abs(error).max() <= 1 - 1 / max(2 * len(numbers) - 2, 1) + 1e-9  # Tijdeman's bound
    assert (error.max(axis=0) - error.min(axis=0)).max() < 2


@given(weights, st.lists(st.integers(0, 5000), max_size=30))
def test_numbers_within_a_source_count_up(numbers, positions):
    pattern = Pattern(numbers)
    sequence, before = pattern.source(np.arange(5001))
    for source in range(len(numbers)):
        np.testing.assert_array_equal(before[sequence == source], np.arange((sequence == source).sum()))
    some = pattern.source(np.array(positions, np.int64))
    np.testing.assert_array_equal(some[0], sequence[positions])
    np.testing.assert_array_equal(some[1], before[positions])
    for end in positions:
        np.testing.assert_array_equal(pattern.drawn(end), np.bincount(sequence[:end], minlength=len(numbers)))


@pytest.mark.parametrize(
    ("given_weights", "counts"),
    [
        ([1], [1]),
        ([0.7, 0.3], [7, 3]),
        ([0.1, 0.2, 0.7], [1, 2, 7]),
        ([1 / 3, 2 / 3], [1, 2]),
        ([1 / 7, 1 / 7, 5 / 7], [1, 1, 5]),
        ([0.333, 0.667], [333, 667]),
        ([2, 4], [1, 2]),
        ([Fraction(1, 6), Fraction(1, 3), 0.5], [1, 2, 3]),
        ([np.float64(0.25), np.float32(0.75)], [1, 3]),
        ([9999, 1], [9999, 1]),
        (np.array([6, 2]), [3, 1]),
    ],
)
def test_weights_mean_what_a_person_would_write(given_weights, counts):
    assert Pattern(given_weights).counts.tolist() == counts


def test_sequences():
    assert items(Pattern([1, 1]), 4).tolist() == [0, 1, 0, 1]
    assert items(Pattern([3, 1]), 4).tolist().index(1) in (1, 2)  # never at an end: windows would bunch up
    assert items(Pattern([2, 3]), 10).tolist() == items(Pattern([0.4, 0.6]), 10, 5).tolist()


def test_longest_period_far_out():
    pattern = Pattern([9999, 1])
    start = 10**15
    sources, before = pattern.source(np.arange(start, start + MAX_PERIOD))
    assert (sources == 1).sum() == 1 and before[sources == 1].tolist() == [10**11]


def test_a_declared_period_may_be_a_multiple():
    assert Pattern([0.7, 0.3], period=100).period == 10
    assert Pattern([20_001, 1], period=20_002).counts.tolist() == [20_001, 1]


def test_a_period_that_does_not_fit_names_those_that_do():
    with pytest.raises(UsageError, match=re.escape("no window of 8 items")) as error:
        Pattern([0.7, 0.3], period=8)
    assert "period=10 or a multiple" in str(error.value) and "[6, 2]" in str(error.value)
    assert Pattern([6, 2], period=8).counts.tolist() == [3, 1]
    with pytest.raises(UsageError, match=r"period=15001.*\[9999, 1\].*exact in 10000"):
        Pattern([15_000, 1])
    with pytest.raises(UsageError, match=r"up to 10000 items.*\[4142, 5858\]"):
        Pattern([2**0.5, 2])
    for period in (0, -10):
        with pytest.raises(UsageError, match="period=10 or a multiple"):
            Pattern([0.7, 0.3], period=period)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_bad_weights(bad):
    with pytest.raises(UsageError, match="above zero"):
        Pattern([1, bad])


def test_no_sources():
    with pytest.raises(UsageError, match="at least one source"):
        Pattern([])
