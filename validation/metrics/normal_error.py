"""Errors of normal maps: the published sum of squares over four views, and angles."""

from typing import NamedTuple

import torch
from torch import Tensor

LIMITS = 11.25, 22.5, 30.0  # degrees: D. Fouhey et al., "Data-driven 3D primitives", 2013


def icon_normal_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """The published normal error, "NC": Y. Xiu et al., "ICON", 2022. An error, not a consistency: lower is better.

    Over the views, the sum of the mean over all pixels, background too, of the sum over channels of squared
    differences.

    Args:
        predicted: (..., views, h, w, 3) colours in [0, 1] (`published_pictures`; four views in the papers).
        truth: the same of the true mesh.

    Returns:
        (...) float.

    Raises:
        ValueError: shapes differ, or are not of views of pictures.
    """
    _same(predicted, truth, 4)
    return (predicted.double() - truth.double()).square().sum(-1).mean((-1, -2)).sum(-1)


class AngleError(NamedTuple):
    """Angles between normals over the pixels of each picture; all NaN where no pixel counts.

    Attributes:
        mean: (...) degrees.
        median: (...) degrees.
        below_11: (...) share of the pixels, in [0, 1], whose angle is below 11.25 degrees.
        below_22: below 22.5 degrees.
        below_30: below 30 degrees.
    """

    mean: Tensor
    median: Tensor
    below_11: Tensor
    below_22: Tensor
    below_30: Tensor


def angle_error(predicted: Tensor, truth: Tensor, mask: Tensor | None = None) -> AngleError:
    """Angles between predicted and true normals, each picture by itself.

    Args:
        predicted: (..., h, w, 3) normals of any length; a zero vector says nothing, and counts as 90 degrees off.
        truth: (..., h, w, 3) normals of any length, in the same axes.
        mask: (..., h, w) bool pixels that count; None for those where `truth` is not zero.

    Returns:
        Tensors of the leading shape, float64.

    Raises:
        ValueError: shapes differ, a normal that counts is not finite, or `mask` holds pixels whose truth is zero.
    """
    _same(predicted, truth, 3)
    known = (truth != 0).any(-1)
    counted = known if mask is None else mask.bool()
    if counted.shape != known.shape:
        raise ValueError(f"the mask is {tuple(counted.shape)}, the pictures are {tuple(known.shape)}")
    if bool((counted & ~known).any()):
        raise ValueError("the mask holds pixels that have no true normal")
    angles = _angles(predicted.double(), truth.double())
    if bool((angles.isnan() & counted).any()):
        raise ValueError("normals that count are not finite")
    flat, used = angles.flatten(-2), counted.flatten(-2)
    number = used.sum(-1)
    shares = [((flat < limit) & used).sum(-1) / number.double() for limit in LIMITS]
    return AngleError(flat.masked_fill(~used, 0).sum(-1) / number, _median(flat, used, number), *shares)


def _angles(one: Tensor, other: Tensor) -> Tensor:
    """(..., h, w) degrees; the arc tangent is exact for small angles, where the arc cosine is not."""
    across, along = torch.linalg.cross(one, other).norm(dim=-1), (one * other).sum(-1)
    angles = torch.rad2deg(torch.atan2(across, along))
    return torch.where((one == 0).all(-1), angles.new_tensor(90.0), angles)


def _median(values: Tensor, used: Tensor, number: Tensor) -> Tensor:
    """(...) medians over the used ones of the last axis, between the middle two where their number is even."""
    if not values.shape[-1]:
        return number.double() * float("nan")
    ordered = values.masked_fill(~used, float("inf")).sort(-1).values
    low, high = ((number - 1).clamp(min=0) // 2)[..., None], (number // 2)[..., None]
    middle = (ordered.gather(-1, low) + ordered.gather(-1, high.clamp(max=values.shape[-1] - 1)))[..., 0] / 2
    return middle.masked_fill(number == 0, float("nan"))


def _same(predicted: Tensor, truth: Tensor, axes: int) -> None:
    if predicted.shape != truth.shape or predicted.ndim < axes or predicted.shape[-1] != 3:
        kind = "(..., views, h, w, 3)" if axes == 4 else "(..., h, w, 3)"
        raise ValueError(f"both must be {kind}, not {tuple(predicted.shape)} and {tuple(truth.shape)}")
