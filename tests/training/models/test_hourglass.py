"""The stacked hourglass: PIFu's sizes, parameters by formula, stacks that build on each other."""

import pytest
import torch
from tessera.training.models import StackedHourglass
from tessera.training.models.hourglass import DOWNS, Hourglass
from tessera.training.models.pyramid_block import PyramidBlock
from torch import nn
from torch.nn.functional import conv2d, group_norm

from .probes import count, ramp, unreached


def block(inputs, outputs):
    half, quarter = outputs // 2, outputs // 4
    convs = 9 * (inputs * half + half * quarter + quarter * quarter)
    shortcut = 0 if inputs == outputs else inputs * outputs + 2 * inputs
    return convs + 2 * (inputs + half + quarter) + shortcut


def formula(in_channels, channels, stacks, depth, width, down):
    quarter, half = width // 4, width // 2
    stem = 49 * in_channels * quarter + quarter + 2 * quarter
    narrow = quarter if down == "conv64" else half
    stem += block(quarter, narrow) + (0 if down == "ave_pool" else 9 * narrow * half + half)
    stem += block(half, half) + block(half, width)
    stack = (3 * depth + 2) * block(width, width) + width * width + width + 2 * width + width * channels + channels
    between = width * width + width + channels * width + width
    return stem + stacks * stack + (stacks - 1) * between


def test_block_by_hand():
    torch.manual_seed(0)
    net, x = PyramidBlock(8, 16).double(), torch.randn(2, 8, 5, 7).double()

    def step(layers, features, padding):
        return conv2d(group_norm(features, features.shape[1] // 4).relu(), layers[2].weight, padding=padding)

    first = step(net.first, x, 1)
    second = step(net.second, first, 1)
    third = group_norm(second, 1).relu()
    third = conv2d(third, net.third[2].weight, padding=1)
    torch.testing.assert_close(net(x), torch.cat([first, second, third], 1) + step(net.shortcut, x, 0))
    assert torch.equal(PyramidBlock(8, 8).shortcut(x), x)


@pytest.mark.parametrize(("depth", "edge"), [(1, 1), (2, 3)])
def test_scales_lie_on_each_other(depth, edge):
    """With blocks that change nothing, every scale of a slope is the same slope, but for the edges."""
    net = Hourglass(depth, 4)
    for level in [net, net.inner][:depth]:
        level.around = level.before = level.after = nn.Identity()
    (net if depth == 1 else net.inner).inner = nn.Identity()
    slope = sum(ramp(16, 16)).expand(1, 1, 16, 16)
    inside = (slice(None), slice(None), slice(edge, -edge), slice(edge, -edge))
    torch.testing.assert_close(net(slope)[inside], (depth + 1) * slope[inside])


@pytest.mark.parametrize("down", DOWNS)
def test_pifu_sizes(down):
    with torch.device("meta"):
        net = StackedHourglass(3, 256, 4, 2, down=down)
        outputs = net(torch.zeros(2, 3, 512, 512))
    assert [tuple(output.shape) for output in outputs] == [(2, 256, 128, 128)] * 4
    assert count(net) == formula(3, 256, 4, 2, 256, down)


def test_picture_need_not_be_square():
    assert StackedHourglass(6, 7, 1, 1, width=16)(torch.zeros(1, 6, 16, 40))[0].shape == (1, 7, 4, 10)


def test_later_stacks_build_on_earlier_outputs():
    torch.manual_seed(0)
    net = StackedHourglass(3, 4, 2, 1, width=16).double()
    lost = unreached(net, net(torch.randn(1, 3, 16, 16).double())[-1].square().sum())
    assert not lost
    lost = unreached(net, net(torch.randn(1, 3, 16, 16).double())[0].square().sum())
    assert lost == {name for name, _ in net.named_parameters() if name.startswith("stacks.1") or ".from_" in name}


def test_shallow_hourglass_sees_less():
    """One more scale makes a pixel far away count."""
    picture, far = torch.zeros(2, 1, 1, 256, 256).double()
    far[..., 128, 255] = 1
    reached = []
    for depth in (1, 4):
        torch.manual_seed(0)
        net = StackedHourglass(1, 1, 1, depth, width=16, norm="none").double()
        reached.append(((net(far)[0] - net(picture)[0])[0, 0, 32] != 0).sum().item())
    assert reached[0] < 32 < reached[1]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"channels": -1}, "channels"),
        ({"stacks": 0}, "stacks"),
        ({"depth": 0}, "depth"),
        ({"depth": 1.5}, "depth"),
        ({"width": 40}, "width"),
        ({"norm": "grup"}, "norm"),
        ({"down": "conv"}, "down"),
    ],
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        StackedHourglass(**({"in_channels": 3, "channels": 4, "stacks": 1, "depth": 1, "width": 16} | settings))


def test_picture_that_does_not_halve_is_refused():
    with pytest.raises(ValueError, match="multiple of 16"):
        StackedHourglass(3, 4, 1, 2, width=16)(torch.zeros(1, 3, 32, 24))
