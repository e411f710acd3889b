"""Sampled features against analytic ramps."""

import pytest
import torch
from tessera.training.models import sample_at, sample_volume

from .probes import ramp


def points(count, dimensions, reach, seed=0):
    return (2 * torch.rand(2, count, dimensions, generator=torch.Generator().manual_seed(seed)).double() - 1) * reach


def test_linear_ramp_is_exact():
    y, x = ramp(6, 10)
    features = torch.stack([3 * x - 2 * y + 1, y]).expand(2, -1, -1, -1)
    xy = points(50, 2, 1 - 1 / 6)
    expected = torch.stack([3 * xy[..., 0] - 2 * xy[..., 1] + 1, xy[..., 1]], dim=1)
    torch.testing.assert_close(sample_at(features, xy), expected)


def test_linear_ramp_of_a_volume_is_exact():
    z, y, x = ramp(4, 6, 10)
    volume = torch.stack([x, y, z, x - 2 * y + 5 * z]).expand(2, -1, -1, -1, -1)
    xyz = points(50, 3, 1 - 1 / 4)
    mixed = xyz @ torch.tensor([1.0, -2, 5]).double()
    torch.testing.assert_close(sample_volume(volume, xyz), torch.cat([xyz, mixed[..., None]], 2).transpose(1, 2))


def test_items_have_their_own_features():
    values = torch.tensor([1.0, 2.0])
    assert sample_at(values.view(2, 1, 1, 1).expand(2, 1, 4, 4), torch.zeros(2, 3, 2))[:, 0].tolist() == [
        [1] * 3,
        [2] * 3,
    ]


def test_paddings_outside():
    features = torch.full((1, 1, 4, 4), 7.0)
    xy = torch.tensor([[[-1.0, 0.1], [5.0, 0.1], [-0.75, 0.25]]])
    assert sample_at(features, xy)[0, 0].tolist() == [7, 7, 7]
    torch.testing.assert_close(sample_at(features, xy, "zeros")[0, 0], torch.tensor([3.5, 0, 7]))
    xyz = torch.tensor([[[0.1, 0.1, -1.0]]])
    volume = features[..., None].expand(1, 1, 4, 4, 4)
    assert sample_volume(volume, xyz).item() == 7 and sample_volume(volume, xyz, "zeros").item() == pytest.approx(3.5)


def test_positions_stay_exact_with_bfloat16_features():
    features = (torch.arange(1024) % 251).to(torch.bfloat16).expand(1, 1, 2, 1024)
    xy = torch.stack([ramp(1024)[0], torch.zeros(1024)], dim=-1)[None].float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = sample_at(features, xy)
    for sampled in (mixed, sample_at(features, xy)):
        assert sampled.dtype == torch.bfloat16
        assert torch.equal(sampled[0, 0], features[0, 0, 0])


def test_gradients_reach_features_and_points():
    features, xy = torch.rand(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 3, 2, requires_grad=True)
    sample_at(features, xy).square().sum().backward()
    assert features.grad.abs().sum() > 0 and xy.grad.abs().sum() > 0


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="padding"):
        sample_at(torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 2), "reflection")
    with pytest.raises(ValueError, match="xy has shape"):
        sample_at(torch.zeros(2, 1, 2, 2), torch.zeros(1, 3, 2))
    with pytest.raises(ValueError, match="xyz has shape"):
        sample_volume(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 3, 2))
    with pytest.raises(ValueError, match="features has shape"):
        sample_at(torch.zeros(1, 2, 2), torch.zeros(1, 3, 2))
    with pytest.raises(ValueError, match="volume has shape"):
        sample_volume(torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 3))
