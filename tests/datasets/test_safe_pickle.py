"""Pickles that Python, numpy and other libraries write come back as plain data."""

import pickle
import struct
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from tessera.datasets.errors import FormatError
from tessera.datasets.safe_pickle import safe_loads
from tessera.datasets.sparse_matrix import SparseMatrix

PROTOCOLS = range(6)
DTYPES = st.sampled_from(["bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64", ">f4", ">i2",
                          "U3", "S5"])  # fmt: skip
SHAPES = st.one_of(st.just(()), array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
ARRAYS = DTYPES.flatmap(lambda dtype: arrays(dtype, SHAPES))
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**700), 2**700) | st.floats(allow_nan=False) | st.text() | st.binary()
    | st.complex_numbers(allow_nan=False)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS | st.sets(st.integers() | st.text()) | st.frozensets(st.text()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4)
    | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3).map(OrderedDict),
    max_leaves=12,
)  # fmt: skip


def kinds(value):
    """The types of a value and of all in it; sets keep no order."""
    inner = [] if isinstance(value, set | frozenset | str | bytes) or not hasattr(value, "__iter__") else list(value)
    return type(value), [kinds(x) for x in inner], kinds(list(value.values())) if isinstance(value, dict) else None


@pytest.mark.parametrize("dumps", [pickle.dumps, pickle._dumps], ids=["C", "Python"])
@settings(max_examples=60)
@given(VALUES, st.sampled_from(PROTOCOLS))
@example([b"", bytearray(b"x"), bytearray(), "\ud800", -0.0, 255, 256, -1, 2**31, 1 << 63], 0)
def test_plain_values_come_back(dumps, value, protocol):
    data = dumps(value, protocol)
    found = safe_loads(data)
    assert found == pickle.loads(data) and type(found) is type(value)
    assert kinds(found) == kinds(pickle.loads(data))


@settings(max_examples=100)
@given(ARRAYS, st.sampled_from(PROTOCOLS), st.sampled_from(["C", "F", "T", "strided"]))
@example(np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2), 5, "C")
def test_arrays_come_back_writable_and_in_the_order_of_this_machine(array, protocol, order):
    if array.ndim and order != "C":
        array = {"F": np.asfortranarray(array), "T": array.T, "strided": array[::2]}[order]
    found = safe_loads(pickle.dumps({"a": array, "b": array}, protocol))
    assert type(found["a"]) is np.ndarray and found["a"] is found["b"]
    np.testing.assert_array_equal(found["a"], array)
    assert found["a"].shape == array.shape and found["a"].dtype == array.dtype.newbyteorder("=")
    assert found["a"].flags.writeable


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars_and_dtypes_come_back(protocol):
    values = [np.float32(1.5), np.int64(-7), np.bool_(True), np.str_("äb"), np.bytes_(b"xy"), np.dtype("f4"),
              np.dtype(">i8"), np.complex128(1j)]  # fmt: skip
    found = safe_loads(pickle.dumps(values, protocol))
    assert found == values and [type(x) for x in found] == [type(x) for x in values]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_trap_fits_hold_tracked_arrays_of_trimesh(protocol):
    """smplx_param.pkl of THuman2.0: scale and translation are of a class of trimesh, numpy.core is named in full."""
    from trimesh.caching import TrackedArray

    fit = {"scale": np.array(0.416).view(TrackedArray), "translation": np.arange(3.0).view(TrackedArray)}
    data = pickle.dumps(fit, protocol).replace(b"numpy._core.multiarray", b"numpy.core.multiarray") if protocol < 4 \
        else pickle.dumps(fit, protocol)  # fmt: skip
    found = safe_loads(data)
    assert type(found["scale"]) is type(found["translation"]) is np.ndarray
    assert found["scale"] == 0.416 and found["scale"].shape == () and found["translation"].tolist() == [0, 1, 2]


def test_nothing_of_trimesh_scipy_or_chumpy_is_imported():
    script = (
        "import sys; from tessera.datasets.safe_pickle import safe_loads; print(safe_loads(sys.stdin.buffer.read()));"
        "assert not {'trimesh', 'scipy', 'chumpy'} & set(sys.modules)"
    )
    from trimesh.caching import TrackedArray

    data = pickle.dumps(np.ones(2).view(TrackedArray))
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0 and done.stdout.strip() == b"[1. 1.]", done.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("layout", ["csc_matrix", "csr_matrix", "csc_array", "csr_array"])
def test_sparse_matrices_become_inert_and_dense_on_demand(protocol, layout):
    import scipy.sparse

    rng = np.random.default_rng(3)
    dense = rng.normal(size=(5, 7)) * (rng.uniform(size=(5, 7)) < 0.4)
    found = safe_loads(pickle.dumps({"J": getattr(scipy.sparse, layout)(dense)}, protocol))["J"]
    assert type(found) is SparseMatrix and found.shape == (5, 7) and found.layout == layout[:3]
    np.testing.assert_array_equal(found.dense(), dense)
    with pytest.raises(FormatError, match="more than 100 bytes"):
        found.dense(most=100)


def sparse_state(**changes):
    state = {"_shape": (2, 3), "data": np.ones(2), "indices": np.array([0, 1]), "indptr": np.array([0, 1, 2, 2])}
    state = {key: value for key, value in (state | changes).items() if value is not None}
    return b"\x80\x02cscipy.sparse.csc\ncsc_matrix\n)\x81" + pickle.dumps(state, 2)[2:-1] + b"b."


@pytest.mark.parametrize(
    "changes",
    [
        {"indices": np.array([0, 2])}, {"indices": np.array([0, -1])}, {"indptr": np.array([0, 1, 2])},
        {"indptr": np.array([0, 2, 1, 2])}, {"indptr": np.array([1, 1, 2, 2])}, {"indptr": np.array([0, 1, 2, 3])},
        {"indices": np.array([0])}, {"data": np.ones((2, 1))}, {"_shape": (2,)}, {"_shape": None}, {"data": None},
        {"_shape": (-2, 3)}, {"indices": np.array([0.0, 1.0])}, {"data": np.array(["a", "b"])},
        {"_shape": (1 << 62, 3), "indices": np.array([0, -(1 << 62)])}, {"data": [1, 2]},
    ],
)  # fmt: skip
def test_sparse_matrices_whose_parts_do_not_agree_are_refused(changes):
    assert safe_loads(sparse_state()).dense().tolist() == [[1, 0, 0], [0, 1, 0]]
    with pytest.raises(FormatError, match=r"^pickle: scipy\.sparse\.csc\.csc_matrix"):
        safe_loads(sparse_state(**changes))


def test_a_sparse_matrix_of_any_size_takes_no_memory_until_it_is_dense():
    found = safe_loads(sparse_state(_shape=(1 << 60, 3)))
    with pytest.raises(FormatError, match="would be dense in more than"):
        found.dense()


@pytest.mark.parametrize(
    "made", [b"cchumpy.ch\nCh\n)\x81", b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR"]
)
def test_trap_model_files_hold_variables_of_chumpy(made):
    state = pickle.dumps({"x": np.arange(6.0).reshape(2, 3), "_dirty_vars": set(), "_status": "new"}, 2)[2:-1]
    found = safe_loads(b"\x80\x02" + made + state + b"b.")
    assert type(found) is np.ndarray and found.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(FormatError, match=r"chumpy\.ch\.Ch holds no array"):
        safe_loads(b"\x80\x02" + made + b"}b.")
    with pytest.raises(FormatError, match=r"names chumpy\.reordering\.Select, which is refused"):
        safe_loads(b"\x80\x02cchumpy.reordering\nSelect\n)\x81}b.")


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_trap_model_files_of_python_2_hold_arrays_in_their_texts(protocol):
    array = np.array([1.5, -2.0, 255.0])
    raw = array.tobytes().decode("latin-1")
    quoted = repr(array.tobytes())[1:].encode()
    text = b"S" + quoted + b"\n" if protocol == 0 else b"T" + struct.pack("<I", len(raw)) + array.tobytes()
    head = b"" if protocol < 2 else b"\x80\x02"
    data = (
        head
        + b"(dp1\nS'v_template'\np2\ncnumpy.core.multiarray\n_reconstruct\np3\n(cnumpy\nndarray\np4\n(I0\ntS'b'\ntRp5\n"
        b"(I1\n(L3L\ntcnumpy\ndtype\np6\n(S'f8'\nI0\nI1\ntRp7\n(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\n"
        + text
        + b"tbsS'f'\nh\x07s."
    )  # fmt: skip
    found, oracle = safe_loads(data), pickle.loads(data, encoding="latin1")
    assert found["v_template"].tolist() == oracle["v_template"].tolist() == array.tolist()
    assert found["f"] == np.dtype("f8")  # what was remembered before its state came has it afterwards
