"""Waves of a distance against their formula, and the window in which they come."""

import math

import numpy as np
import pytest
import torch
from tessera.training.models import SdfEncoding, band_weights


def test_channels_are_the_formula():
    sdf = torch.linspace(-1, 1, 41).expand(2, 1, 41)
    encoded = SdfEncoding(6)(sdf).numpy()
    assert encoded.shape == (2, 13, 41)
    exact = sdf[0, 0].double().numpy()
    np.testing.assert_array_equal(encoded[1, 0], sdf[0, 0])
    for band in range(6):
        np.testing.assert_allclose(encoded[1, 1 + 2 * band], np.sin(2**band * np.pi * exact), atol=1e-4)
        np.testing.assert_allclose(encoded[1, 2 + 2 * band], np.cos(2**band * np.pi * exact), atol=1e-4)


def test_hilo_has_28_channels_of_waves():
    encoding = SdfEncoding(include_input=False)
    assert encoding(torch.zeros(1, 1, 3)).shape == (1, 28, 3) and encoding.channels == 28
    assert SdfEncoding().channels == 29 and not list(SdfEncoding().parameters())


def test_window():
    assert band_weights(4, 0.0).tolist() == [0, 0, 0, 0]
    torch.testing.assert_close(band_weights(4, 0.05), torch.tensor([1.0, 1, 0, 0]))
    torch.testing.assert_close(band_weights(4, 0.0625), torch.tensor([1.0, 1, 0.5, 0]))
    torch.testing.assert_close(band_weights(4, 0.025 * 4 / 3), torch.tensor([1, (1 - math.cos(math.pi / 3)) / 2, 0, 0]))
    assert band_weights(4, 0.1).tolist() == band_weights(4, 1.0).tolist() == [1, 1, 1, 1]
    assert band_weights(2, 0.5, (0.5, 1)).tolist() == [0, 0]


def test_progress_weighs_bands():
    sdf = torch.rand(1, 1, 9)
    full, half = SdfEncoding(4)(sdf), SdfEncoding(4)(sdf, progress=0.05)
    torch.testing.assert_close(half[:, :5], full[:, :5])
    assert half[:, 5:].abs().max() < 1e-6 and full[:, 5:].abs().max() > 0.1
    assert torch.equal(SdfEncoding(4)(sdf, 0.0)[:, :1], sdf)


def test_mixed_precision_keeps_the_upper_bands():
    sdf = torch.linspace(-0.1, 0.1, 64)[None, None]
    with torch.autocast("cpu", torch.bfloat16):
        rough = SdfEncoding()(sdf)
    assert rough.dtype == torch.float32 and torch.equal(rough, SdfEncoding()(sdf))
    assert SdfEncoding().to(torch.bfloat16)(sdf).equal(rough)


def test_gradient_reaches_the_distance():
    sdf = torch.zeros(1, 1, 1, requires_grad=True)
    SdfEncoding(3, include_input=False)(sdf)[0, ::2].sum().backward()
    assert sdf.grad.item() == pytest.approx(math.pi * (1 + 2 + 4), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"bands": 0}, "bands"),
        ({"window": (0.1, 0.1)}, "window"),
        ({"window": (-0.1, 0.1)}, "window"),
        ({"window": (0.1, 2)}, "window"),
    ],
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        SdfEncoding(**settings)


def test_bad_inputs_are_refused():
    for progress in (-0.1, math.nan):
        with pytest.raises(ValueError, match="progress"):
            SdfEncoding()(torch.zeros(1, 1, 3), progress)
    with pytest.raises(ValueError, match="sdf has shape"):
        SdfEncoding()(torch.zeros(1, 3))
