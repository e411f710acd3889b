"""An engine and its optimiser, whose steps are measured without a trainer, so that only the loader differs."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from ...datasets.catalog import Catalog
from ...training.callbacks.steps import seed_all
from ...training.config import Precision, RunConfig
from ...training.discover import load_engine
from ...training.engine import Batch, Engine, EngineSpec

LONG = 1_000_000  # steps of a run of which a few are measured


@dataclass(frozen=True)
class Case:
    """What is trained.

    Attributes:
        engine: name of the engine.
        preset: of it.
        batch: records a step; the preset's where it is 0.
        device: of the network.
        precision: of its arithmetic.
    """

    engine: str
    preset: str
    batch: int = 0
    device: str = "cpu"
    precision: Precision = "fp32"

    @property
    def spec(self) -> EngineSpec:
        """The engine."""
        return load_engine(self.engine)

    def config(self, data: str, split: str = "train") -> RunConfig:
        """The settings of a run on a data set."""
        base = self.spec.presets[self.preset].config(self.engine, self.preset, data)
        return replace(
            base, data=replace(base.data, split=split, val_split="", batch=self.batch or base.data.batch),
            train=replace(base.train, device=self.device, precision=self.precision, pictures=False, save_every=0),
        )  # fmt: skip

    def title(self, batch: int) -> str:
        """For a table."""
        return f"{self.engine} {self.preset}, batch {batch}, {self.precision}, {self.device}"


class Model:
    """A network in training.

    Args:
        case: which.
        config: the run's settings.
        catalog: of the data set.
    """

    def __init__(self, case: Case, config: RunConfig, catalog: Catalog) -> None:
        seed_all(0, "weights")
        self.engine: Engine = case.spec.build(config, catalog).to(case.device).train()
        self.engine.steps_planned = self.engine.steps_an_epoch = LONG
        made = self.engine.configure_optimizers()
        self.optimizer, self.schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
        self.device = torch.device(case.device)
        self.clip = config.optim.clip
        self.half = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(case.precision)
        self.steps = 0

    def moved(self, batch: Batch) -> Batch:
        """The batch on the network's device; a stream's is there already."""
        return {name: value.to(self.device, non_blocking=True) if isinstance(value, torch.Tensor) else value
                for name, value in batch.items()}  # fmt: skip

    def step(self, batch: Batch) -> torch.Tensor:
        """One step of the optimiser; returns the loss."""
        with torch.autocast(self.device.type, dtype=self.half, enabled=self.half is not None):
            loss = self.engine.training_step(batch, self.steps)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.engine.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.steps += 1
        return loss.detach()

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def resident(batch: dict[str, Any], size: int) -> dict[str, Any]:
    """A batch in memory of its own, of so many records: those that are there, again and again."""
    have = len(batch["key"])
    numbers = torch.arange(size) % have
    return {name: value[numbers.to(value.device)] if isinstance(value, torch.Tensor)
            else [value[number] for number in numbers.tolist()] for name, value in batch.items()}  # fmt: skip
