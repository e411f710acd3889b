"""Pictures of a batch as networks see them: channels first, masked, normals in ICON's axes."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, one_hot

Batch = dict[str, Any]
VIEW = (1.0, -1.0, -1.0)  # from our camera's axes to ICON's: x right, y up, z towards the camera


def picture(batch: Batch, name: str, size: int = 0) -> Tensor:
    """One picture (b, c, h, w) float32, -1 to 1, 0 where the mask is not.

    Args:
        batch: of the stream, pictures (b, h, w, 3).
        name: of `config.Picture`.
        size: pixels of a side that it is reduced to; 0 for as it is.
    """
    mask = batch["mask"].float()[:, None]
    if name == "image":
        made = (batch["image"].float() / 127.5 - 1).permute(0, 3, 1, 2) * mask
    elif name == "orientation":
        made = _orientation(batch) * mask
    elif name == "body_parts":
        made = one_hot(batch["body_parts"].long(), 25).permute(0, 3, 1, 2).float()
    else:
        turn = torch.tensor(VIEW, device=mask.device)
        made = (batch[name].float() * turn).permute(0, 3, 1, 2)
    if size and made.shape[-1] != size:
        made = interpolate(made, (size, size), mode="area")
    return made


def _orientation(batch: Batch) -> Tensor:
    """(b, 3, h, w): an angle of a line as sine and cosine of twice of it, and how sure it is."""
    angle = batch["orientation"].float()
    sure = torch.nan_to_num(batch["orientation_confidence"].float())
    angle = torch.nan_to_num(angle)
    return torch.stack([torch.cos(2 * angle) * sure, torch.sin(2 * angle) * sure, sure], 1)
