"""Volume encoder and grid head: sizes, parameters, the order of a grid."""

import pytest
import torch
from tessera.training.models import GridConv, VolumeEncoder
from tessera.training.models.residual3d import ResidualBlock3d

from .probes import count, silenced


def residual(channels):
    return 2 * (27 * channels * channels + 2 * channels)


def test_residual_block_changes_its_input():
    block, x = ResidualBlock3d(4), torch.randn(2, 4, 5, 5, 5)
    torch.testing.assert_close(block(x), x + block.change(x))
    silenced(block)
    assert torch.equal(block(x), x)


def test_pamir_sizes_and_parameters():
    with torch.device("meta"):
        net = VolumeEncoder(3, 32, width=16, downs=2, blocks=2)
        assert net(torch.zeros(1, 3, 128, 128, 128)).shape == (1, 32, 32, 32, 32)
    downs = (27 * 3 * 16 + 16 + 32 + 2 * residual(16)) + (27 * 16 * 32 + 32 + 64 + 2 * residual(32))
    assert count(net) == downs + 64 + 32 * 32 + 32


def test_sizes_follow_the_halvings():
    volume = torch.zeros(1, 2, 8, 16, 24)
    assert VolumeEncoder(2, 5, width=4, downs=1, blocks=0)(volume).shape == (1, 5, 4, 8, 12)
    assert VolumeEncoder(2, 5, width=4, downs=3, blocks=0, norm="none")(volume).shape == (1, 5, 1, 2, 3)


@pytest.mark.parametrize("setting", ["in_channels", "channels", "width", "downs"])
def test_bad_encoder_settings_are_refused(setting):
    with pytest.raises(ValueError, match=setting):
        VolumeEncoder(**{setting: 0})


def test_bad_encoder_blocks_and_volumes_are_refused():
    with pytest.raises(ValueError, match="blocks"):
        VolumeEncoder(blocks=-1)
    with pytest.raises(ValueError, match="norm"):
        VolumeEncoder(norm="group32")
    with pytest.raises(ValueError, match="multiple of 4"):
        VolumeEncoder(width=4)(torch.zeros(1, 3, 8, 8, 10))


@pytest.mark.parametrize(("tap", "step"), [((2, 1, 1), 25), ((1, 2, 1), 5), ((1, 1, 2), 1)])
def test_grid_order_is_x_slowest_z_fastest(tap, step):
    """A layer that copies the next point along an axis takes it from where the documented index says."""
    net = GridConv(1, width=1, blocks=0, norm="none", last="none")
    silenced(net)
    with torch.no_grad():
        net.layers[0].weight[0, 0][tap] = 1
        net.layers[-1].weight.fill_(1)
    numbers = torch.arange(1.0, 126)
    inside = numbers.view(5, 5, 5)[:4, :4, :4].flatten().long() - 1
    assert torch.equal(net(numbers[None, None])[0, 0, inside], numbers[inside + step])


def test_grid_sees_neighbours_only():
    torch.manual_seed(0)
    net = GridConv(2, width=4, blocks=1, norm="layer", last="none").eval()
    features = torch.randn(1, 2, 9**3)
    changed = features.clone()
    changed.view(1, 2, 9, 9, 9)[..., 4, 4, 4] += 1
    differs = (net(changed) - net(features)).view(9, 9, 9) != 0
    assert differs[4, 4, 4] and differs[1:8, 1:8, 1:8].sum() == differs.sum() and differs[1, 4, 4] and differs[4, 4, 7]


def test_grid_parameters():
    net = GridConv(13, width=16, blocks=2, outputs=2)
    assert count(net) == 27 * 13 * 16 + 16 + 2 * residual(16) + 32 + 2 * 16 + 2


def test_bad_grids_are_refused():
    for settings in ({"in_channels": 0}, {"width": 0}, {"blocks": -1}, {"channels": 0}, {"last": "no"}, {"norm": "no"}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            GridConv(**({"in_channels": 3} | settings))
    for points in (0, 26, 28, 100):
        with pytest.raises(ValueError, match="cube"):
            GridConv(3, width=4, blocks=0)(torch.zeros(1, 3, points))
    assert GridConv(3, width=4, blocks=0)(torch.zeros(1, 3, 27)).shape == (1, 1, 27)
