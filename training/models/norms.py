"""Normalisation layers by name, for features (b, c, ...) with one, two or three further dimensions."""

from torch import Tensor, nn

from .checks import check_choice, check_least

NORMS = ("batch", "group", "instance", "layer", "none")
MIXING_NORMS = ("group", "instance")  # their statistics run over positions, in evaluation too
GROUPS = 32  # Wu and He, Group Normalization, 2018; PIFu uses the same
_BATCH = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


class ChannelLayerNorm(nn.Module):
    """Layer norm over the channels of each position alone: (b, c, ...) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Each position's channels with mean 0 and variance 1, then scaled and shifted."""
        return self.norm(features.movedim(1, -1)).movedim(-1, 1)


def group_count(channels: int) -> int:
    """Groups of a group norm: 32 where they divide the channels, else as many as leave 4 channels or more a group.

    PIFu asks for 32 always, which does not exist for narrow layers; a group of one channel would be an instance norm.
    """
    check_least(1, channels=channels)
    if channels % GROUPS == 0:
        return GROUPS
    most = max(1, min(GROUPS, channels // 4))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


def norm_layer(name: str, channels: int, dimensions: int) -> nn.Module:
    """A normalisation of (b, channels, ...) features.

    Args:
        name: `batch`; `group` (statistics over channels of a group and all positions); `instance` (over positions,
            without learned scale, as pix2pixHD has it); `layer` (over the channels of one position); `none`.
        channels: of the features.
        dimensions: of the positions, 1 (points), 2 (pictures) or 3 (volumes).

    Raises:
        ValueError: for an unknown name or dimension.
    """
    check_choice("norm", name, NORMS)
    check_least(1, channels=channels)
    if dimensions not in _BATCH:
        raise ValueError(f"dimensions is {dimensions!r}; it must be 1, 2 or 3")
    if name == "batch":
        return _BATCH[dimensions](channels)
    if name == "group":
        return nn.GroupNorm(group_count(channels), channels)
    if name == "instance":
        return _INSTANCE[dimensions](channels)
    return ChannelLayerNorm(channels) if name == "layer" else nn.Identity()
