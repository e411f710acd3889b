import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tessera.datasets.camera import pixel_rays
from tessera.pipelines.labels.resample import (
    area_average,
    nearest,
    nearest_indices,
    resample_distance,
    resample_intrinsic,
)

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
RAW = (192, 256)
INTRINSICS = np.array([[220.0, 0.3, 131.0], [0, 222.0, 90.0], [0, 0, 1]])


def overlaps(raw, new):
    """(new, raw) share of each output footprint that each raw pixel covers, in float64."""
    edges = np.arange(new + 1) * raw / new
    low = np.maximum(edges[:-1, None], np.arange(raw)[None, :])
    high = np.minimum(edges[1:, None], np.arange(raw)[None, :] + 1)
    return np.maximum(high - low, 0) * new / raw


def linear(raw, new):
    """(new, raw) weights of linear interpolation at pixel centres, repeated beyond the border."""
    position = (np.arange(new) + 0.5) * raw / new - 0.5
    return np.stack([np.interp(position, np.arange(raw), row) for row in np.eye(raw)], axis=1)


def separable(image, size):
    """Reference resampling with dense float64 weight matrices."""
    rows, columns = (
        overlaps(raw, new) if new <= raw else linear(raw, new) for raw, new in zip(image.shape[:2], size, strict=True)
    )
    return np.einsum("ij,jkc,lk->ilc", rows, image.astype(np.float64), columns)


def camera(size):
    """Rays of the raw camera's field of view at another size."""
    scale = np.diag([size[1] / RAW[1], size[0] / RAW[0], 1])
    return pixel_rays(scale @ INTRINSICS, *size)


def plane_distance(rays, normal, offset):
    return (offset / (rays @ np.asarray(normal))).astype(np.float32)


@given(SIZES, SIZES, st.sampled_from([1, 3, 4]), st.integers(0, 2**32))
def test_area_average_against_dense_weights(raw, size, channels, seed):
    image = np.random.default_rng(seed).random((*raw, channels), np.float32)
    result = area_average(image, size)
    assert result.shape == (*size, channels) and result.dtype == np.float32
    np.testing.assert_allclose(result, separable(image, size), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(area_average(image[..., 0], size).shape, size)


@given(SIZES, st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_shrinking_conserves_energy(raw, height, width, seed):
    image = np.exp(np.random.default_rng(seed).normal(0, 2, (*raw, 3))).astype(np.float32)
    size = (min(height, raw[0]), min(width, raw[1]))
    np.testing.assert_allclose(area_average(image, size).mean((0, 1)), image.mean((0, 1)), rtol=1e-4)


@given(SIZES, SIZES)
def test_constant_stays_constant(raw, size):
    np.testing.assert_allclose(area_average(np.full((*raw, 3), 2.5, np.float32), size), 2.5, rtol=1e-6)


@given(SIZES, SIZES)
def test_nearest_centre_with_ties_to_the_smaller_index(raw, size):
    for got, old, new in zip(nearest_indices(raw, size), raw, size, strict=True):
        centres = (2 * np.arange(new) + 1) * old  # in units of 1 / (2 new)
        gaps = np.abs(centres[:, None] - (2 * np.arange(old) + 1)[None, :] * new)
        np.testing.assert_array_equal(got, np.argmin(gaps, axis=1))


def test_nearest_picks_the_values_of_its_indices():
    array = np.arange(6 * 8 * 2).reshape(6, 8, 2)
    np.testing.assert_array_equal(nearest(array, (3, 4)), array[::2, ::2])
    np.testing.assert_array_equal(nearest(array, (2, 8)), array[[1, 4]])


@given(SIZES, st.integers(0, 2**32))
def test_equal_size_is_the_identity(size, seed):
    rng = np.random.default_rng(seed)
    image = rng.random((*size, 3), np.float32)
    np.testing.assert_array_equal(area_average(image, size), image)
    np.testing.assert_array_equal(nearest(image, size), image)
    distance = np.where(rng.random(size) < 0.2, np.nan, image[..., 0])
    rays_z = np.ones(size)
    np.testing.assert_array_equal(resample_distance(distance, rays_z, rays_z, None, size), distance)
    for before, after in zip((image,) * 3, resample_intrinsic(image, image, image, size), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("size", [(96, 128), (72, 96), (100, 131), (128, 256), (300, 400)])
def test_grazing_floor_stays_a_plane_where_nearest_samples_do_not(size):
    """A floor 1.5 m below a camera pitched down by 33 degrees; the top row sees it under 10 degrees.

    Largest relative errors: 2.4e-7 interpolated; 1.1e-2, 1.0e-2, 9.8e-3, 5.0e-3, 9.9e-3 by the nearest sample.
    """
    pitch = np.radians(33)
    normal = np.array([0, np.cos(pitch), np.sin(pitch)])
    raw, out = camera(RAW), camera(size)
    distance, exact = plane_distance(raw, normal, 1.5), plane_distance(out, normal, 1.5)
    got = resample_distance(distance, raw[..., 2], out[..., 2], None, size)
    plain = nearest(distance, size)
    error, plain_error = (np.abs(value / exact - 1).max() for value in (got, plain))
    assert error < 1e-5, f"interpolated {error:.1e}, nearest {plain_error:.1e}"
    assert plain_error > 2e-3, f"interpolated {error:.1e}, nearest {plain_error:.1e}"


@settings(max_examples=60)
@given(st.tuples(st.integers(2, 260), st.integers(2, 260)), st.floats(0, 0.7), st.floats(0, 6.2))
def test_planes_stay_planes_at_any_size(size, tilt, turn):
    normal = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
    raw, out = camera(RAW), camera(size)
    assume(min((raw @ normal).min(), (out @ normal).min()) > 0.35)  # so that neighbours agree within the spread
    distance = plane_distance(raw, normal, 2.0)
    got = resample_distance(distance, raw[..., 2], out[..., 2], None, size)
    np.testing.assert_allclose(got, plane_distance(out, normal, 2.0), rtol=1e-5)


@settings(max_examples=60)
@given(st.tuples(st.integers(1, 260), st.integers(1, 260)), st.integers(0, 2**32))
def test_steps_never_give_a_distance_between_the_two_surfaces(size, seed):
    """Random coarse patches at 2 m and 3 m: every output lies on one of them, and on the one its id names."""
    far = np.kron(np.random.default_rng(seed).random((24, 32)) < 0.5, np.ones((8, 8), bool))
    raw, out = camera(RAW), camera(size)
    distance = (np.where(far, 3.0, 2.0) / raw[..., 2]).astype(np.float32)
    ids = np.where(far, 7, 4).astype(np.int16)
    for given_ids in (ids, None):
        depth = resample_distance(distance, raw[..., 2], out[..., 2], given_ids, size) * out[..., 2]
        assert (np.minimum(np.abs(depth / 2 - 1), np.abs(depth / 3 - 1)) < 0.01 + 1.0 / min(size)).all()
        if min(size) > 40:
            np.testing.assert_array_equal(depth > 2.5, nearest(ids, size) == 7)


def test_surfaces_a_centimetre_apart_are_not_mixed_where_ids_differ():
    """A picture on a wall: 2.00 m and 2.02 m, closer than the spread; only the ids keep them apart."""
    raw_z, out_z = np.ones((8, 8)), np.ones((4, 4))
    ids = np.repeat([[1, 1, 1, 2, 2, 2, 2, 2]], 8, axis=0)
    distance = np.where(ids == 1, 2.0, 2.02).astype(np.float32)
    apart = resample_distance(distance, raw_z, out_z, ids, (4, 4))
    np.testing.assert_allclose(np.unique(apart), [2.0, 2.02], rtol=1e-6)
    np.testing.assert_array_equal(apart < 2.01, nearest(ids, (4, 4)) == 1)
    mixed = resample_distance(distance, raw_z, out_z, None, (4, 4))
    assert 2.005 < mixed[0, 1] < 2.015


def test_invalid_neighbours_fall_back_to_the_nearest_sample_unchanged():
    distance = np.full((6, 6), 2.0, np.float32)
    distance[0, 0] = 1.99
    distance[1, 1] = np.nan
    distance[2, 2] = np.nan
    got = resample_distance(distance, np.ones((6, 6)), np.full((3, 3), 0.5), None, (3, 3))
    assert got[0, 0] == distance[0, 0], "nearest, in distance: not divided by the output ray"
    assert np.isnan(got[1, 1]), "its nearest sample is invalid"
    assert got[2, 2] == np.float32(4.0), "smooth: planar depth 2 along a ray with z = 0.5"


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf])
def test_impossible_distances_are_never_interpolated(bad):
    distance = np.full((4, 4), 2.0, np.float32)
    distance[1, 1] = bad
    got = resample_distance(distance, np.ones((4, 4)), np.ones((2, 2)), None, (2, 2))
    np.testing.assert_array_equal(got, 2.0)
    distance[:2, :2] = bad
    got = resample_distance(distance, np.ones((4, 4)), np.ones((2, 2)), None, (2, 2))
    assert got[0, 0] == bad


@given(SIZES, SIZES, st.integers(0, 2**32))
def test_resampled_intrinsics_compose_the_averaged_picture(raw, size, seed):
    rng = np.random.default_rng(seed)
    albedo = rng.random((*raw, 3), np.float32) * (rng.random((*raw, 1)) < 0.6)
    light = np.exp(rng.normal(0, 2, (*raw, 3))).astype(np.float32)
    rest = rng.random((*raw, 3), np.float32)
    composed = area_average(albedo * light + rest, size)
    a, e, r = resample_intrinsic(albedo.astype(np.float32), light, rest, size)
    np.testing.assert_allclose(a * e + r, composed, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a, area_average(albedo.astype(np.float32), size), rtol=1e-6)
    np.testing.assert_allclose(r, area_average(rest, size), rtol=1e-4, atol=1e-6)
    assert e.min() >= light.min() * 0.99 and e.max() <= light.max() * 1.01


def test_product_of_the_means_would_not_compose():
    albedo = np.array([[[1.0] * 3, [0.0] * 3]], np.float32)
    light = np.array([[[4.0] * 3, [100.0] * 3]], np.float32)
    a, e, r = resample_intrinsic(albedo, light, np.zeros_like(albedo), (1, 1))
    np.testing.assert_allclose(np.concatenate([a, e, r]).ravel(), [0.5] * 3 + [4.0] * 3 + [0.0] * 3)


def test_black_surfaces_keep_their_mean_illumination():
    light = np.array([[[4.0] * 3, [100.0] * 3]], np.float32)
    black = np.zeros_like(light)
    a, e, r = resample_intrinsic(black, light, black + 2, (1, 1))
    np.testing.assert_allclose(np.concatenate([a, e, r]).ravel(), [0.0] * 3 + [52.0] * 3 + [2.0] * 3)


@pytest.mark.parametrize("negative", [-0.5, -0.49999997])
def test_negative_albedo_that_cancels_still_composes(negative):
    albedo = np.array([[[0.5] * 3, [negative] * 3]], np.float32)
    light = np.array([[[4.0] * 3, [100.0] * 3]], np.float32)
    a, e, r = resample_intrinsic(albedo, light, np.zeros_like(light), (1, 1))
    np.testing.assert_allclose(a * e + r, -24.0, rtol=1e-5)
    assert np.abs(e).max() <= 100
