"""A head that mixes groups of a point's features instead of multiplying them all at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import check_chance, check_least, check_shape
from .point_output import PointOutput


def _mlp(channels: int, inside: int, dropout: float, bias: bool) -> nn.Sequential:
    last = nn.Linear(inside, channels, bias=bias)
    return nn.Sequential(nn.Linear(channels, inside), nn.GELU(), nn.Dropout(dropout), last, nn.Dropout(dropout))


class MixerBlock(nn.Module):
    """(..., tokens, width) to the same shape: mixes the tokens of each channel, then the channels of each token."""

    def __init__(self, tokens: int, width: int, token_inside: int, channel_inside: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.token_norm, self.channel_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = _mlp(tokens, token_inside, dropout, bias=False)
        self.channels = _mlp(width, channel_inside, dropout, bias=True)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mixed tokens."""
        mixed = self.tokens(self.token_norm(tokens).transpose(-1, -2)).transpose(-1, -2)
        tokens = tokens + mixed
        return tokens + self.channels(self.channel_norm(tokens))


class PointMixer(nn.Module):
    """Values of points from groups of features, (b, sum(groups), n) to (b, out, n); points are not mixed.

    Source: MLP-Mixer (Tolstikhin et al. 2021). Differs on purpose: the tokens are the groups of one point's features
    (image, sdf, cmap, norm, ...), each made as wide as the others by its own layer, not patches of a picture; and the
    token mixing ends without a bias, which the norm over channels that follows it everywhere would take away.

    Args:
        groups: channels of each group, in the order of the features; at least two groups.
        width: channels of a token.
        depth: blocks.
        token_inside: hidden width of the token mixing.
        channel_inside: hidden width of the channel mixing.
        dropout: chance to drop a number inside the mixing.
        channels: values of a point.
        last: `sigmoid`, `tanh` or `none`, of `PointOutput`.
        outputs: 2 for a log sigma beside each value, of `PointOutput`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(
        self,
        groups: Sequence[int],
        width: int = 128,
        depth: int = 4,
        *,
        token_inside: int = 32,
        channel_inside: int = 256,
        dropout: float = 0.0,
        channels: int = 1,
        last: str = "sigmoid",
        outputs: int = 1,
    ) -> None:
        super().__init__()
        check_least(1, width=width, depth=depth, token_inside=token_inside, channel_inside=channel_inside)
        check_chance("dropout", dropout)
        if len(groups) < 2:
            raise ValueError(f"groups is {list(groups)}; there must be at least two to mix")
        for size in groups:
            check_least(1, groups=size)
        self.groups = list(groups)
        self.embed = nn.ModuleList(nn.Linear(size, width) for size in groups)
        self.blocks = nn.Sequential(
            *(MixerBlock(len(groups), width, token_inside, channel_inside, dropout) for _ in range(depth))
        )
        self.output = PointOutput(channels, last, outputs)
        self.norm, self.final = nn.LayerNorm(width), nn.Linear(width, self.output.width)

    def forward(self, features: Tensor) -> Tensor:
        """Values of points.

        Args:
            features: (b, sum(groups), n) float.

        Returns:
            (b, channels * outputs, n) float32 (float64 for float64 features).

        Raises:
            ValueError: for features of another shape.
        """
        check_shape("features", features, None, sum(self.groups), None)
        parts = features.transpose(1, 2).split(self.groups, dim=2)
        tokens = torch.stack([embed(part) for embed, part in zip(self.embed, parts, strict=True)], dim=2)
        pooled = self.norm(self.blocks(tokens)).mean(dim=2)
        return self.output(self.final(pooled).transpose(1, 2))
