"""Columns of an index as numpy arrays, without Arrow's own conversions."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets.loading.rows import _checksums, whole_numbers

from ..stream_many import many_shards

LISTS = st.lists(st.none() | st.lists(st.integers(0, 2**32 - 1), max_size=4), max_size=12)


@given(LISTS, st.integers(0, 5), st.integers(0, 12))
def test_checksums_are_those_of_the_lists(rows, start, count):
    lists = pa.array(rows, pa.list_(pa.uint32())).slice(start, count)
    values, bounds = _checksums(lists)
    found = [values[low:high].tolist() for low, high in pairwise(bounds)]
    assert found == [row or [] for row in rows[start : start + count]]
    assert len(values) == bounds[-1] and values.dtype == np.uint32


def test_what_rows_that_are_null_point_to_is_nobodys():
    offsets, values = pa.array([0, 2, 3, 5], pa.int32()), pa.array([1, 2, 3, 4, 5], pa.uint32())
    lists = pa.ListArray.from_arrays(offsets, values, mask=pa.array([False, True, False]))
    found, bounds = _checksums(lists)
    assert (found.tolist(), bounds.tolist()) == ([1, 2, 4, 5], [0, 2, 2, 4])


@given(
    st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), max_size=12), st.integers(0, 5), st.sampled_from([32, 64])
)
def test_whole_numbers(values, start, bits):
    column = pa.array(values, pa.int32() if bits == 32 else pa.int64())[start:]
    assert whole_numbers(column, -7).tolist() == [-7 if x is None else x for x in values[start:]]


def test_a_stream_of_arrays_imports_no_library_that_it_does_not_need(tmp_path):
    """Each takes memory in every rank, and time before the first batch."""
    root = many_shards(tmp_path, 3)
    heavy = ["pyarrow.compute", "pyarrow.dataset", "pandas", "PIL", "numcodecs", "simplejpeg", "fsspec", "lightning"]
    script = f"""
import sys
from tessera.datasets import Stream
assert len(list(Stream({str(root)!r}, fields=["values", "label"])))
print(*(set(sys.modules) & set({heavy})))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
