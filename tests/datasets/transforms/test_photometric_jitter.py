"""Photometric jitter against the formula in float64 and Pillow's luminance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.transforms import load_transform

from .scene import FIELDS, copies, same


class Fixed:
    """A generator that draws what it was given: first the three factors, then the place of log gamma."""

    def __init__(self, *values):
        self.values = list(values)

    def uniform(self, low, high):
        return self.values.pop(0)


def expected(picture, brightness, contrast, saturation, gamma):
    """The formula of the module, pixel by pixel in float64."""
    value = picture / 255
    weights = np.array([0.299, 0.587, 0.114])
    mean = (value @ weights).mean()
    value = np.clip(contrast * brightness * (value - mean) + brightness * mean, 0, 1) ** gamma
    return np.clip(saturation * value + (1 - saturation) * (value @ weights)[..., None], 0, 1)


def picture_of(seed=0, shape=(19, 23, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2), st.floats(-1, 1))
def test_uint8_and_float_follow_the_formula(brightness, contrast, saturation, place):
    transform = load_transform("photometric_jitter", brightness=1, contrast=1, saturation=1, gamma=0.5)
    picture = picture_of()
    gamma = np.exp(place * np.log(1.5))
    wanted = expected(picture, brightness, contrast, saturation, gamma)
    found = transform({"image": picture}, Fixed(brightness, contrast, saturation, place))["image"]
    assert found.dtype == np.uint8 and np.abs(found - wanted * 255).max() <= 0.6  # rounding, and fixed point
    floats = transform({"image": (picture / 255).astype(np.float32)}, Fixed(brightness, contrast, saturation, place))
    assert floats["image"].dtype == np.float32
    np.testing.assert_allclose(floats["image"], wanted, atol=1e-4)


@pytest.mark.parametrize("factor", [0.6, 1.4])
def test_single_changes_are_pillow_s(factor):
    picture = picture_of()
    for place, enhancer in enumerate((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)):
        draws = [1.0, 1.0, 1.0, 0.0]
        draws[place] = factor
        found = load_transform("photometric_jitter")({"image": picture}, Fixed(*draws))["image"]
        wanted = np.asarray(enhancer(Image.fromarray(picture)).enhance(factor), np.int16)
        assert np.abs(found - wanted).max() <= 2


def test_nothing_to_change_changes_nothing():
    picture = picture_of()
    still = load_transform("photometric_jitter", brightness=0, contrast=0, saturation=0)
    np.testing.assert_array_equal(still({"image": picture}, np.random.default_rng(0))["image"], picture)


def test_amounts_bound_the_factors():
    grey = np.full((4, 4, 3), 100, np.uint8)
    transform = load_transform("photometric_jitter", brightness=0.3, contrast=0, saturation=0)
    values = [transform({"image": grey}, np.random.default_rng(i))["image"][0, 0, 0] for i in range(300)]
    assert 70 <= min(values) < 74 and 126 < max(values) <= 130


def test_several_pictures_get_one_change_and_inputs_stay():
    record = {"image": picture_of(1), "neighbours.image": picture_of(1, (2, 19, 23, 3)), "other": np.ones(3)}
    record["neighbours.image"][1] = record["image"]
    before = copies(record)
    transform = load_transform("photometric_jitter", contrast=0, fields=("image", "neighbours.image"))
    one, two = (transform(record, np.random.default_rng(5)) for _ in range(2))
    assert same(one, two) and same(record, before) and one["other"] is record["other"]
    np.testing.assert_array_equal(one["neighbours.image"][1], one["image"])


def test_masks_and_missing_fields_are_refused():
    transform, rng = load_transform("photometric_jitter"), np.random.default_rng(0)
    with pytest.raises(SchemaError, match=r"`image` is uint8 .4, 4., not RGB"):
        transform({"image": np.zeros((4, 4), np.uint8)}, rng)
    with pytest.raises(SchemaError, match="the record lacks image"):
        transform({}, rng)
    with pytest.raises(UsageError, match=r"delivers no image .it delivers: sdf."):
        transform.bind({"sdf": FIELDS["sdf"]})
    with pytest.raises(UsageError, match="photometric_jitter: brightness"):
        load_transform("photometric_jitter", brightness=2)
