"""The engine `normals`: one network for each side, as ICON trains them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize, smooth_l1_loss

from ....datasets.catalog import Catalog
from ....datasets.transforms import load_transform
from ....validation.metrics.normal_error import angle_error
from ...config import RunConfig
from ...engine import Batch, Engine, Request, check_picture
from ...models.global_generator import GlobalGenerator
from ...people.pictures import picture
from .config import NormalsConfig

LABELS = {"body_normal_f": "--body-models (fits are used, not --fits ignore)",
          "body_normal_b": "--body-models (fits are used, not --fits ignore)"}  # fmt: skip


def request(config: NormalsConfig, catalog: Catalog, training: bool) -> Request:
    """Pictures of the sides."""
    fields, transforms = ["image", "mask"], []
    for side in config.sides:
        fields += [f"normal_{side}", *([f"body_normal_{side}"] if config.body else [])]
    if config.body and training and config.noise == "random":
        fields += [f"noisy_normal_{side}" for side in config.sides]
        transforms.append(load_transform("pick_body", body="random"))
    return Request("views", tuple(fields), {}, tuple(transforms), LABELS)


class NormalsEngine(Engine):
    """Normals of clothed people from a picture.

    The losses are ICON's smooth L1 over the whole picture. Its perceptual loss is left out: in ICON it is computed
    without gradients, so that it trains nothing.

    Args:
        config: the run's settings.
        catalog: of the data set; None to look at pictures of one's own.
    """

    monitor = ("angle", False)

    def __init__(self, config: RunConfig, catalog: Catalog | None) -> None:
        super().__init__(config.optim)
        assert isinstance(config.model, NormalsConfig)
        self.config = settings = config.model
        channels = 6 if settings.body else 3
        self.normals = nn.ModuleDict({
            f"normal_{side}": GlobalGenerator(channels, 3, settings.filters, settings.downs, settings.blocks,
                                              settings.norm)
            for side in settings.sides
        })  # fmt: skip
        check_picture(settings.size, catalog, 1 << settings.downs)
        self._sums: dict[str, list[float]] = {}

    def predicted(self, batch: Batch) -> dict[str, Tensor]:
        """What the networks say, (b, 3, h, w) by side: ICON's axes, not of unit length, of all pixels."""
        made = {}
        for name, network in self.normals.items():
            shown = [picture(batch, "image", self.config.size)]
            if self.config.body:
                shown.append(picture(batch, f"body_{name}", self.config.size))
            made[name] = network(torch.cat(shown, 1))
        return made

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses (b,) of each side."""
        self._last = self.predicted(batch)
        made = {}
        for name, found in self._last.items():
            wanted = picture(batch, name, self.config.size)
            loss = self.config.l1 * smooth_l1_loss(found.float(), wanted, reduction="none").mean((1, 2, 3))
            if self.config.angle:
                there = wanted.norm(dim=1) > 0.5
                cosine = (normalize(found.float(), dim=1) * normalize(wanted, dim=1)).sum(1)
                loss = loss + self.config.angle * ((1 - cosine) * there).sum((1, 2)) / there.sum((1, 2)).clamp(min=1)
            made[name] = loss
        return made

    def validate(self, batch: Batch, keep: Tensor) -> None:
        """Sum the angles of the pixels that see the person."""
        for name, found in self._last.items():
            truth = picture(batch, name, self.config.size)[keep].permute(0, 2, 3, 1)
            seen = found[keep].float().permute(0, 2, 3, 1)
            self._sums.setdefault(name, []).extend(angle_error(seen, truth, truth.norm(dim=-1) > 0.5).mean.tolist())

    def validated(self) -> dict[str, float]:
        """Mean angles in degrees, of each side and of both; the mean over the records' means."""
        made = {f"angle_{name[-1]}": _mean(values, self.device) for name, values in sorted(self._sums.items())}
        self._sums = {}
        return {**made, "angle": float(np.mean(list(made.values()))) if made else float("nan")}

    def pictures(self, batch: Batch) -> dict[str, NDArray[np.uint8]]:
        """The first record: picture, then truth above what was found, of each side."""
        shown = _coded(picture(batch, "image", self.config.size)[0])
        columns = [torch.cat([shown, torch.zeros_like(shown)], 0)]
        for name, found in self._last.items():
            truth = picture(batch, name, self.config.size)[0]
            seen = normalize(found[0].float(), dim=0) * (truth.norm(dim=0) > 0.5)
            columns.append(torch.cat([_coded(truth), _coded(seen)], 0))
        return {"normals": torch.cat(columns, 1).cpu().numpy()}


def _coded(picture: Tensor) -> Tensor:
    """(3, h, w), -1 to 1, as (h, w, 3) uint8."""
    return ((picture.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0)


def _mean(values: list[float], device: Any) -> float:
    """Mean over all processes, of records that have one."""
    good = [value for value in values if value == value]
    sums = torch.tensor([sum(good), len(good)], dtype=torch.float64, device=device)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(sums)
    return float(sums[0] / sums[1]) if sums[1] else float("nan")
