"""Spans of pools and windows, counted out one element at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.errors import FormatError
from tessera.datasets.loading.cuts import Sample, pool_spans, strata_spans, window_counts, window_spans

SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=5)


def elements(spans):
    return [first + i for first, count in spans for i in range(count)]


@given(SIZES, st.integers(1, 200), st.integers(0, 2**63))
def test_a_draw_has_the_asked_length_and_every_stratum_its_share(sizes, count, key):
    bounds = np.cumsum([0, *sizes])[None]
    (spans,) = strata_spans(Sample("points", count), bounds, key, np.array([7]))
    if not sum(sizes):
        assert isinstance(spans, FormatError)
        return
    found = np.array(elements(spans))
    assert len(found) == count and all(n > 0 for _, n in spans)
    assert found.min() >= 0 and found.max() < sum(sizes)
    strata = np.bincount(np.searchsorted(bounds[0, 1:], found, side="right"), minlength=len(sizes))
    assert (np.abs(strata - count * np.array(sizes) / sum(sizes)) < 1).all()


@given(SIZES, st.data(), st.integers(0, 2**63))
def test_strata_give_what_was_asked_of_them_where_they_can(sizes, data, key):
    asked = data.draw(st.lists(st.integers(1, 50), min_size=len(sizes), max_size=len(sizes)))
    bounds, cut = np.cumsum([0, *sizes])[None], Sample("points", sum(asked), tuple(enumerate(asked)))
    (spans,) = strata_spans(cut, bounds, key, np.array([3]))
    if not sum(sizes):
        assert isinstance(spans, FormatError)
        return
    found = np.array(elements(spans))
    counts = np.bincount(np.searchsorted(bounds[0, 1:], found, side="right"), minlength=len(sizes))
    there = np.array(sizes) > 0
    assert counts.sum() == sum(asked) and (counts[there] >= np.array(asked)[there]).all() and not counts[~there].any()
    if there.all():
        assert counts.tolist() == asked


@pytest.mark.parametrize(
    "bounds", [[0, 5, 3, 9], [1, 5, 9, 9], [0, -1, 4, 4], [0, 0, 0, 0], [0, 4, 9, -2], [2**62, 0, -(2**62), 9]]
)
def test_bounds_that_are_none_are_refused(bounds):
    (found,) = strata_spans(Sample("points", 5), np.array([bounds]), 1, np.array([0]))
    assert isinstance(found, FormatError)


@given(st.integers(1, 50), st.integers(1, 120), st.integers(0, 2**63), st.integers(0, 2**60))
def test_a_pool_without_strata_goes_round(size, count, key, number):
    (spans,) = pool_spans(Sample("points", count), np.array([size]), key, np.array([number]))
    found = np.array(elements(spans))
    assert len(found) == count and ((found - found[0] - np.arange(count)) % size == 0).all()


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 20))
def test_windows_are_those_that_a_loop_cuts(size, window, stride):
    starts = []
    while len(starts) * stride < size:
        starts.append(len(starts) * stride)
        if starts[-1] + window >= size:
            break
    assert window_counts(np.array([size]), window, stride).tolist() == [len(starts)]
    spans = window_spans(window, starts, [size] * len(starts))
    assert [elements(span) for span in spans] == [[*range(s, min(s + window, size))] for s in starts]
    assert all(count > 0 for span in spans for _, count in span)
