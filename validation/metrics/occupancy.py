"""How well points are told to be inside or outside, over many batches and devices."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class OccupancyScores(Metric):
    """Accuracy, intersection over union, precision and recall of occupancy at a threshold.

    ICON's training metrics, but of all points together: it averages those of the batches, and takes 1 for a count
    of 0. Counts are sums of int64, so that they are the same however batches are spread over devices.

    Args:
        threshold: values above it, in prediction and truth alike, are inside.
        options: of `torchmetrics.Metric`.
    """

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    hits: Tensor
    alarms: Tensor
    misses: Tensor
    rest: Tensor
    unknown: Tensor

    def __init__(self, threshold: float = 0.5, **options: Any) -> None:
        super().__init__(**options)
        self.threshold = threshold
        for name in ("hits", "alarms", "misses", "rest", "unknown"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, truth: Tensor, mask: Tensor | None = None) -> None:
        """Add a batch.

        Args:
            predicted: occupancy of any shape, float.
            truth: of the same shape, bool or number.
            mask: bool of the same shape: points that count; None for all.

        Raises:
            ValueError: shapes differ.
        """
        if predicted.shape != truth.shape or (mask is not None and mask.shape != truth.shape):
            shapes = [tuple(each.shape) for each in (predicted, truth, mask) if each is not None]
            raise ValueError(f"prediction, truth and mask must have one shape, not {shapes}")
        counts = torch.ones_like(truth, dtype=torch.bool) if mask is None else mask.bool()
        inside, really = predicted > self.threshold, truth > self.threshold
        self.hits += (counts & inside & really).sum()
        self.alarms += (counts & inside & ~really).sum()
        self.misses += (counts & ~inside & really).sum()
        self.rest += (counts & ~inside & ~really).sum()
        # Counted, not raised here: that would make every step wait for the device.
        self.unknown += (counts & (predicted.isnan() | truth.isnan())).sum()

    def compute(self) -> dict[str, Tensor]:
        """Scores of all points so far: `accuracy`, `iou`, `precision`, `recall`, each a float64 in [0, 1].

        NaN where nothing counts: all of them without points; `precision` where nothing was said to be inside,
        `recall` where nothing is, `iou` where neither.

        Raises:
            ValueError: a value that counts was NaN.
        """
        if self.unknown > 0:
            raise ValueError(f"{int(self.unknown)} values are NaN: neither inside nor outside")
        hits = self.hits.double()
        wrong = self.alarms + self.misses
        return {
            "accuracy": (hits + self.rest) / (hits + self.rest + wrong),
            "iou": hits / (hits + wrong),
            "precision": hits / (hits + self.alarms),
            "recall": hits / (hits + self.misses),
        }
