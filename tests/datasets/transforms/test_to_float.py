"""uint8 to float32: values against float64, layouts, and what it refuses."""

import numpy as np
import pytest
from tessera.datasets import Stream
from tessera.datasets.errors import SchemaError, UsageError
from tessera.datasets.transforms import load_transform

from .scene import FIELDS, copies, same

PICTURE = np.arange(256 * 3, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize(
    ("normalise", "mean", "std"),
    [(None, 0, 1), ("symmetric", 0.5, 0.5), ("imagenet", *IMAGENET), (([0.1], [2.0]), 0.1, 2)],
)
def test_values_and_layout(normalise, mean, std, channels_first):
    record = {"image": PICTURE}
    before = copies(record)
    found = load_transform("to_float", normalise=normalise, channels_first=channels_first)(record)["image"]
    wanted = (PICTURE / 255 - mean) / std
    wanted = wanted.transpose(2, 0, 1) if channels_first else wanted
    assert found.dtype == np.float32 and found.flags.c_contiguous and same(record, before)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_the_ends_are_exact():
    found = load_transform("to_float")({"image": PICTURE})["image"]
    assert found.min() == 0 and found.max() == 1
    assert np.array_equal(np.rint(found * 255).astype(np.uint8), PICTURE)
    both = load_transform("to_float", normalise="symmetric")({"image": PICTURE})["image"]
    assert both.min() == -1 and both.max() == 1


def test_several_cameras_behind_a_reference():
    stack = np.stack([PICTURE, PICTURE // 2])
    transform = load_transform("to_float", channels_first=True, fields=["neighbours.image"])
    assert transform({"neighbours.image": stack})["neighbours.image"].shape == (2, 3, 16, 16)


def test_what_is_no_uint8_picture_is_refused():
    transform = load_transform("to_float", normalise="imagenet")
    for picture in (PICTURE / 255, PICTURE[..., 0], PICTURE[..., :2]):
        with pytest.raises(SchemaError, match=r"uint8 pictures .height, width, channels. are needed, of 3 channels"):
            transform({"image": picture})
    with pytest.raises(UsageError, match="`normal` is float32, and only uint8"):
        load_transform("to_float", fields="normal").bind(FIELDS)
    for normalise in ("imagnet", ([0.5], [0.0]), ([0.5], [1, 1])):
        with pytest.raises(UsageError, match="to_float"):
            load_transform("to_float", normalise=normalise)


def test_trap_moved_channels_would_be_cropped_and_mirrored_as_rows(built):
    """Pictures of (3, height, width) look like any other array to what follows."""
    first, options = load_transform("to_float", channels_first=True), {"table": "frames", "fields": ["image"]}
    for name in ("random_crop", "random_flip"):
        with pytest.raises(UsageError, match=f"transform {name}: goes before to_float, which moves the channels"):
            Stream(built.root, transforms=[first, load_transform(name)], **options)
        Stream(built.root, transforms=[load_transform("to_float"), load_transform(name)], **options)
        Stream(built.root, transforms=[load_transform(name), first], **options)
