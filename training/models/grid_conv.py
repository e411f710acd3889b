"""A head that sees a point's neighbours, for points that fill a cube in order."""

from torch import Tensor, nn

from .checks import check_least, check_shape
from .norms import norm_layer
from .point_output import PointOutput
from .residual3d import ResidualBlock3d


def grid_side(points: int) -> int:
    """k of k ** 3 points; ValueError where they do not fill a cube."""
    side = round(points ** (1 / 3))
    if points < 1 or side**3 != points:
        raise ValueError(f"features of {points} points; they must fill a cube (1, 8, 27, 64, ...)")
    return side


class GridConv(nn.Module):
    """Values of grid points, (b, in_channels, k ** 3) to (b, channels, k ** 3), by residual 3-D convolutions.

    Point (i, j, l) of the grid is number (i * k + j) * k + l: x (i) slowest, z (l) fastest. A value depends on the
    points around it, and with group or instance norm on the whole grid: train and evaluate with the same spacing, and
    with the same k unless the norm is `batch`, `layer` or `none`. Not for points drawn at random.

    Source: ours, of blocks by He et al. 2016.

    Args:
        in_channels: features of a point.
        width: channels inside.
        blocks: residual blocks; each sees two points further on each side, after one that the first layer sees.
        channels: values of a point.
        norm: name of `norm_layer`.
        last: `sigmoid`, `tanh` or `none`, of `PointOutput`.
        outputs: 2 for a log sigma beside each value, of `PointOutput`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 32,
        blocks: int = 2,
        *,
        channels: int = 1,
        norm: str = "batch",
        last: str = "sigmoid",
        outputs: int = 1,
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, width=width)
        check_least(0, blocks=blocks)
        self.in_channels, self.output = in_channels, PointOutput(channels, last, outputs)
        self.layers = nn.Sequential(
            nn.Conv3d(in_channels, width, 3, padding=1),
            *(ResidualBlock3d(width, norm) for _ in range(blocks)),
            norm_layer(norm, width, 3),
            nn.ReLU(),
            nn.Conv3d(width, self.output.width, 1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Values of the points of a grid.

        Args:
            features: (b, in_channels, k ** 3) float, in grid order.

        Returns:
            (b, channels * outputs, k ** 3) float32 (float64 for float64 features), in grid order.

        Raises:
            ValueError: for features of another shape or points that fill no cube.
        """
        check_shape("features", features, None, self.in_channels, None)
        side = grid_side(features.shape[2])
        return self.output(self.layers(features.unflatten(2, (side, side, side))).flatten(2))
