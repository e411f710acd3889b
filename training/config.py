"""What a training run is told, whatever the engine: on the command line, and kept in the run's `config.yaml`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..datasets.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class DataConfig:
    """Where records come from.

    Attributes:
        data: folder or URL of the data set.
        split: records to train on.
        val_split: records to validate on during training; an empty text for none. A split without records is left out.
        batch: records a step, of each process.
        threads: threads that decode; one a core by default.
        order: of the records; block for object stores and spinning disks.
        overfit: train on the first so many records only, and validate on the same; 0 for all.
        cache: folder of the cache of remote shards.
    """

    data: str
    split: str = "train"
    val_split: str = "val"
    batch: int = 4
    threads: int | None = None
    order: Literal["global", "block", "sequential"] = "global"
    overfit: int = 0
    cache: Path | None = None


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser and schedule.

    Attributes:
        name: of the optimiser.
        lr: learning rate.
        weight_decay: decoupled for adamw, L2 otherwise.
        momentum: of sgd and rmsprop.
        betas: of adam and adamw.
        schedule: of the learning rate, by epochs (step) or by steps (cosine, to 0 at the end).
        milestones: epochs after which the rate is multiplied by gamma.
        gamma: see milestones.
        warmup: steps over which the rate rises from 0.
        clip: largest norm of the gradients; 0 for any.
        accumulate: batches a step of the optimiser.
        ema: decay of the moving average of the weights, which is then validated and evaluated; 0 for none.
    """

    name: Literal["rmsprop", "adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-4
    weight_decay: float = 0.0
    momentum: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "step", "cosine"] = "constant"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: int = 0
    clip: float = 0.0
    accumulate: int = 1
    ema: float = 0.0


@dataclass(frozen=True)
class TrainConfig:
    """The run.

    Attributes:
        out: folder of the run; `runs/ENGINE-PRESET-NUMBER` by default.
        resume: go on from the last checkpoint in `out`.
        init_from: weights to begin with: a checkpoint or run, or MODULE=RUN for one module; several with commas.
        freeze: modules that are not trained, with commas between.
        seed: of weights, order, draws and dropout.
        max_epochs: end after so many epochs.
        max_steps: end after so many optimiser steps; 0 for no such end.
        precision: of the network's arithmetic.
        device: auto, cpu, cuda, or one card such as cuda:1; no other is touched.
        cpu_threads: of the CPU's arithmetic; one a core by default.
        compile: compile the network with torch.compile.
        log_every: steps between two lines of the log.
        val_every: steps between two validations; 0 for the end of each epoch.
        val_batches: batches of a validation at most; 0 for all.
        save_every: steps between two checkpoints beside those at the ends of epochs; 0 for none.
        patience: validations without progress after which the run stops; 0 for never.
        pictures: log pictures of some validation records.
        profile: write where the time of steps 5 to 15 goes.
        ray: train in so many Ray Train workers instead of this process; 0 for none.
    """

    out: Path | None = None
    resume: bool = False
    init_from: str = ""
    freeze: str = ""
    seed: int = 0
    max_epochs: int = 10
    max_steps: int = 0
    precision: Precision = "fp32"
    device: str = "auto"
    cpu_threads: int | None = None
    compile: bool = False
    log_every: int = 20
    val_every: int = 0
    val_batches: int = 0
    save_every: int = 500
    patience: int = 0
    pictures: bool = True
    profile: bool = False
    ray: int = 0


@dataclass(frozen=True)
class EngineConfig:
    """Base of the engines' own configurations; each builds its engine (see `training/engine.py`)."""


@dataclass(frozen=True)
class RunConfig:
    """All that a run is told: `config.yaml`.

    Attributes:
        engine: name of the engine.
        preset: that it began from.
        data: where records come from.
        model: the engine's own.
        optim: optimiser and schedule.
        train: the run.
    """

    engine: str
    preset: str
    data: DataConfig
    model: EngineConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def check(self) -> None:
        """Refuse values that make no sense.

        Raises:
            UsageError: with the option's name.
        """
        whole = {
            "batch": (self.data.batch, 1), "overfit": (self.data.overfit, 0), "max-epochs": (self.train.max_epochs, 1),
            "max-steps": (self.train.max_steps, 0), "log-every": (self.train.log_every, 1),
            "val-every": (self.train.val_every, 0), "save-every": (self.train.save_every, 0),
            "patience": (self.train.patience, 0), "optim.accumulate": (self.optim.accumulate, 1),
            "optim.warmup": (self.optim.warmup, 0), "ray": (self.train.ray, 0),
            "val-batches": (self.train.val_batches, 0),
            "cpu-threads": (1 if self.train.cpu_threads is None else self.train.cpu_threads, 1),
        }  # fmt: skip
        for name, (value, least) in whole.items():
            if value < least:
                raise UsageError(f"--{name} {value}: {least} or more")
        if not self.optim.lr > 0:
            raise UsageError(f"--optim.lr {self.optim.lr}: more than 0")
        if not 0 <= self.optim.ema < 1:
            raise UsageError(f"--optim.ema {self.optim.ema}: from 0 to less than 1")
        if self.optim.clip < 0:
            raise UsageError(f"--optim.clip {self.optim.clip}: 0 or more")
