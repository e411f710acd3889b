"""Small builds of every block, and what the tests ask of them."""

from collections.abc import Callable

import torch
from tessera.training import models
from tessera.training.models.attention import BothGates, ChannelGate, SpatialGate
from torch import Tensor, nn

PICTURE, VOLUME = (3, 32, 32), (3, 8, 8, 8)

# name: how it is made, and the shape of an item of its input
BLOCKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "hourglass": (lambda: models.StackedHourglass(3, 5, 2, 2, width=16), PICTURE),
    "hourglass_conv64_batch": (lambda: models.StackedHourglass(3, 5, 2, 1, 16, "batch", "conv64"), PICTURE),
    "hourglass_conv128_layer": (lambda: models.StackedHourglass(3, 5, 1, 1, 16, "layer", "conv128"), PICTURE),
    "generator": (lambda: models.GlobalGenerator(3, 2, filters=8, downs=2, blocks=2), PICTURE),
    "generator_batch": (lambda: models.GlobalGenerator(3, 2, filters=8, downs=1, blocks=1, norm="batch"), PICTURE),
    "volume_encoder": (lambda: models.VolumeEncoder(3, 6, width=8, downs=2, blocks=1), VOLUME),
    "triplane_image": (lambda: models.TriplaneFromImage(3, 8, size=8, heads=2), PICTURE),
    "triplane_volume": (lambda: models.TriplaneFromVolume(3, 8, size=6), VOLUME),
    "grid_conv": (lambda: models.GridConv(5, width=8, blocks=2, outputs=2), (5, 64)),
    "mlp": (lambda: models.PointMLP([5, 16, 12, 8, 1]), (5, 30)),
    "mlp_u": (lambda: models.PointMLP([5, 16, 12, 8, 1], norm="layer", shape="u", outputs=2, last="tanh"), (5, 30)),
    "mlp_n": (lambda: models.PointMLP([5, 9, 8, 2], norm="none", shape="n", attention="channel", reduction=1), (5, 30)),
    "mlp_group": (lambda: models.PointMLP([5, 16, 12, 8, 1], norm="group", attention="spatial"), (5, 30)),
    "mlp_scse": (lambda: models.PointMLP([5, 16, 12, 8, 1], attention="scse", reduction=1, pool="points"), (5, 30)),
    "mixer": (lambda: models.PointMixer([2, 1, 2], width=8, depth=2, channel_inside=16), (5, 30)),
    "channel_gate": (lambda: ChannelGate(8, reduction=2), (8, 30)),
    "spatial_gate": (lambda: SpatialGate(8), (8, 30)),
    "both_gates": (lambda: BothGates(8, reduction=1, pool="points"), (8, 30)),
}  # fmt: skip


def build(name: str, seed: int = 0) -> nn.Module:
    """A block of BLOCKS, made under a seed."""
    torch.manual_seed(seed)
    return BLOCKS[name][0]()


def item(name: str, batch: int, seed: int = 1) -> Tensor:
    """Random input of a block."""
    return torch.randn(batch, *BLOCKS[name][1], generator=torch.Generator().manual_seed(seed))


def joined(output: Tensor | list[Tensor]) -> Tensor:
    """All outputs of a block as (b, numbers)."""
    return torch.cat([one.flatten(1) for one in (output if isinstance(output, list) else [output])], dim=1)


def silenced(*modules: nn.Module) -> None:
    """Sets all parameters of these to 0."""
    for module in modules:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def unreached(module: nn.Module, loss: Tensor) -> set[str]:
    """Names of the parameters that a loss in float64 does not depend on."""
    module.zero_grad()
    loss.backward()
    return {name for name, p in module.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}


def ramp(*sizes: int) -> list[Tensor]:
    """Coordinates in [-1, 1] of the pixels' centres, one float64 array of these sizes for each axis."""
    return torch.meshgrid(*((2 * torch.arange(n).double() + 1) / n - 1 for n in sizes), indexing="ij")
