"""The stacked hourglass that turns a picture into pixel-aligned features."""

from torch import Tensor, nn
from torch.nn import functional

from .checks import check_choice, check_divides, check_least, check_shape
from .norms import norm_layer
from .pyramid_block import PyramidBlock

DOWNS = ("ave_pool", "conv64", "conv128")


class Hourglass(nn.Module):
    """(b, c, h, w) to the same shape, seen at `depth` further scales, each half the one before.

    Source: Newell et al. 2016 with PIFu's blocks. Differs: upsampling is bilinear with the pixels' corners at the ends,
    as average pooling has them; PIFu's is bicubic with the pixels' centres there, which shifts features near the edges.
    """

    def __init__(self, depth: int, channels: int, norm: str = "group") -> None:
        super().__init__()
        check_least(1, depth=depth)
        self.around = PyramidBlock(channels, channels, norm)
        self.before = PyramidBlock(channels, channels, norm)
        inner = Hourglass(depth - 1, channels, norm) if depth > 1 else PyramidBlock(channels, channels, norm)
        self.inner = inner
        self.after = PyramidBlock(channels, channels, norm)

    def forward(self, features: Tensor) -> Tensor:
        """Features (b, c, h, w), h and w multiples of 2 ** depth, to the same shape."""
        small = self.after(self.inner(self.before(functional.avg_pool2d(features, 2))))
        return self.around(features) + functional.interpolate(small, scale_factor=2, mode="bilinear")


class Stack(nn.Module):
    """One hourglass, its output, and what the next stack gets."""

    def __init__(self, depth: int, width: int, channels: int, norm: str, last: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            Hourglass(depth, width, norm),
            PyramidBlock(width, width, norm),
            nn.Conv2d(width, width, 1),
            norm_layer(norm, width, 2),
            nn.ReLU(),
        )
        self.output = nn.Conv2d(width, channels, 1)
        self.from_body = None if last else nn.Conv2d(width, width, 1)
        self.from_output = None if last else nn.Conv2d(channels, width, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The output (b, channels, h, w), and the features (b, width, h, w) for the next stack."""
        body = self.body(features)
        output = self.output(body)
        if self.from_body is None or self.from_output is None:
            return output, features
        return output, features + self.from_body(body) + self.from_output(output)


def _stem(in_channels: int, width: int, norm: str, down: str) -> nn.Sequential:
    """(b, in_channels, H, W) to (b, width, H / 4, W / 4)."""
    quarter, half = width // 4, width // 2
    narrow = quarter if down == "conv64" else half
    halve = nn.AvgPool2d(2) if down == "ave_pool" else nn.Conv2d(narrow, half, 3, stride=2, padding=1)
    return nn.Sequential(
        nn.Conv2d(in_channels, quarter, 7, stride=2, padding=3),
        norm_layer(norm, quarter, 2),
        nn.ReLU(),
        PyramidBlock(quarter, narrow, norm),
        halve,
        PyramidBlock(half, half, norm),
        PyramidBlock(half, width, norm),
    )


class StackedHourglass(nn.Module):
    """PIFu's image filter: a picture to a list of feature maps at a quarter of its size, one of each stack.

    Source: PIFu (Saito et al. 2019) with 4 stacks of depth 2, width 256, 256 channels, group norm, `ave_pool`: 512 to
    128 pixels. ICON's filter (Xiu et al. 2022) is 2 stacks of 6 or 12 channels. Differs: see `Hourglass`,
    `PyramidBlock`, `group_count`; PyTorch's own initial weights instead of a normal of 0.02.

    Args:
        in_channels: of the picture.
        channels: of each output.
        stacks: how many hourglasses.
        depth: scales below a quarter of the picture.
        width: channels inside, a multiple of 16; PIFu's 256.
        norm: name of `norm_layer`.
        down: the second halving: `ave_pool`, or a strided convolution on a quarter of the width (`conv64`, what that
            is with 256) or on its half (`conv128`).

    Raises:
        ValueError: for a bad setting, which it names.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stacks: int,
        depth: int,
        width: int = 256,
        norm: str = "group",
        down: str = "ave_pool",
    ) -> None:
        super().__init__()
        check_least(1, in_channels=in_channels, channels=channels, stacks=stacks, depth=depth, width=width)
        check_divides(16, "width", [width])
        check_choice("down", down, DOWNS)
        self.in_channels, self.divisor = in_channels, 4 << depth
        self.stem = _stem(in_channels, width, norm, down)
        self.stacks = nn.ModuleList(Stack(depth, width, channels, norm, i == stacks - 1) for i in range(stacks))

    def forward(self, picture: Tensor) -> list[Tensor]:
        """Feature maps of a picture.

        Args:
            picture: (b, in_channels, H, W) float, H and W multiples of 4 * 2 ** depth.

        Returns:
            One (b, channels, H / 4, W / 4) of each stack, the last the best.

        Raises:
            ValueError: for a picture of another shape.
        """
        check_shape("picture", picture, None, self.in_channels, None, None)
        check_divides(self.divisor, "height and width of picture", picture.shape[2:])
        features, outputs = self.stem(picture), []
        for stack in self.stacks:
            output, features = stack(features)
            outputs.append(output)
        return outputs
