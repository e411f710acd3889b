"""The global generator: the published number of parameters, borders, starting weights."""

from itertools import pairwise

import pytest
import torch
from tessera.training.models import GlobalGenerator
from tessera.training.models.global_generator import PictureResidual
from torch import nn

from .probes import count, silenced


def formula(inputs, outputs, filters, downs, blocks):
    widths = [filters * 2**level for level in range(downs + 1)]
    total = 49 * inputs * filters + filters + 49 * filters * outputs + outputs
    for less, more in pairwise(widths):
        total += 9 * less * more + more + 9 * more * less + less
    return total + 2 * blocks * (9 * widths[-1] ** 2 + widths[-1])


def test_published_number_of_parameters():
    """pix2pixHD prints 182546755 for Cityscapes: 35 labels and an edge map to a picture."""
    with torch.device("meta"):
        assert count(GlobalGenerator(36, 3)) == formula(36, 3, 64, 4, 9) == 182_546_755


def test_icon_normal_net():
    with torch.device("meta"):
        net = GlobalGenerator(6, 3)
        assert count(net) == formula(6, 3, 64, 4, 9)
        assert net(torch.zeros(1, 6, 512, 512)).shape == (1, 3, 512, 512)


@pytest.mark.parametrize(("filters", "downs", "blocks"), [(8, 0, 1), (4, 1, 0), (4, 3, 2)])
def test_other_sizes(filters, downs, blocks):
    net = GlobalGenerator(2, 5, filters, downs, blocks)
    assert count(net) == formula(2, 5, filters, downs, blocks)
    output = net(10 * torch.randn(2, 2, 16, 24))
    assert output.shape == (2, 5, 16, 24) and output.abs().max() <= 1
    assert count(GlobalGenerator(2, 5, filters, downs, blocks, norm="batch")) > count(net)


def test_borders_are_reflected():
    """A flat picture stays flat; zeros around it would not let it."""
    torch.manual_seed(0)
    output = GlobalGenerator(1, 1, 8, downs=0, blocks=2, norm="none")(torch.ones(1, 1, 12, 12))
    assert output.abs().max() > 1e-6
    torch.testing.assert_close(output, output[..., :1, :1].expand_as(output), rtol=1e-5, atol=1e-9)


def test_residual_block_changes_its_input():
    block, x = PictureResidual(4, "instance"), torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(x), x + block.change(x))
    silenced(block)
    assert torch.equal(block(x), x)


def test_starting_weights():
    torch.manual_seed(0)
    convs = [m for m in GlobalGenerator(3, 3, 32, 2, 1).modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(convs) == 1 + 2 + 2 + 2 + 1
    for conv in convs:
        assert conv.weight.std().item() == pytest.approx(0.02, rel=0.05) and not conv.bias.any()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": 0}, "out_channels"),
        ({"filters": 0}, "filters"),
        ({"downs": -1}, "downs"),
        ({"blocks": -1}, "blocks"),
        ({"norm": "spectral"}, "norm"),
    ],
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        GlobalGenerator(**({"in_channels": 3, "out_channels": 3, "filters": 4} | settings))


@pytest.mark.parametrize(("sizes", "message"), [((16, 20), "multiple of 8"), ((8, 16), "at least 16")])
def test_pictures_that_do_not_fit_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        GlobalGenerator(3, 3, 4, downs=3, blocks=1)(torch.zeros(1, 3, *sizes))
