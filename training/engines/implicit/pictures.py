"""Pictures of a validation."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import inputs


def points_picture(batch: dict[str, Any], value: Tensor, inside: Tensor, level: float) -> NDArray[np.uint8]:
    """The first record: what it shows, and beside it where points are right (green) or wrong (red over, blue under).

    Args:
        batch: of the stream.
        value: (n,) the field.
        inside: (n,) bool the truth.
        level: from which on the field is inside.
    """
    one = {name: item[:1] for name, item in batch.items() if isinstance(item, Tensor)}
    side = int(batch["mask"].shape[1])
    shown = batch["image"][0] if "image" in batch else batch["mask"][0][..., None].expand(-1, -1, 3) * 255
    cube = inputs.cube_points(one["subject.points"], one["calib"])
    at = inputs.picture_places(one, one["subject.points"], cube)[0]
    pixel = ((at + 1) / 2 * side).long().clamp(0, side - 1).cpu()
    says, inside = (value > level).cpu(), inside.cpu()
    drawn = torch.zeros(side, side, 3, dtype=torch.uint8)
    kinds = ((says & inside, (0, 110, 0)), (says & ~inside, (255, 40, 40)), (~says & inside, (60, 90, 255)))
    for which, colour in kinds:
        drawn[pixel[which, 1], pixel[which, 0]] = torch.tensor(colour, dtype=torch.uint8)
    return torch.cat([shown.to(torch.uint8).cpu(), drawn], 1).numpy()
