"""The picture-to-picture network that predicts clothed normals."""

from itertools import pairwise

from torch import Tensor, nn

from .checks import check_divides, check_least, check_shape
from .norms import norm_layer


class PictureResidual(nn.Module):
    """(b, c, h, w) to the same shape: two 3x3 convolutions on reflected borders, added to the input."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels, 2),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            norm_layer(norm, channels, 2),
        )

    def forward(self, features: Tensor) -> Tensor:
        """The features and their change."""
        return features + self.change(features)


def _start_weights(module: nn.Module) -> None:
    """Convolutions start as in the paper: normal with a deviation of 0.02, no bias."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class GlobalGenerator(nn.Module):
    """A picture (b, in_channels, H, W) to another of the same size, (b, out_channels, H, W) in (-1, 1).

    Source: the global generator of pix2pixHD (Wang et al. 2018), with as many parameters: 182,546,755 for 36 channels
    to 3. ICON (Xiu et al. 2022) has two, each from a picture and the body's normals (6 channels) to the clothed normals
    of one side (3). Differs: nothing in the layers; biases start at 0 instead of at random, which instance norm undoes.

    Args:
        in_channels: of the picture.
        out_channels: of the result.
        filters: channels after the first layer; they double at each halving.
        downs: halvings, and doublings on the way back.
        blocks: residual blocks at the smallest size.
        norm: name of `norm_layer`.

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        filters: int = 64,
        downs: int = 4,
        blocks: int = 9,
        norm: str = "instance",
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, out_channels=out_channels, filters=filters)
        check_least(0, downs=downs, blocks=blocks)
        self.in_channels, self.divisor = in_channels, 1 << downs
        steps: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(in_channels, filters, 7)]
        steps += [norm_layer(norm, filters, 2), nn.ReLU()]
        widths = [filters << level for level in range(downs + 1)]
        for less, more in pairwise(widths):
            steps += [nn.Conv2d(less, more, 3, stride=2, padding=1), norm_layer(norm, more, 2), nn.ReLU()]
        steps += [PictureResidual(widths[-1], norm) for _ in range(blocks)]
        for more, less in zip(widths[:0:-1], widths[-2::-1], strict=True):
            grow = nn.ConvTranspose2d(more, less, 3, stride=2, padding=1, output_padding=1)
            steps += [grow, norm_layer(norm, less, 2), nn.ReLU()]
        self.layers = nn.Sequential(*steps, nn.ReflectionPad2d(3), nn.Conv2d(filters, out_channels, 7), nn.Tanh())
        self.apply(_start_weights)

    def forward(self, picture: Tensor) -> Tensor:
        """The other picture.

        Args:
            picture: (b, in_channels, H, W) float, usually in [-1, 1]; H and W multiples of 2 ** downs, at least 4, and
                at least twice 2 ** downs.

        Returns:
            (b, out_channels, H, W) in (-1, 1).

        Raises:
            ValueError: for a picture of another shape.
        """
        check_shape("picture", picture, None, self.in_channels, None, None)
        sizes = picture.shape[2:]
        check_divides(self.divisor, "height and width of picture", sizes)
        if min(sizes) < max(4, 2 * self.divisor):
            raise ValueError(f"picture is {tuple(sizes)}; each side must be at least {max(4, 2 * self.divisor)}")
        return self.layers(picture)
