"""Likeness of pictures against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from tessera.validation.metrics.images import psnr, ssim


def pictures(seed=0, shape=(3, 48, 40, 3)):
    """Smooth pictures, and the same with some noise."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(0.2, 0.8, (shape[0], 3, 6, 5)))
    smooth = torch.nn.functional.interpolate(coarse, shape[1:3], mode="bilinear").movedim(1, -1)
    return smooth, (smooth + 0.05 * torch.from_numpy(rng.normal(size=shape))).clamp(0, 1)


def test_ssim_is_that_of_scikit_image():
    one, other = pictures()
    known = [
        structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0,
                              channel_axis=-1)
        for a, b in zip(one.numpy(), other.numpy(), strict=True)
    ]  # fmt: skip
    found = ssim(one, other)
    assert found.shape == (3,) and 0.1 < min(known) < max(known) < 0.95
    np.testing.assert_allclose(found, known, atol=1e-6)


def test_psnr_is_that_of_scikit_image_and_known():
    one, other = pictures()
    known = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in zip(one.numpy(), other.numpy(), strict=True)]
    np.testing.assert_allclose(psnr(one, other), known, rtol=1e-6)
    np.testing.assert_allclose(psnr(torch.zeros(2, 4, 4, 3), torch.full((2, 4, 4, 3), 0.1)), [20, 20], rtol=1e-5)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_bytes_are_two_hundred_and_fifty_fifths(metric):
    one, other = ((255 * each).round().to(torch.uint8) for each in pictures())
    np.testing.assert_allclose(metric(one, other), metric(one.double() / 255, other.double() / 255), rtol=1e-4)
    np.testing.assert_allclose(metric(one, other), metric(one, other.float() / 255), rtol=1e-5)


def test_the_same_pictures_are_alike():
    one, _ = pictures()
    assert torch.isinf(psnr(one, one)).all()
    np.testing.assert_allclose(ssim(one, one), 1)


def test_one_picture_gives_one_number():
    one, other = pictures(shape=(1, 20, 20, 3))
    assert psnr(one, other).shape == ssim(one, other).shape == (1,)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_pictures_out_of_range_or_shape_are_refused(metric):
    good = torch.rand(2, 16, 16, 3)
    for bad in (good * 255, good * torch.nan, good - 0.5):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            metric(bad, good)
    for bad in (good[:1], good.movedim(-1, 1)):
        with pytest.raises(ValueError, match="both must be"):
            metric(bad, good)
    with pytest.raises(ValueError, match="uint8 or float"):
        metric(good.int(), good)


def test_pictures_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match="window"):
        ssim(torch.rand(1, 10, 16, 3), torch.rand(1, 10, 16, 3))
