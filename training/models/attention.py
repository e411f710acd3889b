"""Squeeze-and-excitation gates on the features of points.

Where a gate's squeeze is a mean over points (`pool="points"`, the literal reading of the papers, whose positions are a
picture's pixels), unrelated points are mixed: HiLo's authors and users saw holes in their surfaces, and a grid at
evaluation is another set of points than a training step's, so it has another squeeze and another result. With
`pool="none"` each point is gated by its own features only, and its result does not depend on what else is asked for.
"""

from torch import Tensor, nn

from .checks import check_choice, check_least

POOLS = ("none", "points")
GATES = ("channel", "spatial", "scse")


class ChannelGate(nn.Module):
    """A factor in (0, 1) for every channel, (b, c, n) to the same shape.

    Source: Hu et al., Squeeze-and-Excitation Networks, 2018. Differs: with `pool="none"` there is no squeeze.

    Args:
        channels: of the features.
        reduction: how many times fewer channels the gate has inside, at most `channels`.
        pool: `none`, or `points` for the mean over points (see the warning above).

    Raises:
        ValueError: for a bad setting.
    """

    def __init__(self, channels: int, reduction: int = 4, pool: str = "none") -> None:
        super().__init__()
        check_least(1, channels=channels, reduction=reduction)
        check_choice("pool", pool, POOLS)
        if reduction > channels:
            raise ValueError(f"reduction is {reduction}; it must be at most the number of channels, {channels}")
        self.pool, inside = pool, channels // reduction
        self.gate = nn.Sequential(
            nn.Conv1d(channels, inside, 1), nn.ReLU(), nn.Conv1d(inside, channels, 1), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        """Gated features."""
        squeezed = features.mean(dim=2, keepdim=True) if self.pool == "points" else features
        return features * self.gate(squeezed)


class SpatialGate(nn.Module):
    """A factor in (0, 1) for every point, (b, c, n) to the same shape; points are not mixed.

    Source: sSE of Roy et al. 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_least(1, channels=channels)
        self.gate = nn.Sequential(nn.Conv1d(channels, 1, 1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Gated features."""
        return features * self.gate(features)


class BothGates(nn.Module):
    """The sum of a channel gate's and a spatial gate's results: scSE of Roy et al. 2018; settings of `ChannelGate`."""

    def __init__(self, channels: int, reduction: int = 4, pool: str = "none") -> None:
        super().__init__()
        self.channel, self.spatial = ChannelGate(channels, reduction, pool), SpatialGate(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Gated features."""
        return self.channel(features) + self.spatial(features)


def point_gate(kind: str, channels: int, reduction: int = 4, pool: str = "none") -> nn.Module:
    """A gate by name: `channel`, `spatial` or `scse`; ValueError for an unknown kind or a bad setting."""
    check_choice("attention", kind, GATES)
    check_choice("pool", pool, POOLS)
    if kind == "spatial":
        return SpatialGate(channels)
    return (ChannelGate if kind == "channel" else BothGates)(channels, reduction, pool)
