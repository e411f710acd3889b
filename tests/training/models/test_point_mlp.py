"""The per-point network: what it computes, its parameters, points alone or not."""

import pytest
import torch
from tessera.training.models import PointMLP
from torch import Tensor
from torch.nn.functional import leaky_relu

from .probes import count

SMALL = [5, 16, 12, 8, 1]
ICON, PIFU = [13, 512, 256, 128, 1], [257, 1024, 512, 256, 128, 1]


def features(points, seed=0) -> Tensor:
    return torch.randn(2, 5, points, generator=torch.Generator().manual_seed(seed)).double()


def made(**settings):
    torch.manual_seed(0)
    return PointMLP(SMALL, **settings).double().eval()


def linear(layer, *parts):
    conv = layer[0] if isinstance(layer, torch.nn.Sequential) else layer
    return conv.weight[..., 0] @ torch.cat(parts, dim=1) + conv.bias[:, None]


def test_layers_of_icon_by_hand():
    net, x = made(norm="none", last="none"), features(7)
    first = leaky_relu(linear(net.layers[0], x))
    second = leaky_relu(linear(net.layers[1], first))
    third = leaky_relu(linear(net.layers[2], second, x))
    torch.testing.assert_close(net(x), linear(net.layers[3], third, x))


def test_layers_of_u_by_hand():
    net, x = made(norm="none", last="none", shape="u", skips=()), features(7)
    states = [leaky_relu(linear(net.layers[0], x))]
    for layer in net.layers[1:4]:
        states.append(leaky_relu(linear(layer, states[-1])))
    fifth = leaky_relu(linear(net.layers[4], states[3], states[1]))
    torch.testing.assert_close(net(x), linear(net.layers[5], fifth, states[0]))


def test_gates_sit_between_the_chosen_layers():
    net, x = made(norm="none", last="none", skips=(), attention="spatial", attention_layers=[2]), features(7)
    first = leaky_relu(linear(net.layers[0], x))
    second = net.gates["2"](leaky_relu(linear(net.layers[1], first)))
    torch.testing.assert_close(net(x), linear(net.layers[3], leaky_relu(linear(net.layers[2], second))))
    assert sorted(made(attention="spatial").gates) == ["1", "2", "3"]


def test_parameters_of_icon():
    layers = (13 * 512 + 512) + (512 * 256 + 256) + ((256 + 13) * 128 + 128) + (128 + 13 + 1)
    assert count(PointMLP(ICON)) == layers + 2 * (512 + 256 + 128)
    assert count(PointMLP(ICON, norm="instance")) == layers
    gate = sum(2 * c * (c // 4) + c // 4 + c for c in (512, 256, 128))
    assert count(PointMLP(ICON, norm="none", attention="channel")) == layers + gate
    assert count(PointMLP(ICON, norm="none", attention="scse")) == layers + gate + 512 + 256 + 128 + 3
    assert count(PointMLP(ICON, norm="none", outputs=2)) == layers + 128 + 13 + 1


def test_parameters_of_pifu():
    sizes = zip([257, 1024 + 257, 512 + 257, 256 + 257, 128 + 257], [1024, 512, 256, 128, 1], strict=True)
    assert count(PointMLP(PIFU, (1, 2, 3, 4), norm="none")) == sum(i * o + o for i, o in sizes)


ALONE = [
    {"norm": "batch"},
    {"norm": "layer", "shape": "u"},
    {"norm": "none", "shape": "n", "dropout": 0.3},
    {"attention": "channel"},
    {"attention": "spatial", "pool": "points"},
    {"attention": "scse", "outputs": 2},
]
MIXED = [
    {"norm": "group"},
    {"norm": "instance"},
    {"attention": "channel", "pool": "points"},
    {"attention": "scse", "pool": "points"},
]


@pytest.mark.parametrize("settings", ALONE, ids=str)
def test_points_do_not_see_each_other(settings):
    net, x = made(**settings), features(40)
    assert net.points_independent
    torch.testing.assert_close(net(x)[..., :9], net(x[..., :9]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("settings", MIXED, ids=str)
def test_points_see_each_other_where_that_is_said(settings):
    net, x = made(**settings), features(40)
    assert not net.points_independent
    assert (net(x)[..., :9] - net(x[..., :9])).abs().max() > 1e-5


@pytest.mark.parametrize("settings", ALONE + MIXED, ids=str)
def test_order_of_points_does_not_matter(settings):
    net, x = made(**settings), features(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(x[..., order]), net(x)[..., order], rtol=1e-9, atol=1e-12)
    assert not torch.equal(net(x)[..., order], net(x))


def test_dropout_only_while_training():
    net, x = made(norm="none", dropout=0.5), features(40)
    assert torch.equal(net(x), net(x))
    net.train()
    assert not torch.equal(net(x), net(x))
    still = made(norm="none").train()
    assert torch.equal(still(x), still(x))


def test_last_operation():
    raw = made(last="none", outputs=2)(features(7))
    assert raw.shape == (2, 2, 7)
    for last, function in (("sigmoid", torch.sigmoid), ("tanh", torch.tanh)):
        done = made(last=last, outputs=2)(features(7))
        torch.testing.assert_close(done[:, :1], function(raw[:, :1]))
        torch.testing.assert_close(done[:, 1:], raw[:, 1:])


def test_mixed_precision_returns_float32():
    with torch.autocast("cpu", torch.bfloat16):
        assert PointMLP(SMALL)(features(7).float()).dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"sizes": []}, "sizes"),
        ({"sizes": [5, 1.5, 1]}, "sizes"),
        ({"skips": (7,)}, "skips"),
        ({"norm": "bn"}, "norm"),
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": -0.1}, "dropout"),
        ({"attention": "se"}, "attention"),
        ({"attention_layers": [1]}, "attention_layers"),
        ({"attention": "channel", "attention_layers": [0]}, "attention_layers"),
        ({"attention": "channel", "attention_layers": [4]}, "attention_layers"),
        ({"attention": "channel", "attention_layers": [1, 1]}, "attention_layers"),
        ({"attention": "channel", "attention_layers": []}, "attention_layers"),
        ({"attention": "channel", "reduction": 0}, "reduction"),
        ({"attention": "channel", "reduction": 9}, "reduction"),
        ({"pool": "mean"}, "pool"),
        ({"last": "softmax"}, "last"),
        ({"shape": "v"}, "shape"),
        ({"outputs": 3}, "outputs"),
    ],
    ids=str,
)
def test_bad_settings_are_refused(settings, named):
    with pytest.raises(ValueError, match=named):
        PointMLP(**({"sizes": SMALL} | settings))
