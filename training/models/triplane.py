"""Features on three planes that cross in the middle of the cube [-1, 1]^3, and their sum at points.

Planes are (b, 3, c, h, w). The columns and rows of plane 0 run along x and y, those of plane 1 along x and z, those of
plane 2 along y and z; pixels lie as in `pixel_features`.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .checks import check_least, check_shape
from .norms import norm_layer
from .pixel_features import sample_at

AXES = ((0, 1), (0, 2), (1, 2))  # what the columns and rows of each plane run along


def sample_triplane(planes: Tensor, xyz: Tensor, padding: str = "border") -> Tensor:
    """Sum of the three planes' bilinear values at points (Chan et al., EG3D, 2022).

    Args:
        planes: (b, 3, c, h, w) float.
        xyz: (b, n, 3) float in [-1, 1].
        padding: of `sample_at`.

    Returns:
        (b, c, n) of the planes' dtype.

    Raises:
        ValueError: for wrong shapes or an unknown padding.
    """
    check_shape("planes", planes, None, 3, None, None, None)
    check_shape("xyz", xyz, planes.shape[0], None, 3)
    shadows = torch.stack([xyz[..., list(axes)] for axes in AXES], dim=1)
    return sample_at(planes.flatten(0, 1), shadows.flatten(0, 1), padding).unflatten(0, planes.shape[:2]).sum(dim=1)


def resized(features: Tensor, size: int) -> Tensor:
    """(b, c, h, w) to (b, c, size, size): means of areas where a side shrinks, else bilinear."""
    if max(features.shape[2:]) > size:
        return functional.adaptive_avg_pool2d(features, size)
    return functional.interpolate(features, size=(size, size), mode="bilinear")


class TriplaneFromVolume(nn.Module):
    """Planes from a body's volume: its mean and its maximum along each axis, each pair then convolved.

    Source: ours; the projections are those of Peng et al., Convolutional Occupancy Networks, 2020, for a volume.

    Args:
        in_channels: of the volume.
        channels: of the planes.
        size: rows and columns of the planes.
        norm: name of `norm_layer`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(self, in_channels: int, channels: int, size: int, norm: str = "group") -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, channels=channels, size=size)
        self.in_channels, self.size = in_channels, size
        self.planes = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(2 * in_channels, channels, 3, padding=1),
                norm_layer(norm, channels, 2),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            for _ in AXES
        )

    def forward(self, volume: Tensor) -> Tensor:
        """Planes of a volume.

        Args:
            volume: (b, in_channels, d, h, w) float; z runs along d, y along h, x along w.

        Returns:
            (b, 3, channels, size, size).

        Raises:
            ValueError: for a volume of another shape.
        """
        check_shape("volume", volume, None, self.in_channels, None, None, None)
        planes = []
        for collapsed, convs in zip((2, 3, 4), self.planes, strict=True):  # z, y, x: leaves (y, x), (z, x), (z, y)
            shadow = torch.cat([volume.mean(dim=collapsed), volume.amax(dim=collapsed)], dim=1)
            planes.append(convs(resized(shadow, self.size)))
        return torch.stack(planes, dim=1)
