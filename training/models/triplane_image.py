"""Planes across the picture's direction of view, guessed from one picture."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checks import check_divides, check_least, check_shape
from .norms import norm_layer
from .triplane import resized


class ColumnEncoder(nn.Module):
    """Each column of pixels to a column of depths: (b, c, h, w) to (b, c, size, w), columns not mixed.

    Learned queries, one of each depth, look at the pixels of a column (cross attention, Vaswani et al. 2017), whose
    places along it are learned, too; a small network follows.

    Args:
        channels: of the features, a multiple of `heads`.
        size: pixels of a column (h), and depths.
        heads: of the attention.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(self, channels: int, size: int, heads: int = 4) -> None:
        super().__init__()
        check_least(1, channels=channels, size=size, heads=heads)
        check_divides(heads, "channels", [channels])
        self.channels, self.size, self.heads = channels, size, heads
        self.depths = nn.Parameter(0.02 * torch.randn(size, channels))
        self.places = nn.Parameter(0.02 * torch.randn(size, channels))
        self.pixel_norm, self.depth_norm, self.last_norm = (nn.LayerNorm(channels) for _ in range(3))
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.mix = nn.Linear(channels, channels)
        self.after = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def forward(self, features: Tensor) -> Tensor:
        """Features (b, channels, size, w) to depths (b, channels, size, w)."""
        check_shape("features", features, None, self.channels, self.size, None)
        batch, _, _, width = features.shape
        pixels = self.pixel_norm(features.permute(0, 3, 2, 1).flatten(0, 1) + self.places)
        key, value = self.key_value(pixels).chunk(2, dim=-1)
        query = self.query(self.depth_norm(self.depths)).expand(batch * width, -1, -1)
        seen = functional.scaled_dot_product_attention(self._heads(query), self._heads(key), self._heads(value))
        depths = self.depths + self.mix(seen.transpose(-2, -3).flatten(-2))
        depths = depths + self.after(self.last_norm(depths))
        return depths.unflatten(0, (batch, width)).permute(0, 3, 2, 1)


class TriplaneFromImage(nn.Module):
    """Planes from a picture's features (plane 0 in the picture, the others across it).

    Plane 0 is a convolution of the features; plane 1 (x, z) comes from the picture's columns and plane 2 (y, z) from
    its rows, each by a `ColumnEncoder`, then a convolution.

    Source: the side-view cross attention of SIFU (Zhang et al. 2024), made simple. Differs on purpose: the queries are
    learned depths; SIFU's come from the body's normals seen from the side.

    Args:
        in_channels: of the picture's features.
        channels: of the planes, a multiple of `heads`.
        size: rows and columns of the planes.
        heads: of the attention.
        norm: name of `norm_layer`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(self, in_channels: int, channels: int, size: int, heads: int = 4, norm: str = "group") -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, channels=channels, size=size)
        self.in_channels, self.size = in_channels, size
        self.enter = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, padding=1), norm_layer(norm, channels, 2), nn.ReLU()
        )
        self.columns, self.rows = ColumnEncoder(channels, size, heads), ColumnEncoder(channels, size, heads)
        self.planes = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, features: Tensor) -> Tensor:
        """Planes of a picture.

        Args:
            features: (b, in_channels, h, w) float; the picture spans [-1, 1] in x (columns) and y (rows).

        Returns:
            (b, 3, channels, size, size).

        Raises:
            ValueError: for features of another shape.
        """
        check_shape("features", features, None, self.in_channels, None, None)
        front = resized(self.enter(features), self.size)
        sides = [front, self.columns(front), self.rows(front.transpose(2, 3))]
        return torch.stack([conv(side) for conv, side in zip(self.planes, sides, strict=True)], dim=1)
