"""A batch that is taken apart and put together again is the same batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets import Stream
from tessera.datasets.loading.packing import merged, row_bounds

from ..stream_data import same_batch
from .test_stack import REFERENCES


@pytest.mark.parametrize("fields", [None, REFERENCES])
@pytest.mark.parametrize("cuts", [[[0, 2, 5], [1, 3, 4]], [[4], [3], [0, 1, 2, 5]], [[5, 4, 3, 2, 1, 0]]])
def test_records_that_were_read_in_parts_are_those_of_one_batch(built, fields, cuts):
    """Two levels of references, ragged, optional, texts, and keys of lists of references."""
    stream = Stream(built.root, "frames", fields=fields)
    keys = ["s0-0003", "s1-0001", "s3-0002", "s2-0000", "s0-0001", "s1-0003"]
    parts = []
    for slots in cuts:
        batch = stream.get([keys[slot] for slot in slots])
        arrays = {name: value if isinstance(value, list) else value.numpy() for name, value in batch.items()}
        parts.append((slots, arrays))
    whole = merged(parts, 6)
    same_batch(stream.get(keys), {x: y if isinstance(y, list) else torch.from_numpy(y) for x, y in whole.items()})


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_lists_of_lists_are_cut_at_their_records(nested, random):
    """Records refer to several others, each of which has several points: counted out with plain lists."""
    point, records = 0, []
    for row in nested:
        records.append([[(point := point + 1) for _ in range(count)] for count in row])
    slots = list(range(len(records)))
    random.shuffle(slots)
    cut = random.randint(0, len(slots))
    halves = [part for part in (slots[:cut], slots[cut:]) if part]
    whole = merged([(part, pack([records[slot] for slot in part])) for part in halves], len(records))
    expected = pack(records)
    assert whole.keys() == expected.keys()
    for name in expected:
        np.testing.assert_array_equal(whole[name], expected[name], err_msg=name)
    bounds = row_bounds(expected, "near.points", len(records))
    assert np.diff(bounds).tolist() == [sum(row) for row in nested]


def pack(records):
    lists = [points for record in records for points in record]
    return {
        "near.offsets": np.cumsum([0, *map(len, records)]),
        "near.points": np.array([point for points in lists for point in points], np.int64),
        "near.points.offsets": np.cumsum([0, *map(len, lists)]),
        "near.note": [str(points) for points in lists],
        "near": [str(record) for record in records],
    }


@pytest.mark.parametrize("other", [np.zeros(1, np.int32), np.zeros((1, 2), np.int64), [3]])
def test_what_does_not_go_together_is_named(other):
    with pytest.raises(ValueError) as caught:
        merged([([0], {"a": np.zeros(1, np.int64)}), ([1], {"a": other})], 2)
    assert caught.value.args[0] == "a" and caught.value.args[1] != caught.value.args[2]
