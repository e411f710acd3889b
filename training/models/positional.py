"""Waves of a signed distance, so that a network sees its small changes."""

import math

import torch
from torch import Tensor, nn

from .checks import check_least, check_shape


def band_weights(bands: int, progress: float, window: tuple[float, float] = (0.0, 0.1)) -> Tensor:
    """How much each band counts at some time of training: low ones come first, each rises along a half cosine.

    Source: BARF (Lin et al. 2021) and Nerfies (Park et al. 2021); HiLo's window is the first tenth of training.

    Args:
        bands: how many.
        progress: part of training that is done, 0 to 1; 1 or above in evaluation.
        window: when the first band starts to rise and when the last has risen, in parts of training.

    Returns:
        (bands,) float32 in [0, 1].

    Raises:
        ValueError: for no bands, a window that does not rise within [0, 1], or a progress below 0 or not a number.
    """
    check_least(1, bands=bands)
    start, end = window
    if not 0 <= start < end <= 1:
        raise ValueError(f"window is {window}; it must rise within 0 to 1")
    if not progress >= 0:
        raise ValueError(f"progress is {progress}; it must be a part of training, 0 to 1")
    alpha = bands * min(max((progress - start) / (end - start), 0.0), 1.0)
    return (1 - torch.cos(math.pi * (alpha - torch.arange(bands)).clamp(0, 1))) / 2


class SdfEncoding(nn.Module):
    """(b, 1, n) signed distances to (b, 1 + 2 * bands, n): the distance, then sine and cosine of each band.

    Band k is sin and cos of 2 ** k * pi * distance (NeRF, Mildenhall et al. 2020); HiLo (Yang et al. 2024) has 14 of
    them, coarse to fine. Distances are best in normalised device coordinates, within [-1, 1]: beyond, the lowest band
    repeats. Computed in float32 in mixed precision, too: bfloat16 holds
    none of the upper bands. Has no parameters.

    Args:
        bands: L.
        include_input: whether the distance itself comes first; without it everything is 0 before the window opens.
        window: of `band_weights`.

    Raises:
        ValueError: for a bad setting.
    """

    def __init__(self, bands: int = 14, include_input: bool = True, window: tuple[float, float] = (0.0, 0.1)) -> None:
        super().__init__()
        band_weights(bands, 0.0, window)
        self.bands, self.include_input, self.window = bands, include_input, window
        self.channels = 2 * bands + include_input

    def forward(self, sdf: Tensor, progress: float = 1.0) -> Tensor:
        """Encoded distances.

        Args:
            sdf: (b, 1, n) float.
            progress: part of training that is done; 1, the default, shows all bands.

        Returns:
            (b, channels, n) float32, `channels` being 2 * bands, and 1 more with the input.

        Raises:
            ValueError: for another shape or a bad progress.
        """
        check_shape("sdf", sdf, None, 1, None)
        exact = sdf.float()
        angles = exact * (math.pi * 2.0 ** torch.arange(self.bands, device=sdf.device))[:, None]
        weights = band_weights(self.bands, progress, self.window).to(sdf.device)
        waves = torch.stack([torch.sin(angles), torch.cos(angles)], dim=2) * weights[:, None, None]
        waves = waves.flatten(1, 2)
        return torch.cat([exact, waves], dim=1) if self.include_input else waves
