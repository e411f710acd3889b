"""The engine: losses of points, metrics of validation, pictures."""

from math import lcm
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....datasets.catalog import Catalog
from ....validation.metrics.occupancy import OccupancyScores
from ...config import RunConfig
from ...engine import Batch, Engine, check_picture
from .config import ImplicitConfig
from .inputs import target
from .network import ImplicitNetwork

LOG_SIGMA = 5.0  # of 1, on both sides: 0.0067 to 148
LEVEL = 0.5


def limited(log_sigma: Tensor) -> Tensor:
    """Log sigmas within what the loss tells apart: beyond, nothing was learnt."""
    return log_sigma.float().clamp(-LOG_SIGMA, LOG_SIGMA)


class ImplicitEngine(Engine):
    """Clothed people from one picture, as a field that is larger inside.

    Losses: of occupancy the mean squared error, of the signed distance smooth L1, each the mean over stacks (PIFu,
    ICON); with uncertainty, the negative log-likelihood of a normal distribution (Kendall and Gal 2017).

    Args:
        config: the run's settings.
        catalog: of the data set; None to look at pictures of one's own.
    """

    monitor = ("iou", True)

    def __init__(self, config: RunConfig, catalog: Catalog | None) -> None:
        super().__init__(config.optim)
        assert isinstance(config.model, ImplicitConfig)
        self.config = config.model
        self.network = ImplicitNetwork(config.model)
        check_picture(config.model.size, catalog, self._divisor())
        self.metrics = OccupancyScores(threshold=LEVEL)

    def _divisor(self) -> int:
        """What the pictures' sides must be a multiple of."""
        encoder = 4 << self.config.depth if self.network.image_encoder is not None else 1
        return lcm(encoder, 1 << self.config.normals_downs if self.network.normals is not None else 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Loss (b,) of the field."""
        wanted = target(self.config, batch["subject.sdf"])
        encoded = self.network.encode(batch)
        found = self.network.query(encoded, batch, batch["subject.points"], self._progress())
        each = torch.stack([self._loss(out, wanted) for out in found]).mean(0)
        self._last = found[-1][:, 0].detach()
        return {"field": each.mean(1)}

    def _loss(self, out: Tensor, wanted: Tensor) -> Tensor:
        """(b, n)."""
        value = out[:, 0].float()
        if self.config.uncertainty:
            log_sigma = limited(out[:, 1])
            return 0.5 * ((value - wanted) * torch.exp(-log_sigma)) ** 2 + log_sigma
        if self.config.target == "sdf":
            return torch.nn.functional.smooth_l1_loss(value, wanted, reduction="none")
        return (value - wanted) ** 2

    def _progress(self) -> float:
        """Share of the training that is done, also in its validations; all of it where nothing is trained."""
        if not self.steps_planned or self._trainer is None:
            return 1.0
        return min(1.0, self.trainer.global_step / self.steps_planned)

    def validate(self, batch: Batch, keep: Tensor) -> None:
        """Count points that are inside, and found to be."""
        some = keep.to(self._last.device)
        if some.any():
            self.metrics.update(self._last[some], batch["subject.sdf"][some] < 0)

    def validated(self) -> dict[str, float]:
        """IoU, precision, recall, accuracy at one half."""
        made = {name: float(value) for name, value in self.metrics.compute().items()}
        self.metrics.reset()
        return made

    def pictures(self, batch: Batch) -> dict[str, NDArray[np.uint8]]:
        """The first record's pictures, with its points where they are wrong: red too much, blue too little."""
        from .pictures import points_picture

        return {"points": points_picture(batch, self._last[0], batch["subject.sdf"][0] < 0, LEVEL)}

    def field(self, encoded: Any, batch: Batch, points: Tensor) -> Tensor:
        """The field at points of one record (1, n, 3), metres: (n,), larger inside."""
        return self.network.query(encoded, batch, points)[-1][0, 0]

    def sigma(self, encoded: Any, batch: Batch, points: Tensor) -> Tensor:
        """How unsure the network is of the field at points of one record (1, n, 3), metres: (n,) sigma."""
        return limited(self.network.query(encoded, batch, points)[-1][0, 1]).exp()
