"""Octahedral vectors and rounded floats keep the errors that they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tessera.datasets.errors import FormatError, SchemaError
from tessera.datasets.storage import Barycentric, Linear, Octahedral, Rounded, storage_from_json

FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
SIGNS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), axis=-1).reshape(-1, 3)
AXES = np.concatenate([np.eye(3), -np.eye(3)])


def directions():
    """Random unit vectors; axes, edges and corners of the cube, exactly and very nearly."""
    rng = np.random.default_rng(5)
    special = SIGNS[np.any(SIGNS != 0, axis=1)].astype(np.float64)
    near = np.repeat(special, 50, axis=0)
    near = near + rng.normal(size=near.shape) * 10.0 ** rng.uniform(-8, -2, (len(near), 1))
    vectors = np.concatenate([rng.normal(size=(40_000, 3)), special, near])
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def degrees(a, b):
    """Angles between vectors, exact for small ones too."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


@pytest.mark.parametrize(("bits", "most"), [(8, 0.96), (10, 0.24), (12, 0.06), (14, 0.015), (16, 0.004)])
def test_octahedral_error_is_as_documented_and_no_better(bits, most):
    vectors, storage = directions(), Octahedral(bits)
    error = degrees(storage.unpack(storage.pack(vectors), np.float32), vectors)
    assert most / 2 < error.max() < most


@pytest.mark.parametrize("bits", [2, 8, 12, 14, 16])
def test_octahedral_keeps_axes_exactly(bits):
    storage = Octahedral(bits)
    np.testing.assert_array_equal(storage.unpack(storage.pack(AXES), np.float64), AXES)


@pytest.mark.parametrize("bits", [8, 14, 16])
def test_octahedral_keeps_zero_among_others(bits):
    storage, vectors = Octahedral(bits), directions()[:12].reshape(3, 4, 3)
    vectors[1, 2] = 0
    found = storage.unpack(storage.pack(vectors), np.float32)
    assert found.shape == vectors.shape
    np.testing.assert_array_equal(np.all(found == 0, axis=-1), np.all(vectors == 0, axis=-1))
    assert not np.signbit(found[1, 2]).any()


@pytest.mark.parametrize("bits", range(2, 17))
def test_octahedral_codes_fit_their_dtype_and_bits(bits):
    storage = Octahedral(bits)
    codes = storage.pack(np.concatenate([directions()[::20], np.zeros((1, 3))]))
    dtype, shape = storage.stored(np.dtype(np.float32), (len(codes), 3))
    assert (codes.dtype, codes.shape) == (dtype, shape) and dtype.itemsize == (1 if bits <= 8 else 2)
    assert codes.max() == 2**bits - 1 and codes[:-1].max() == 2**bits - 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("length", [1e-45, 1e-40, 1e-39, 1e-37, 1e-30, 1e-3, 1e4, 1e30])
def test_octahedral_of_any_length_is_the_direction_or_zero(length):
    vectors, storage = directions()[::50], Octahedral(14)
    found = storage.unpack(storage.pack((vectors * length).astype(np.float32)), np.float32)
    zero = np.all(found == 0, axis=1)
    assert zero.all() if length < 1e-38 else not zero.any()
    assert np.all(degrees(found[~zero], vectors[~zero]) < 0.02)


@given(arrays(np.float32, st.tuples(st.integers(0, 4), st.just(3)), elements=st.floats(-2, 2, width=32)))
def test_octahedral_twice_is_once(vectors):
    storage = Octahedral(12)
    once = storage.unpack(storage.pack(vectors), np.float32)
    np.testing.assert_allclose(storage.unpack(storage.pack(once), np.float32), once, atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (0, 3), (2, 4, 3)])
def test_octahedral_shapes_and_unit_length_in_every_dtype(dtype, shape):
    vectors = np.random.default_rng(1).normal(size=shape).astype(dtype)
    found = Octahedral(14).unpack(Octahedral(14).pack(vectors), np.dtype(dtype))
    assert found.dtype == dtype and found.shape == shape
    np.testing.assert_allclose(np.linalg.norm(found.astype(float), axis=-1), 1, atol=2e-3)


@given(
    st.integers(0, 10),
    FLOATS.flatmap(lambda dtype: arrays(dtype, st.integers(0, 20), elements={"min_value": -6e4, "max_value": 6e4})),
)
def test_rounded_relative_error(mantissa, values):
    found = Rounded(mantissa).unpack(Rounded(mantissa).pack(values), np.dtype(np.float64))
    wide = values.astype(np.float64)
    largest = (2 - 2.0**-mantissa) * 2**15
    inside = np.abs(wide) <= largest
    bound = np.abs(wide) * 2.0 ** -(mantissa + 1) * (1 + 2.0**-20) + np.where(np.abs(wide) < 2**-14, 2.0**-25, 0)
    assert np.all(np.abs(found - wide)[inside] <= bound[inside])
    np.testing.assert_array_equal(np.abs(found[~inside]), largest)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(wide))


def test_rounded_does_not_round_twice():
    just_above_half = np.array([1 + 2.0**-9 + 2.0**-14], np.float32)  # float16 alone would make it a tie
    assert Rounded(8).pack(just_above_half)[0] == np.float16(1 + 2.0**-8)


def test_rounded_ties_go_to_even():
    ties = np.array([1 + 1 / 8, 1 + 3 / 8, -1 - 1 / 8, 1 + 5 / 8], np.float16)
    np.testing.assert_array_equal(Rounded(2).pack(ties), np.float16([1, 1.5, -1, 1.5]))


@pytest.mark.parametrize("mantissa", range(11))
def test_rounded_clears_the_low_bits_is_idempotent_and_keeps_all_it_can_hold(mantissa):
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    half = half[np.isfinite(half)]
    packed = Rounded(mantissa).pack(half)
    normal = np.abs(packed) >= 2**-14
    assert packed.dtype == np.float16 and np.all(np.isfinite(packed))
    assert np.all(packed[normal].view(np.uint16) & ((1 << (10 - mantissa)) - 1) == 0)
    np.testing.assert_array_equal(Rounded(mantissa).pack(packed).view(np.uint16), packed.view(np.uint16))
    if mantissa == 10:
        np.testing.assert_array_equal(packed.view(np.uint16), half.view(np.uint16))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("mantissa", [0, 8, 10])
def test_rounded_keeps_nan_and_clamps_what_is_finite(mantissa, dtype):
    payloads = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7FC00000], np.uint32).view(np.float32).astype(dtype)
    assert np.all(np.isnan(Rounded(mantissa).pack(payloads)))
    largest = np.finfo(dtype).max
    packed = Rounded(mantissa).pack(np.array([largest, -largest, 65504, 0, np.nan, np.inf, -np.inf], dtype))
    top = (2 - 2.0**-mantissa) * 2**15
    np.testing.assert_array_equal(packed, np.float16([top, -top, top, 0, np.nan, np.inf, -np.inf]))


def test_scalars_are_stored():
    assert Rounded(8).pack(np.float32(1.5)).shape == ()
    assert np.isnan(Rounded(8).pack(np.float32(np.nan)))


@pytest.mark.parametrize("storage", [Octahedral(12), Rounded(3), Linear(-1, 1), Linear(0.1, 2.5, 8), Barycentric(8)])
def test_json_round_trip(storage):
    assert storage_from_json(storage.to_json()) == storage
    assert storage_from_json(None) is None


@pytest.mark.parametrize(("storage", "bits"), [(Octahedral, 1), (Octahedral, 17), (Rounded, -1), (Rounded, 11)])
def test_bits_that_cannot_be(storage, bits):
    with pytest.raises(SchemaError, match="bits"):
        storage(bits)


def test_storage_of_a_newer_version_says_upgrade():
    with pytest.raises(FormatError, match=r"'spherical'.*upgrade"):
        storage_from_json({"kind": "spherical"})


@pytest.mark.parametrize("options", [{"bits": "14"}, {"mantissa": 3}, {"bits": 14.5}])
def test_wrong_storage_options(options):
    with pytest.raises(TypeError):
        storage_from_json({"kind": "octahedral"} | options)


@st.composite
def ranges(draw):
    """Linear storages whose codes float32 can tell apart."""
    bits, low = draw(st.integers(2, 16)), draw(st.floats(-1e6, 1e6, width=32))
    width = max(abs(low), 1e-3) * 2.0 ** draw(st.integers(bits - 20, 20))
    return Linear(low, low + width, bits)


@given(ranges(), st.sampled_from([np.float32, np.float64]))
def test_linear_codes_survive_decoding(storage, dtype):
    codes = np.arange(1 << storage.bits, dtype=storage.stored(np.dtype(dtype), ())[0])
    values = storage.unpack(codes, np.dtype(dtype))
    assert values.dtype == dtype and np.all(np.diff(values) > 0)
    again = storage.pack(values)
    assert again.dtype == codes.dtype
    np.testing.assert_array_equal(again, codes)


@given(ranges(), arrays(np.float64, st.tuples(st.integers(0, 5), st.integers(0, 3)), elements=st.floats(0, 1)))
def test_linear_error_is_at_most_half_a_step(storage, share):
    values = (storage.low + share * (storage.high - storage.low)).astype(np.float64)
    found = storage.unpack(storage.pack(values), np.dtype(np.float64))
    assert found.shape == values.shape
    half = (storage.high - storage.low) / (2**storage.bits - 1) / 2
    assert np.all(np.abs(found - values) <= half + 4 * np.spacing(abs(storage.low) + storage.high - storage.low))


def test_linear_ends_are_exact_and_twice_is_once():
    storage = Linear(-1, 1)
    np.testing.assert_array_equal(storage.pack(np.float32([-1, 1, 1e-9, -1e-9])), [0, 65535, 32768, 32767])
    np.testing.assert_array_equal(storage.unpack(np.uint16([0, 65535]), np.dtype(np.float32)), [-1, 1])
    assert storage.pack(np.float32(0.5)).shape == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.001, -1.001, 1e30])
def test_linear_refuses_what_it_cannot_keep(value, dtype):
    with pytest.raises(SchemaError, match=r"1 of 3 values.*-1 to 1"):
        Linear(-1, 1).pack(np.array([0.5, value, -1], dtype))


@pytest.mark.parametrize(
    ("low", "high", "bits"),
    [
        (1, 1, 16),
        (1, 0, 16),
        (np.nan, 1, 16),
        (0, np.inf, 16),
        (0, 1, 1),
        (0, 1, 17),
        (1000, 1000.1, 16),
        (0, 3e38, 16),
    ],
)
def test_linear_ranges_that_cannot_be(low, high, bits):
    with pytest.raises(SchemaError, match="linear"):
        Linear(low, high, bits)


@pytest.mark.parametrize("options", [{"low": -1, "high": 1.0}, {"low": 0.0}, {"low": 0.0, "high": 1.0, "bits": "16"}])
def test_wrong_linear_options(options):
    with pytest.raises(TypeError):
        storage_from_json({"kind": "linear"} | options)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 16), st.sampled_from(["float32", "float64"]))
def test_barycentric_error_is_as_documented(seed, bits, dtype):
    rng, step = np.random.default_rng(seed), 1 / (2**bits - 1)
    values = rng.dirichlet(rng.choice([0.05, 1.0, 20.0], 3), (5, 40)).astype(dtype)
    values[0, :4] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0.5, 0.5]]
    storage = Barycentric(bits)
    codes = storage.pack(values)
    assert (codes.dtype, codes.shape) == storage.stored(np.dtype(dtype), values.shape)
    found = storage.unpack(codes, np.dtype(dtype))
    assert found.dtype == dtype and (found >= 0).all() and np.abs(found.sum(-1) - 1).max() < 1e-6
    error = np.abs(found - values).reshape(-1, 3).max(0)
    assert error[1:].max() <= step * 1.001 + 1e-6 and error[0] <= 2 * step * 1.001 + 1e-6
    np.testing.assert_array_equal(storage.pack(found), codes)
    np.testing.assert_array_equal(found[0, :3], np.eye(3))


@pytest.mark.parametrize("values", [[0.5, 0.6, 0.1], [1.2, -0.1, -0.1], [np.nan, 0.5, 0.5], [0, 0, 0]])
def test_what_is_no_barycentric_coordinate_is_refused(values):
    with pytest.raises(SchemaError, match="1 of 2 are no barycentric"):
        Barycentric().pack(np.array([values, [1, 0, 0]]))
