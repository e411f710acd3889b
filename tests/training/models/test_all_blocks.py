"""What holds for every block: gradients, items of a batch alone, seeds, mixed precision, wrong inputs refused."""

import pytest
import torch
from torch import nn

from .probes import BLOCKS, build, item, joined, unreached

every = pytest.mark.parametrize("name", BLOCKS)


@every
def test_gradients_reach_every_parameter(name):
    block = build(name).double().eval()
    output = joined(block(item(name, 2).double()))
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).double()
    lost = unreached(block, (output * weights).sum())
    expected = set()
    if name == "generator":  # an instance norm takes the bias before it away; only the last layer has none
        convs = [n for n, m in block.named_modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        expected = {f"{conv}.bias" for conv in convs[:-1]}
    assert lost == expected


@every
def test_items_of_a_batch_do_not_see_each_other(name):
    block, inputs = build(name).double().eval(), item(name, 3).double()
    before = joined(block(inputs))
    changed = inputs.clone()
    changed[1] = item(name, 1, seed=5)[0]
    after = joined(block(changed))
    torch.testing.assert_close(after[[0, 2]], before[[0, 2]], rtol=1e-9, atol=1e-12)
    assert (after[1] - before[1]).abs().max() > 1e-4


@every
def test_a_seed_gives_the_same_block(name):
    first, again, other = build(name, 3).state_dict(), build(name, 3).state_dict(), build(name, 4).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@every
def test_bfloat16_autocast_trains(name):
    block, inputs = build(name), item(name, 2)
    exact = joined(block(inputs))
    with torch.autocast("cpu", torch.bfloat16):
        rough = joined(block(inputs)).float()
    assert (rough - exact).abs().mean() < 0.05 * exact.abs().mean()
    rough.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


@pytest.mark.parametrize("name", [name for name in BLOCKS if "_gate" not in name])  # gates are a part of PointMLP
def test_other_channels_and_dimensions_are_refused(name):
    block, inputs = build(name), item(name, 2)
    for wrong in (inputs[:, :-1], inputs[0]):
        with pytest.raises(ValueError, match=r"has shape .* must be"):
            block(wrong)
