"""Gates by hand, and whether they mix points."""

import pytest
import torch
from tessera.training.models import point_gate
from tessera.training.models.attention import GATES


def features(points):
    return torch.randn(2, 8, points, generator=torch.Generator().manual_seed(0))


def test_channel_gate_with_points_is_hu_et_al():
    gate, x = point_gate("channel", 8, 2, "points"), features(9)
    first, last = gate.gate[0], gate.gate[2]
    squeezed = x.mean(2)
    inside = torch.relu(squeezed @ first.weight[..., 0].T + first.bias)
    assert inside.shape == (2, 4)
    factor = torch.sigmoid(inside @ last.weight[..., 0].T + last.bias)
    torch.testing.assert_close(gate(x), x * factor[..., None])


def test_scse_is_the_sum_of_both():
    gate, x = point_gate("scse", 8), features(9)
    spatial = x * torch.sigmoid(gate.spatial.gate[0](x))
    torch.testing.assert_close(gate(x), gate.channel(x) + spatial)


@pytest.mark.parametrize("pool", ["none", "points"])
@pytest.mark.parametrize("kind", GATES)
def test_only_a_squeeze_over_points_mixes_them(kind, pool):
    torch.manual_seed(1)  # of some weights, all of the gate's hidden values are below zero, and it sees nothing
    gate, x = point_gate(kind, 8, pool=pool), features(30)
    alone = torch.allclose(gate(x)[..., :4], gate(x[..., :4]), atol=1e-6)
    assert alone == (pool == "none" or kind == "spatial")


@pytest.mark.parametrize("arguments", [("se", 8), ("channel", 8, 9), ("channel", 8, 2, "all"), ("spatial", 0)])
def test_bad_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=r"attention|reduction|pool|channels"):
        point_gate(*arguments)
