"""Noise on signed distances and normals: its size, its independence, and what it must not touch."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.transform import Rotation
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.transforms import load_transform

from .scene import FIELDS, copies, same


def vectors(count, seed=0, dtype=np.float32):
    found = np.random.default_rng(seed).normal(size=(count, 3))
    return (found / np.linalg.norm(found, axis=-1, keepdims=True)).astype(dtype)


def test_sdf_noise_is_gaussian_of_the_sigma_asked_for():
    sdf = np.linspace(-0.2, 0.2, 20_000).astype(np.float32)
    noise = load_transform("sdf_noise", sigma=0.01)({"sdf": sdf}, np.random.default_rng(0))["sdf"] - sdf
    assert stats.kstest(noise / 0.01, "norm").pvalue > 0.01
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sdf_noise_keeps_dtype_shape_nan_and_its_input(dtype):
    record = {"sdf": np.array([[0.1, np.nan], [-0.3, 1.0]], dtype), "points": np.ones((2, 3))}
    before = copies(record)
    transform = load_transform("sdf_noise")
    one, two = (transform(record, np.random.default_rng(3)) for _ in range(2))
    assert same(one, two) and same(record, before) and one["points"] is record["points"]
    assert one["sdf"].dtype == dtype and np.isnan(one["sdf"]).sum() == 1
    assert not np.array_equal(one["sdf"], record["sdf"], equal_nan=True)


def test_normals_tilt_by_angles_of_a_rayleigh_distribution_in_all_directions():
    normal, sigma = (
        vectors(20_000, dtype=np.float64),
        0.5,
    )  # large: small angles do not tell the sphere from its tangent
    tilted = load_transform("normal_noise", sigma=sigma)({"normal": normal}, np.random.default_rng(0))["normal"]
    angle = np.arccos(np.clip((normal * tilted).sum(axis=-1), -1, 1))
    pairs = zip(normal[:50, None], tilted[:50, None], strict=True)
    smallest = [
        Rotation.align_vectors(new, old)[0].magnitude() for old, new in pairs
    ]  # scipy's own rotation between them
    np.testing.assert_allclose(angle[:50], smallest, atol=1e-4)
    assert stats.kstest(angle / sigma, "rayleigh").pvalue > 0.01
    assert np.mean(angle) == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=0.02)
    step = tilted - normal
    east = np.cross(normal, [0, 0, 1.0])
    north = np.cross(normal, east)
    way = np.arctan2((step * north).sum(axis=-1), (step * east).sum(axis=-1))
    assert stats.kstest(way / (2 * np.pi) + 0.5, "uniform").pvalue > 0.01


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 3), st.sampled_from([np.float16, np.float32]))
def test_unit_vectors_stay_unit_vectors_and_zero_stays_zero(seed, sigma, dtype):
    normal = vectors(50, seed, dtype).reshape(5, 10, 3)
    normal[2] = 0
    record = {"normal": normal}
    before = copies(record)
    tilted = load_transform("normal_noise", sigma=sigma)(record, np.random.default_rng(seed))["normal"]
    assert same(record, before) and tilted.dtype == dtype and (tilted[2] == 0).all()
    length = np.linalg.norm(np.delete(tilted, 2, axis=0).astype(np.float64), axis=-1)
    np.testing.assert_allclose(length, 1, atol=2e-3 if dtype == np.float16 else 2e-6)


def test_equal_generators_tilt_equally():
    record, transform = {"normal": vectors(9)}, load_transform("normal_noise")
    assert same(*(transform(record, np.random.default_rng(1)) for _ in range(2)))


@pytest.mark.parametrize(("name", "field"), [("sdf_noise", "sdf"), ("normal_noise", "normal")])
def test_absent_fields_only_where_the_schema_allows_it(name, field):
    transform = load_transform(name)
    with pytest.raises(SchemaError, match=f"lacks {field}"):
        transform({}, np.random.default_rng(0))
    transform.bind({field: replace(FIELDS[field], optional=True)})
    assert transform({}, np.random.default_rng(0)) == {}


def test_fields_that_cannot_be_noisy_are_refused():
    with pytest.raises(UsageError, match="`mask` is uint8, and only float"):
        load_transform("sdf_noise", fields="mask").bind(FIELDS)
    with pytest.raises(SchemaError, match=r"`normal` .5, 2. holds no vectors"):
        load_transform("normal_noise")({"normal": np.ones((5, 2))}, np.random.default_rng(0))
    for name in ("sdf_noise", "normal_noise"):
        for options in ({"sigma": -1}, {"sigma": float("nan")}, {"fields": ()}):
            with pytest.raises(UsageError, match=name):
                load_transform(name, **options)
