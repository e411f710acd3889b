"""What an engine is: a model with losses and metrics of its own, and what it asks of a data set.

An engine is a folder in `training/engines/` with a constant `ENGINE`. Its configuration class builds it; the trainer
knows nothing else of it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn

from ..datasets.catalog import Catalog
from ..datasets.errors import UsageError
from ..datasets.stream import Stream
from .config import DataConfig, EngineConfig, OptimConfig, RunConfig, TrainConfig
from .errors import TrainingError
from .optim import make_optimizer

Batch = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What an engine wants of a stream.

    Attributes:
        table: whose records are its batches.
        fields: paths, as `Stream(fields=...)` takes them.
        sample: of pools, as `Stream(sample=...)`.
        transforms: of records.
        labels: label or option that a missing field needs, by field: for messages.
    """

    table: str
    fields: tuple[str, ...]
    sample: Mapping[str, Any] = field(default_factory=dict)
    transforms: Sequence[Any] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Engine(LightningModule, ABC):
    """A model in training.

    Attributes:
        monitor: metric of validation by which the best checkpoint is chosen, and whether more of it is better.
    """

    monitor: tuple[str, bool] = ("loss", False)

    def __init__(self, optim: OptimConfig) -> None:
        super().__init__()
        self.optim = optim
        self.last_losses: dict[str, Tensor] = {}
        self.steps_planned: int = 0  # of the optimiser, set by the trainer
        self.steps_an_epoch: int = 1

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of each record (b,), by name; their sum is what is made small."""

    @abstractmethod
    def validate(self, batch: Batch, keep: Tensor) -> None:
        """Add a batch to the metrics; `keep` (b,) bool says which records are no repeats."""

    @abstractmethod
    def validated(self) -> dict[str, float]:
        """The metrics since the last call, over all processes; begins anew."""

    def parts(self) -> dict[str, nn.Module]:
        """Modules by the names that `--init-from` and `--freeze` know: those of `network`, where there is one."""
        inside = getattr(self, "network", self)
        return {name: child for name, child in inside.named_children() if any(True for _ in child.parameters())}

    def called(self) -> list[nn.Module]:
        """Modules that are called as they are, for torch.compile: those of dictionaries one by one."""
        found: list[nn.Module] = []
        for part in self.parts().values():
            found += list(part.values()) if isinstance(part, nn.ModuleDict) else [part]
        return found

    def pictures(self, batch: Batch) -> dict[str, NDArray[np.uint8]]:
        """Pictures (h, w, 3) of a validation batch, by name."""
        return {}

    def training_step(self, batch: Batch, number: int) -> Tensor:
        """The loss of a batch, records that are repeats left out."""
        losses = self.losses(batch)
        weights = record_weights(batch)
        total = torch.stack([(loss * weights).sum() for loss in losses.values()]).sum()
        if not torch.isfinite(total):
            raise BadLoss({name: loss.detach() for name, loss in losses.items()}, batch)
        sums = torch.stack([*((loss.detach() * weights).sum() for loss in losses.values()), total.detach()])
        self.last_losses = dict(zip([*losses, "loss"], over_processes(sums), strict=True))
        return total

    def validation_step(self, batch: Batch, number: int) -> None:
        """Add a batch to the metrics, and its losses to theirs."""
        keep = ~batch["repeat"].to(self.device)
        losses = self.losses(batch)
        total = torch.stack(list(losses.values())).sum(0)
        if not torch.isfinite(total).all():
            raise BadLoss({name: loss.detach() for name, loss in losses.items()}, batch)
        self._val_losses.append(total[keep].double().sum())
        self._val_count.append(keep.sum().double())
        self.validate(batch, keep)

    def on_validation_epoch_start(self) -> None:
        """Begin to sum the losses."""
        self._val_losses: list[Tensor] = []
        self._val_count: list[Tensor] = []

    def validation_figures(self) -> dict[str, float]:
        """The metrics of the validation that has ended, and its loss."""
        zero = torch.zeros((), dtype=torch.float64, device=self.device)
        sums = torch.stack([sum(self._val_losses, zero), sum(self._val_count, zero)])
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        loss, count = sums.tolist()
        return {"loss": loss / count if count else float("nan"), **self.validated()}

    def configure_optimizers(self) -> Any:
        """The optimiser of what is to be trained, and its schedule by steps."""
        return make_optimizer([p for p in self.parameters() if p.requires_grad], self.optim, self)


def check_picture(size: int, catalog: Catalog | None, divisor: int, table: str = "views") -> None:
    """Refuse pictures whose sides a network cannot halve as often as it does.

    Args:
        size: that they are reduced to; 0 for as they are stored.
        catalog: of the data set; None where it is not known.
        divisor: what their sides must be a multiple of.
        table: that they are of.

    Raises:
        UsageError: with the sizes that go.
    """
    stored = [] if catalog is None else [catalog.schema(table).dimensions.get(name) for name in ("height", "width")]
    for side in [size] if size else [side for side in stored if side]:
        if side % divisor:
            good = max(divisor, round(side / divisor) * divisor)
            raise UsageError(
                f"pictures of {side} pixels: a multiple of {divisor} is wanted, such as --model.size {good}"
            )


def over_processes(values: Tensor) -> Tensor:
    """The mean over all processes."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(values)
        return values / torch.distributed.get_world_size()
    return values


class BadLoss(TrainingError):
    """A loss that is no number; knows which records gave it."""

    def __init__(self, losses: Mapping[str, Tensor], batch: Batch) -> None:
        table = torch.stack(list(losses.values()))
        bad = (~torch.isfinite(table)).any(0).cpu().tolist()
        self.keys = [key for key, wrong in zip(batch["key"], bad, strict=True) if wrong] or list(batch["key"])
        self.losses = {name: loss.float().cpu().tolist() for name, loss in losses.items()}
        self.batch = batch
        names = [name for name, values in self.losses.items() if not np.isfinite(values).all()]
        super().__init__(f"{', '.join(names) or 'loss'} is no number for {', '.join(self.keys)}")


def record_weights(batch: Batch) -> Tensor:
    """(b,) weights that make a sum over the records a mean over those of all processes that are no repeats.

    Lightning averages gradients over processes, so that each weight is (processes / records of all of them).
    """
    keep = (~batch["repeat"]).double()
    count, processes = keep.sum(), 1
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        processes = torch.distributed.get_world_size()
        on = next(value.device for value in batch.values() if isinstance(value, Tensor))
        count = count.to(on)
        torch.distributed.all_reduce(count)
    weights = keep.to(count.device) * processes / count.clamp(min=1)
    device = next((value.device for value in batch.values() if isinstance(value, Tensor)), keep.device)
    return weights.float().to(device)


@dataclass(frozen=True)
class Preset:
    """Settings to begin from: the engine's, the optimiser's, and of data and run what differs from the defaults."""

    model: EngineConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    summary: str = ""

    def config(self, engine: str, name: str, data: str) -> RunConfig:
        """The run's settings for a data set."""
        return RunConfig(engine, name, DataConfig(data, **self.data), self.model, self.optim, TrainConfig(**self.train))


@dataclass(frozen=True)
class EngineSpec:
    """An engine, as its folder offers it.

    Attributes:
        name: of the folder.
        summary: one line.
        presets: by name, the first is the default.
        request: what is asked of streams, by the engine's configuration; the second argument says whether the records
            are trained on (random bodies, noise) or looked at.
        build: the engine, by the settings and the data set (joint sets, assets).
        evaluate: records of a split against their truth: `evaluate(run, engine, stream, options)`; rows by record.
        predict: `predict(run, options)` gives a function of a picture's path and the folder of what is written, which
            returns a row.
    """

    name: str
    summary: str
    presets: Mapping[str, Preset]
    request: Callable[[Any, Catalog, bool], Request]
    build: Callable[[RunConfig, Catalog | None], Engine]
    evaluate: Callable[..., Any] | None = None
    predict: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Source:
    """Streams of a run."""

    catalog: Catalog
    train: Stream
    val: Stream | None
    path: str | Path
