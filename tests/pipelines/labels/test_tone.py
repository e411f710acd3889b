import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.pipelines.labels.tone import LuminanceHistogram, luminance, sanitise, tone_map, tone_scale


def colours(seed, shape=(40, 50, 3)):
    return np.exp(np.random.default_rng(seed).normal(-1, 2, shape)).astype(np.float32)


def histogram(*images):
    counts = LuminanceHistogram()
    for image in images:
        counts.add(image, np.ones(image.shape[:2], bool))
    return counts


def test_luminance_weights():
    np.testing.assert_allclose(luminance(np.eye(3, dtype=np.float32)[None])[0], [0.3, 0.59, 0.11], rtol=1e-6)


@given(st.integers(0, 2**32), st.floats(0, 100), st.integers(1, 60))
def test_percentile_is_numpys_of_the_rounded_values(seed, q, pixels):
    image = colours(seed, (1, pixels, 3))
    values = luminance(image).astype(np.float16).astype(np.float64)
    assert histogram(image).percentile(q) == pytest.approx(np.percentile(values, q), rel=1e-12)


def test_percentile_over_frames_is_within_half_rounding_of_the_unrounded():
    frames = [colours(i) for i in range(3)]
    exact = np.percentile(np.concatenate([luminance(f).ravel() for f in frames]).astype(np.float64), 90)
    assert histogram(*frames).percentile(90) == pytest.approx(exact, rel=2**-11)


def test_histograms_merge_in_any_order():
    frames = [colours(i) for i in range(3)]
    whole = histogram(*frames)
    merged = histogram(frames[2], frames[0])
    merged.merge(histogram(frames[1]))
    np.testing.assert_array_equal(merged.counts, whole.counts)
    assert whole.counts.nbytes < 250 * 1024


def test_only_valid_pixels_count():
    image = np.ones((2, 2, 3), np.float32)
    image[0] = 9
    counts = LuminanceHistogram()
    counts.add(image, np.array([[False, False], [True, True]]))
    assert counts.percentile(100) == 1.0


def test_negative_and_overflowing_luminance_stay_in_range():
    image = np.array([[[-5, -5, -5], [1e30, 1e30, 1e30]]], np.float32)
    assert histogram(image).percentile(0) == 0.0
    assert histogram(image).percentile(100) == 65504.0


def test_scale_of_no_valid_pixel_and_of_black():
    assert LuminanceHistogram().percentile(90) is None
    assert tone_scale(None) == 1.0
    assert tone_scale(9e-5) == 0.0
    assert tone_scale(1e-4) == pytest.approx(0.8**2.2 / 1e-4)


def test_p90_maps_to_0_8():
    grey = np.full((1, 1, 3), 3.7, np.float32)
    assert (tone_map(grey, tone_scale(3.7)) == round(0.8 * 255)).all()


@given(st.integers(0, 2**32), st.floats(0, 5))
def test_tone_map_against_the_formula_in_float64(seed, scale):
    image = colours(seed, (9, 8, 3)) - np.float32(0.1)
    exact = 255 * np.clip(np.maximum(scale * image.astype(np.float64), 0) ** (1 / 2.2), 0, 1)
    mapped = tone_map(image, scale)
    assert mapped.dtype == np.uint8
    assert np.abs(mapped - exact).max() <= 0.5 + 1e-3


def test_infinite_and_nan_colour():
    raw = np.array([[[np.inf, -np.inf, np.nan], [1, -2, 0.5]]], np.float16)
    clean, replaced = sanitise(raw)
    assert clean.dtype == np.float32 and replaced == 3
    np.testing.assert_array_equal(clean, [[[65504, -65504, 0], [1, -2, 0.5]]])
    assert np.isnan(raw[0, 0, 2]), "the input is not changed"
    again, replaced = sanitise(clean)
    assert again is clean and replaced == 0


def test_real_tonemap_preview_has_its_p90_at_0_8(previews):
    assert histogram(previews["tonemap"]).percentile(90) == pytest.approx(0.798, abs=1e-3)


def test_real_gamma_preview(previews):
    error = np.abs(tone_map(previews["color"], 1.0) / 255.0 - previews["gamma"]).mean()
    assert 0.004 < error < 0.0065


def test_real_tonemap_preview_is_made_from_the_colour_preview(previews):
    colour = previews["color"]
    scale = tone_scale(histogram(colour).percentile(90))
    unclipped = colour.max(axis=-1) < 0.9
    error = np.abs(tone_map(colour, scale) / 255.0 - previews["tonemap"])[unclipped].mean()
    assert error < 0.007


def test_real_previews_compose(previews):
    """The tool's own float composition agrees to 0.0014; that of the clipped, chroma-subsampled JPEGs to 0.015."""
    assert np.abs(previews["color"] - previews["non_lambertian"]).mean() == pytest.approx(0.0014, abs=1e-4)
    composed = previews["diffuse_reflectance"] * previews["diffuse_illumination"] + previews["residual"]
    assert np.abs(previews["color"] - composed).mean() < 0.015
