"""Checkpoints: the last and the best, each written whole or not at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

from ...datasets.commit import sync_folder, temporary_name
from ..errors import TrainingError
from ..provenance import Provenance
from ..runfolder import RunFolder

FULL = (errno.ENOSPC, errno.EDQUOT)


class Checkpoints(Callback):
    """Saves `last.ckpt` every so many steps, at the ends of epochs and when told to, and `best.ckpt`.

    Args:
        folder: of the run.
        every: steps between two; 0 for the ends of epochs only.
        monitor: metric of the best, and whether more is better.
        patience: validations without progress after which the run stops; 0 for never.
        trained: what is trained on.
        validated: is told the figures of each validation and a note.
    """

    def __init__(
        self, folder: RunFolder, every: int, monitor: tuple[str, bool], patience: int, trained: Provenance,
        validated: Callable[..., None],
    ) -> None:  # fmt: skip
        self.folder, self.every, self.monitor, self.patience = folder, every, monitor, patience
        self.trained, self._validated = trained, validated
        self.best: dict[str, float] = {}
        self.waits = 0
        self.saved = -1  # step of the last checkpoint
        self.fixed_bytes = 0  # of the GPU's memory that are taken between steps

    def state_dict(self) -> dict[str, Any]:
        """Figures of the best validation, how long ago it was, and what was trained on."""
        return {"best": self.best, "waits": self.waits, "trained": self.trained.to_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best, self.waits = dict(state_dict["best"]), int(state_dict["waits"])
        self.trained = Provenance.from_state(state_dict["trained"]).joined(self.trained)

    def on_train_batch_start(self, trainer: Trainer, engine: Any, batch: Any, index: int) -> None:
        """Note what of the GPU's memory is taken whatever the batch: weights, optimiser."""
        if torch.cuda.is_initialized():
            self.fixed_bytes = torch.cuda.memory_allocated(engine.device)

    def on_train_batch_end(self, trainer: Trainer, engine: Any, outputs: Any, batch: Any, index: int) -> None:
        """Save where it is due; where a validation follows, after it."""
        if whole_step(trainer):
            self._save_if_due(trainer)

    def _save_if_due(self, trainer: Trainer) -> None:
        if self.every and trainer.global_step % self.every == 0 and trainer.global_step != self.saved:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, engine: Any) -> None:
        """Save at the end of an epoch."""
        self.save(trainer)

    def on_validation_end(self, trainer: Trainer, engine: Any) -> None:
        """Tell the figures; save the best; stop where there was no progress for long."""
        figures = engine.validation_figures()
        name, more = self.monitor
        new, old = figures.get(name, float("nan")), self.best.get(name)
        better = new == new and (old is None or (new > old if more else new < old))
        self._validated(trainer, engine, figures, " (best)" if better else "")
        if better:
            self.best = {**figures, "step": trainer.global_step, "epoch": trainer.current_epoch}
            self.waits = 0
            write_checkpoint(trainer, self.folder.best, self.folder.last)
        else:
            self.waits += 1
        if self.patience and self.waits >= self.patience:
            trainer.should_stop = True
        if not trainer.fit_loop._should_accumulate():
            self._save_if_due(trainer)

    def save(self, trainer: Trainer) -> None:
        """Save the last checkpoint now."""
        self.saved = trainer.global_step
        write_checkpoint(trainer, self.folder.last, self.folder.last)


def whole_step(trainer: Trainer) -> bool:
    """Whether a step of the optimiser has just ended, and no validation follows it at once.

    Saved in between, a run would go on without the gradients that were accumulated, or without that validation.
    """
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    return not loop._should_accumulate() and not (fetcher and loop._should_check_val_fx(fetcher))


def write_checkpoint(trainer: Trainer, path: Path, good: Path) -> None:
    """Write a checkpoint beside its place, flush it, then put it there.

    Args:
        trainer: whose.
        path: where.
        good: the last good one, for the message.

    Raises:
        TrainingError: it cannot be written, the disk is full; the old file is as it was.
    """
    check_finite(trainer, good)
    temporary = temporary_name(path, "run")
    try:
        trainer.save_checkpoint(temporary)
        if trainer.is_global_zero:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, path)
            sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        raise _failed(error, path, good, trainer.global_step) from error
    finally:
        if trainer.is_global_zero:
            temporary.unlink(missing_ok=True)


def check_finite(trainer: Trainer, good: Path) -> None:
    """Refuse to save weights that are no numbers: the last good checkpoint stays.

    Raises:
        TrainingError: with the name of such a weight.
    """
    bad = [name for name, value in trainer.lightning_module.named_parameters() if not torch.isfinite(value).all()]
    if bad:
        kept = f"the last good checkpoint is {good}" if good.is_file() else "there is no good checkpoint yet"
        raise TrainingError(
            f"step {trainer.global_step}: weights are no numbers any more ({bad[0]}); {kept}. Lower --optim.lr, or set "
            "--optim.clip 1"
        )


def _failed(error: OSError | RuntimeError, path: Path, good: Path, step: int) -> BaseException:
    """What to say of a checkpoint that was not written; other errors of torch are given back as they are."""
    code = getattr(error, "errno", None)
    cause = error.__cause__ or error.__context__
    full = code in FULL or getattr(cause, "errno", None) in FULL or "No space left" in str(error)
    if isinstance(error, RuntimeError) and not full and "write" not in str(error):
        return error
    kept = f"; the last good one is {good}" if good.is_file() else "; there is no earlier one"
    what = "the disk is full" if full else f"{type(error).__name__}: {error}"
    return TrainingError(
        f"{path.name} of step {step} cannot be written: {what}{kept}. Free some space, then go on with --resume"
    )
