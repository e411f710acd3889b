"""Features of pictures and volumes at points between their pixels.

Pictures span [-1, 1] with the outer corners of their pixels at the ends: the centre of column i of w is at
x = (2 i + 1) / w - 1. x runs along the columns, y along the rows (the first row is at -1: what projects points must
turn a y that points up), z along the slices of a volume.
"""

import torch
from torch import Tensor
from torch.nn import functional

from .checks import check_choice, check_shape

PADDINGS = ("border", "zeros")
HALVES = (torch.float16, torch.bfloat16)


def sample_at(features: Tensor, xy: Tensor, padding: str = "border") -> Tensor:
    """Bilinear values of feature maps at points (PIFu's pixel-aligned features, with our pixel convention).

    Positions are kept in float32 at least, also in mixed precision: in bfloat16 they would jump by a pixel.

    Args:
        features: (b, c, h, w) float.
        xy: (b, n, 2) float, in [-1, 1]; points outside get what `padding` says.
        padding: `border` (the nearest edge's value) or `zeros`.

    Returns:
        (b, c, n) of the features' dtype.

    Raises:
        ValueError: for wrong shapes or an unknown padding.
    """
    check_shape("features", features, None, None, None, None)
    check_shape("xy", xy, features.shape[0], None, 2)
    return _sample(features, xy[:, :, None], padding).squeeze(3)


def sample_volume(volume: Tensor, xyz: Tensor, padding: str = "border") -> Tensor:
    """Trilinear values of feature volumes at points; `sample_at` with one more axis.

    Args:
        volume: (b, c, d, h, w) float; z runs along d, y along h, x along w.
        xyz: (b, n, 3) float, in [-1, 1].
        padding: `border` or `zeros`.

    Returns:
        (b, c, n) of the volume's dtype.

    Raises:
        ValueError: for wrong shapes or an unknown padding.
    """
    check_shape("volume", volume, None, None, None, None, None)
    check_shape("xyz", xyz, volume.shape[0], None, 3)
    return _sample(volume, xyz[:, :, None, None], padding).flatten(2)


def _sample(features: Tensor, grid: Tensor, padding: str) -> Tensor:
    """`grid_sample` in a precision that both can have."""
    check_choice("padding", padding, PADDINGS)
    exact = features.float() if features.dtype in HALVES else features
    values = functional.grid_sample(
        exact, grid.to(exact.dtype), mode="bilinear", padding_mode=padding, align_corners=False
    )
    return values.to(features.dtype)
