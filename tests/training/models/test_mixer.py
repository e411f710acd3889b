"""The mixer head: points alone, groups mixed, parameters by formula."""

import pytest
import torch
from tessera.training.models import PointMixer

from .probes import count


def made(**settings):
    torch.manual_seed(0)
    return PointMixer([6, 1, 3, 3], width=16, depth=2, channel_inside=24, **settings).double().eval()


def features(points):
    return torch.randn(2, 13, points, generator=torch.Generator().manual_seed(0)).double()


def test_points_do_not_see_each_other():
    net, x = made(dropout=0.2), features(40)
    torch.testing.assert_close(net(x)[..., :9], net(x[..., :9]), rtol=1e-9, atol=1e-12)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(x[..., order]), net(x)[..., order], rtol=1e-9, atol=1e-12)


def test_every_group_counts_and_groups_act_on_each_other():
    net, x = made(last="none"), features(3)
    changes = []
    for group in ([0, 6], [6, 7], [7, 10], [10, 13]):
        other = x.clone()
        other[:, slice(*group)] += 1
        changes.append(net(other) - net(x))
        assert changes[-1].abs().max() > 1e-4
    everything = net(x + 1) - net(x)
    assert (everything - sum(changes)).abs().max() > 1e-4


def test_parameters():
    tokens, width, token_inside, inside = 4, 16, 32, 24
    embed = (6 + 1 + 3 + 3) * width + tokens * width
    block = 4 * width + 2 * tokens * token_inside + token_inside + 2 * width * inside + inside + width
    assert count(made()) == embed + 2 * block + 2 * width + width + 1
    assert count(made(outputs=2)) - count(made()) == width + 1


def test_outputs():
    values = made(outputs=2, channels=3)(features(5))
    assert values.shape == (2, 6, 5)
    assert values[:, :3].min() > 0 and values[:, :3].max() < 1 and values[:, 3:].min() < 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"groups": [13]}, "groups"),
        ({"groups": [13, 0]}, "groups"),
        ({"width": 0}, "width"),
        ({"depth": 0}, "depth"),
        ({"token_inside": 0}, "token_inside"),
        ({"channel_inside": 0}, "channel_inside"),
        ({"dropout": 2}, "dropout"),
        ({"channels": 0}, "channels"),
        ({"last": "relu"}, "last"),
        ({"outputs": 0}, "outputs"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        PointMixer(**({"groups": [6, 1]} | settings))
