"""Planes and points: analytic planes, what each plane is made from."""

import pytest
import torch
from tessera.training.models import TriplaneFromImage, TriplaneFromVolume, sample_triplane
from tessera.training.models.pixel_features import sample_at
from tessera.training.models.triplane_image import ColumnEncoder
from torch import nn

from .probes import count, ramp, silenced


def test_sum_of_analytic_planes():
    rows, columns = ramp(8, 8)
    planes = torch.stack([2 * columns + 3 * rows, 5 * columns + 7 * rows, 11 * columns + 13 * rows])
    planes = torch.stack([planes, -planes])[:, :, None]
    xyz = (2 * torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(0)).double() - 1) * (1 - 1 / 8)
    x, y, z = xyz.unbind(-1)
    expected = 2 * x + 3 * y + 5 * x + 7 * z + 11 * y + 13 * z
    torch.testing.assert_close(sample_triplane(planes, xyz)[:, 0], expected * torch.tensor([[1.0], [-1]]).double())


def test_padding_and_shapes():
    planes, xyz = torch.ones(1, 3, 2, 4, 4), torch.full((1, 5, 3), 9.0)
    assert sample_triplane(planes, xyz).tolist() == [[[3] * 5] * 2]
    assert sample_triplane(planes, xyz, "zeros").tolist() == [[[0] * 5] * 2]
    with pytest.raises(ValueError, match="planes has shape"):
        sample_triplane(planes[:, :2], xyz)
    with pytest.raises(ValueError, match="xyz has shape"):
        sample_triplane(planes, xyz[..., :2])


def test_planes_of_a_volume_lie_as_they_are_sampled():
    z, y, x = ramp(8, 8, 8)
    net = TriplaneFromVolume(3, 4, size=8)
    net.planes = nn.ModuleList(nn.Identity() for _ in range(3))
    planes = net(torch.stack([x, y, z])[None])[:, :, :3]  # the means; then the maxima
    xyz = (2 * torch.rand(1, 20, 3).double() - 1) * 0.8
    torch.testing.assert_close(sample_at(planes[:, 0], xyz[..., [0, 1]])[0, :2], xyz[0, :, :2].T)
    torch.testing.assert_close(sample_at(planes[:, 1], xyz[..., [0, 2]])[0, [0, 2]], xyz[0][:, [0, 2]].T)
    torch.testing.assert_close(sample_at(planes[:, 2], xyz[..., [1, 2]])[0, 1:], xyz[0, :, 1:].T)
    torch.testing.assert_close(planes[0, [0, 1, 2], [2, 1, 0]], torch.zeros(3, 8, 8).double())
    maxima = net(torch.stack([x, y, z])[None])[0, [0, 1, 2], [5, 4, 3]]
    torch.testing.assert_close(maxima, torch.full((3, 8, 8), 1 - 1 / 8).double())


def test_columns_are_not_mixed():
    torch.manual_seed(0)
    net, features = ColumnEncoder(8, 6, heads=2), torch.randn(1, 8, 6, 5)
    changed = features.clone()
    changed[:, 1, 3, 2] += 1  # not all channels: the layer norm would take that away
    differs = (net(changed) - net(features)).abs().amax(dim=(0, 1)) > 1e-6
    assert differs.any(0).tolist() == [False, False, True, False, False] and differs[:, 2].all()


def test_place_in_a_column_and_depth_matter():
    torch.manual_seed(0)
    net, features = ColumnEncoder(8, 6, heads=2).double(), torch.randn(1, 8, 6, 5).double()
    assert (net(features.flip(2)) - net(features)).abs().max() > 1e-4
    assert (net(features)[:, :, 0] - net(features)[:, :, 1]).abs().max() > 1e-4


def test_depths_start_from_their_queries():
    net = ColumnEncoder(8, 6, heads=2)
    silenced(net.mix, net.after)
    assert torch.equal(net(torch.randn(2, 8, 6, 5)), net.depths.T[None, :, :, None].expand(2, 8, 6, 5))


def test_planes_of_a_picture_come_from_its_columns_and_rows():
    torch.manual_seed(0)
    net, features = TriplaneFromImage(3, 8, size=12, norm="none"), torch.randn(1, 3, 12, 12)
    changed = features.clone()
    changed[:, :, 2, 9] += 5
    differs = (net(changed) - net(features)).abs().amax(dim=(0, 2)) > 1e-6  # (plane, rows, columns)
    near = lambda middle: [abs(i - middle) <= 2 for i in range(12)]  # noqa: E731
    assert differs[0].any(0).tolist() == near(9) and differs[0].any(1).tolist() == near(2)
    assert differs[1].any(0).tolist() == near(9) and differs[1].any(1).all()
    assert differs[2].any(0).tolist() == near(2) and differs[2].any(1).all()


@pytest.mark.parametrize("side", [4, 8, 32])
def test_features_of_any_size(side):
    assert TriplaneFromImage(3, 8, size=8)(torch.zeros(2, 3, side, side + 2)).shape == (2, 3, 8, 8, 8)
    assert TriplaneFromVolume(3, 8, size=8)(torch.zeros(2, 3, side, side, 4)).shape == (2, 3, 8, 8, 8)


def test_parameters():
    conv = lambda inputs, outputs: 9 * inputs * outputs + outputs  # noqa: E731
    assert count(TriplaneFromVolume(3, 8, size=6)) == 3 * (conv(6, 8) + 16 + conv(8, 8))
    column = 2 * 6 * 8 + 3 * 16 + (72 + 144 + 72) + (8 * 16 + 16 + 16 * 8 + 8)
    assert count(ColumnEncoder(8, 6)) == column
    assert count(TriplaneFromImage(3, 8, size=6)) == conv(3, 8) + 16 + 2 * column + 3 * conv(8, 8)


@pytest.mark.parametrize("kind", [TriplaneFromImage, TriplaneFromVolume])
@pytest.mark.parametrize("setting", ["in_channels", "channels", "size"])
def test_bad_settings_are_refused(kind, setting):
    with pytest.raises(ValueError, match=setting):
        kind(**({"in_channels": 3, "channels": 8, "size": 8} | {setting: 0}))


def test_bad_heads_and_norms_are_refused():
    with pytest.raises(ValueError, match="heads"):
        TriplaneFromImage(3, 8, size=8, heads=0)
    with pytest.raises(ValueError, match="channels"):
        TriplaneFromImage(3, 8, size=8, heads=3)
    with pytest.raises(ValueError, match="norm"):
        TriplaneFromVolume(3, 8, size=8, norm="no")
