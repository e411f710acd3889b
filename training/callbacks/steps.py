"""Around each step: seeds that follow from its number, and a stop that was asked for by a signal."""

import random
import signal
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, Trainer

from ...datasets.order import key_of
from .checkpoints import Checkpoints, whole_step


class StepSeeds(Callback):
    """Sets the state of all generators at each batch, from the run's seed, the batch's number and the process.

    So dropout and noise of a step are the same in a run that was never interrupted and in one that goes on, whatever
    drew numbers in between (a validation, a picture), and a checkpoint need not hold states of generators: they follow
    from the batch's number, which it holds.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, engine: Any, batch: Any, index: int) -> None:
        """Seed python, numpy and torch."""
        seed_all(self.seed, "step", trainer.fit_loop.total_batch_idx, trainer.global_rank)


def seed_all(seed: int, *names: Any) -> None:
    """Seed python's, numpy's and torch's generators from a seed and names; only a GPU that is in use is touched."""
    key = key_of(seed, *names)
    random.seed(key)
    np.random.seed(key % (1 << 32))  # noqa: NPY002, what others draw with
    torch.manual_seed(key >> 1)


class Signals(Callback):
    """Ctrl-C and SIGTERM: the step at hand is ended, a checkpoint saved, the run stops; a second one ends it at once.

    Args:
        checkpoints: who saves.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.checkpoints = checkpoints
        self.caught: int | None = None
        self._old: dict[int, Any] = {}

    def _catch(self, number: int, frame: Any) -> None:
        if self.caught is not None:
            raise KeyboardInterrupt
        self.caught = number

    def on_train_start(self, trainer: Trainer, engine: Any) -> None:
        """Take the signals; Lightning has put its own handlers there before."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._old[number] = signal.signal(number, self._catch)

    def on_train_batch_end(self, trainer: Trainer, engine: Any, outputs: Any, batch: Any, index: int) -> None:
        """Save and stop where a signal came, on all processes at the same step; where a validation is due, after it."""
        if whole_step(trainer):
            self._stop(trainer)

    def on_validation_end(self, trainer: Trainer, engine: Any) -> None:
        """Save and stop where a signal came."""
        if not trainer.fit_loop._should_accumulate():
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        if self._any(trainer):
            self.caught = self.caught or signal.SIGINT
            self.checkpoints.save(trainer)
            raise Interrupted

    def _any(self, trainer: Trainer) -> bool:
        if trainer.world_size == 1:
            return self.caught is not None
        flag = torch.tensor(float(self.caught is not None), device=trainer.strategy.root_device)
        torch.distributed.all_reduce(flag)
        return bool(flag > 0)

    def restore(self) -> None:
        """Give the signals back."""
        for number, handler in self._old.items():
            signal.signal(number, handler)


class Interrupted(Exception):
    """A signal asked the run to stop; the checkpoint is saved."""
