"""Visibility's two bits a neighbour: layout by hand, round trips, and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tessera.datasets.visibility import NEIGHBOURS, ViewState, pack_visibility, unpack_visibility

SHAPES = st.tuples(st.integers(0, NEIGHBOURS), st.integers(0, 5), st.integers(0, 7))


@given(SHAPES.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3))))
def test_round_trip(states):
    packed = pack_visibility(states)
    assert packed.dtype == np.uint8 and packed.shape == states.shape[1:]
    np.testing.assert_array_equal(unpack_visibility(packed, len(states)), states)
    assert not unpack_visibility(packed)[len(states) :].any(), "absent neighbours are UNKNOWN"


@given(arrays(np.uint8, (3, 4)))
def test_every_byte_is_a_state_of_four_neighbours(packed):
    np.testing.assert_array_equal(pack_visibility(unpack_visibility(packed)), packed)


def test_layout_by_hand():
    states = [ViewState.OCCLUDED, ViewState.VISIBLE, ViewState.UNKNOWN, ViewState.INCONSISTENT]
    packed = pack_visibility(np.array(states, np.uint8).reshape(4, 1, 1))
    assert packed.item() == 0b11_00_01_10


def test_stored_values_never_change():
    assert dict(ViewState.__members__) == {"UNKNOWN": 0, "VISIBLE": 1, "OCCLUDED": 2, "INCONSISTENT": 3}


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (np.zeros((5, 2, 2), np.uint8), "up to 4"),
        (np.zeros((2, 2), np.uint8), "up to 4"),
        (np.zeros((1, 2, 2), np.int64), "int64"),
        (np.full((1, 2, 2), 4, np.uint8), "holds 4"),
    ],
)
def test_what_does_not_fit_is_refused(states, said):
    with pytest.raises(ValueError, match=said):
        pack_visibility(states)


@pytest.mark.parametrize("count", [-1, 5])
def test_unpacking_more_than_is_stored_is_refused(count):
    with pytest.raises(ValueError, match=f"{count} neighbours"):
        unpack_visibility(np.zeros((2, 2), np.uint8), count)


def test_unpacking_another_dtype_is_refused():
    with pytest.raises(ValueError, match="int32"):
        unpack_visibility(np.zeros((2, 2), np.int32))
