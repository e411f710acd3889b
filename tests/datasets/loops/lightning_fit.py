"""A Lightning fit with streams as loaders, of two processes, that logs its records and may be killed.

python lightning_fit.py ROOT FOLDER LOG KILL_AT [CHECKPOINT]
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import lightning as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tessera.datasets import Stream

EVERY, EPOCHS, BATCH, SEED = 5, 2, 4, 7


class Model(pl.LightningModule):
    """Notes the numbers of each batch; kills all processes before a step."""

    def __init__(self, log: Path | None, kill_at: int = 0) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.log_path, self.kill_at = log, kill_at
        self.train_seen: list[list[int]] = []
        self.val_seen: list[list[int]] = []

    def note(self, kind: str, batch: dict[str, Any]) -> None:
        own = batch["number"][~batch["repeat"]].tolist()
        (self.train_seen if kind == "train" else self.val_seen).append(own)
        if self.log_path:
            with self.log_path.with_suffix(f".{self.global_rank}").open("a") as out:
                step = self.global_step if kind == "train" else -1
                print(json.dumps([kind, self.current_epoch, step, own]), file=out)

    def training_step(self, batch: dict[str, Any], number: int) -> torch.Tensor:
        if self.kill_at and self.global_step == self.kill_at:
            os.killpg(0, signal.SIGKILL)
        self.note("train", batch)
        return (self.weight * batch["number"].float()).mean()

    def validation_step(self, batch: dict[str, Any], number: int) -> None:
        self.note("val", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def streams(root: str | Path) -> tuple[Stream, Stream]:
    """Loaders for training and validation."""
    options: dict[str, Any] = {"fields": ["number"], "batch_size": BATCH, "seed": SEED, "threads": 1}
    return Stream(root, **options), Stream(root, **options, order="sequential")


def trainer_of(folder: Path, **options: Any) -> pl.Trainer:
    """A trainer that saves each fifth step."""
    saves = ModelCheckpoint(folder, "{step}", save_top_k=-1, every_n_train_steps=EVERY)
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return pl.Trainer(**{"max_epochs": EPOCHS, "callbacks": [saves], "devices": 1, **quiet, **options})


def main(root: str, folder: Path, log: Path, kill_at: int, checkpoint: str | None = None) -> None:
    """Fit two processes, from a checkpoint where one is given."""
    train, val = streams(root)
    trainer = trainer_of(folder, strategy="ddp", devices=2)
    trainer.fit(Model(log, kill_at), train, val, ckpt_path=checkpoint)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
