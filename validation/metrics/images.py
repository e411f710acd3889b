"""Likeness of pictures."""

from torch import Tensor, uint8
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

WINDOW = 11  # pixels of a side of SSIM's Gaussian


def psnr(predicted: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture.

    Args:
        predicted: (b, h, w, 3) uint8, or float in [0, 1].
        truth: the same; the two may differ in dtype.

    Returns:
        (b,) float decibels, infinite where the pictures are the same.

    Raises:
        ValueError: shapes differ, or a value is not in [0, 1].
    """
    one, other = _pictures(predicted, truth)
    return peak_signal_noise_ratio(one, other, data_range=1.0, reduction="none", dim=(1, 2, 3))


def ssim(predicted: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of each picture: Z. Wang et al., "Image quality assessment", 2004, mean over channels.

    Of windows that lie in the picture, as in that paper and in scikit-image; torchmetrics' own mean takes those that
    lie half in a mirrored border, too.

    Args:
        predicted: (b, h, w, 3) uint8, or float in [0, 1]; h and w at least 11.
        truth: the same; the two may differ in dtype.

    Returns:
        (b,) float, 1 where the pictures are the same.

    Raises:
        ValueError: shapes differ, a value is not in [0, 1], or pictures are smaller than 11 pixels.
    """
    one, other = _pictures(predicted, truth)
    if min(one.shape[-2:]) < WINDOW:
        raise ValueError(f"pictures of {tuple(one.shape[-2:])} pixels: the window takes {WINDOW}")
    _, likeness = structural_similarity_index_measure(
        one, other, data_range=1.0, reduction="none", return_full_image=True
    )
    inner = slice(WINDOW // 2, -(WINDOW // 2))
    return likeness[..., inner, inner].mean((1, 2, 3))


def _pictures(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both as (b, 3, h, w) float in [0, 1]."""
    if predicted.shape != truth.shape or predicted.ndim != 4 or predicted.shape[-1] != 3:
        raise ValueError(f"both must be (b, h, w, 3), not {tuple(predicted.shape)} and {tuple(truth.shape)}")
    return _picture(predicted), _picture(truth)


def _picture(given: Tensor) -> Tensor:
    if given.dtype == uint8:
        return (given.float() / 255).movedim(-1, 1)
    if not given.is_floating_point():
        raise ValueError(f"pictures are uint8 or float, not {given.dtype}")
    values = given if given.dtype.itemsize >= 4 else given.float()
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise ValueError("float pictures must lie in [0, 1]")
    return values.movedim(-1, 1)
