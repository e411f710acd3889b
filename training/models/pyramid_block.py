"""Residual block of three 3x3 convolutions whose results are put side by side."""

import torch
from torch import Tensor, nn

from .checks import check_divides, check_least
from .norms import norm_layer


def _normed_conv(inputs: int, outputs: int, norm: str, kernel: int) -> nn.Sequential:
    """Norm, ReLU, then a convolution without bias that keeps the size."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(norm_layer(norm, inputs, 2), nn.ReLU(), conv)


class PyramidBlock(nn.Module):
    """(b, inputs, h, w) to (b, outputs, h, w): halves, quarters and quarters of the outputs, joined, plus the input.

    Source: the hierarchical, parallel and multi-scale block of Bulat and Tzimiropoulos 2017, as PIFu (Saito et al.
    2019) uses it in its hourglass. Differs: no norm is made for a shortcut that does not need one.

    Args:
        inputs: channels in.
        outputs: channels out, a multiple of 4.
        norm: name of `norm_layer`.

    Raises:
        ValueError: for bad channels or an unknown norm.
    """

    def __init__(self, inputs: int, outputs: int, norm: str = "group") -> None:
        super().__init__()
        check_least(1, inputs=inputs, outputs=outputs)
        check_divides(4, "outputs", [outputs])
        half, quarter = outputs // 2, outputs // 4
        self.first = _normed_conv(inputs, half, norm, 3)
        self.second = _normed_conv(half, quarter, norm, 3)
        self.third = _normed_conv(quarter, quarter, norm, 3)
        self.shortcut = nn.Identity() if inputs == outputs else _normed_conv(inputs, outputs, norm, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Features (b, inputs, h, w) to (b, outputs, h, w)."""
        first = self.first(features)
        second = self.second(first)
        third = self.third(second)
        return torch.cat([first, second, third], dim=1) + self.shortcut(features)
