"""The 3-D convolutions that turn a body's voxels into features."""

from torch import Tensor, nn

from .checks import check_divides, check_least, check_shape
from .norms import norm_layer
from .residual3d import ResidualBlock3d


class VolumeEncoder(nn.Module):
    """(b, in_channels, d, h, w) to (b, channels, d / s, h / s, w / s) with s = 2 ** downs.

    Source: PaMIR (Zheng et al. 2021): 3 channels (each voxel's place on the template body) on 128 cubed to 32 channels
    on 32 cubed. Differs on purpose: residual blocks in place of hourglass stages, one output; and the first convolution
    halves at once, because features on all of 128 cubed would take most of the memory.

    Args:
        in_channels: of the voxels.
        channels: of the features.
        width: channels after the first halving; they double at each further one.
        downs: halvings.
        blocks: residual blocks after each halving.
        norm: name of `norm_layer`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 32,
        width: int = 16,
        downs: int = 2,
        blocks: int = 2,
        norm: str = "group",
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, channels=channels, width=width, downs=downs)
        check_least(0, blocks=blocks)
        self.in_channels, self.divisor = in_channels, 1 << downs
        steps: list[nn.Module] = []
        inputs = in_channels
        for down in range(downs):
            outputs = width << down
            steps += [nn.Conv3d(inputs, outputs, 3, stride=2, padding=1)]
            steps += [norm_layer(norm, outputs, 3), nn.ReLU()]
            steps += [ResidualBlock3d(outputs, norm) for _ in range(blocks)]
            inputs = outputs
        self.layers = nn.Sequential(*steps, norm_layer(norm, inputs, 3), nn.ReLU(), nn.Conv3d(inputs, channels, 1))

    def forward(self, volume: Tensor) -> Tensor:
        """Features of a volume.

        Args:
            volume: (b, in_channels, d, h, w) float, sizes multiples of 2 ** downs.

        Returns:
            (b, channels, d / 2 ** downs, h / 2 ** downs, w / 2 ** downs).

        Raises:
            ValueError: for a volume of another shape.
        """
        check_shape("volume", volume, None, self.in_channels, None, None, None)
        check_divides(self.divisor, "depth, height and width of volume", volume.shape[2:])
        return self.layers(volume)
