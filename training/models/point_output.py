"""What a head's last numbers mean: a value for each point and, if asked for, how uncertain it is."""

import torch
from torch import Tensor, nn

from .checks import check_choice, check_least

LASTS = ("sigmoid", "none", "tanh")


class PointOutput(nn.Module):
    """Last operation of every head.

    Args:
        channels: values of a point (1 for an occupancy or a distance).
        last: `sigmoid` (occupancy), `tanh` or `none` (distance) on the values.
        outputs: 1, or 2 for values and as many natural logarithms of their standard deviations, which are left as they
            are (D-IF, Yang et al. 2023, predicts a distribution in this way; a loss takes exp).

    Raises:
        ValueError: for a bad setting.
    """

    def __init__(self, channels: int, last: str = "sigmoid", outputs: int = 1) -> None:
        super().__init__()
        check_least(1, channels=channels)
        check_choice("last", last, LASTS)
        if outputs not in (1, 2):
            raise ValueError(f"outputs is {outputs!r}; it must be 1 (values) or 2 (values and log sigma)")
        self.channels, self.last, self.width = channels, last, channels * outputs

    def forward(self, numbers: Tensor) -> Tensor:
        """(b, channels * outputs, n) to the same shape; half precision becomes float32, finer near 1."""
        if numbers.dtype in (torch.float16, torch.bfloat16):
            numbers = numbers.float()
        values, rest = numbers[:, : self.channels], numbers[:, self.channels :]
        if self.last != "none":
            values = torch.sigmoid(values) if self.last == "sigmoid" else torch.tanh(values)
        return torch.cat([values, rest], dim=1)
