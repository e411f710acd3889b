"""Residual block of a volume."""

from torch import Tensor, nn

from .norms import norm_layer


class ResidualBlock3d(nn.Module):
    """(b, c, d, h, w) to the same shape: two 3x3x3 convolutions, each after norm and ReLU, added to the input.

    Source: He et al., Identity Mappings in Deep Residual Networks, 2016.
    """

    def __init__(self, channels: int, norm: str = "group") -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for _ in range(2):
            conv = nn.Conv3d(channels, channels, 3, padding=1, bias=False)
            steps += [norm_layer(norm, channels, 3), nn.ReLU(), conv]
        self.change = nn.Sequential(*steps)

    def forward(self, volume: Tensor) -> Tensor:
        """The volume and its change."""
        return volume + self.change(volume)
