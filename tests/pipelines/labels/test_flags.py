import numpy as np
import pytest
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.pipelines.labels.flags import pack_flags

NAMES = ("valid", "normal_valid", "normal_flipped", "boundary", "occluder", "boundary_ignore")


def test_stored_values_never_change():
    assert [int(PixelFlag[name.upper()]) for name in NAMES] == [1, 2, 4, 8, 16, 32]


def test_every_mask_comes_back_from_the_packed_byte():
    rng = np.random.default_rng(0)
    masks = {name: rng.random((5, 7)) < 0.5 for name in NAMES}
    flags = pack_flags(**masks)
    assert flags.dtype == np.uint8
    for name, mask in masks.items():
        np.testing.assert_array_equal(has_flag(flags, PixelFlag[name.upper()]), mask)
    both = has_flag(flags, PixelFlag.BOUNDARY | PixelFlag.OCCLUDER)
    np.testing.assert_array_equal(both, masks["boundary"] & masks["occluder"])


def test_mask_that_is_not_given_is_zero():
    assert (pack_flags(boundary=np.ones((2, 2), bool)) == 8).all()


@pytest.mark.parametrize(
    "masks",
    [
        {},
        {"visible": np.ones((2, 2), bool)},
        {"valid": np.ones((2, 2), np.uint8)},
        {"valid": np.ones((2, 2), bool), "boundary": np.ones((2, 3), bool)},
    ],
)
def test_wrong_masks_are_refused(masks):
    with pytest.raises(ValueError):
        pack_flags(**masks)
