"""What a run tells: lines on the screen and in `log.txt`, figures in `history.csv`, TensorBoard, pictures."""

import csv
import os
import time
from pathlib import Path
from typing import Any, TextIO

import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image
from rich.console import Console
from torch import Tensor

from ..engine import Engine
from ..runfolder import RunFolder

PICTURE_KEY = "pictures"


def resident_bytes() -> int:
    """Memory of this process that is in use, by the kernel; 0 where it does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class Recorder(Callback):
    """Writes figures each `log_every` steps and after each validation. Only the first process has one.

    Args:
        folder: of the run.
        every: steps between two lines.
        planned: steps of the whole run.
        console: screen.
        pictures: whether pictures of validations are written.
        begun: step that the run goes on from; what was written behind it is done again.
    """

    def __init__(
        self, folder: RunFolder, every: int, planned: int, console: Console, pictures: bool, begun: int = 0
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.every, self.planned, self.console = folder, every, planned, console
        self.pictures = pictures
        self.board = SummaryWriter(str(folder.path / "tensorboard"), purge_step=begun + 1)
        self.rows: list[dict[str, Any]] = []
        self._log: TextIO = (folder.path / "log.txt").open("a")
        self._table = HistoryTable(folder.path / "history.csv")
        before = folder.summary()  # of the starts before
        self._busy = float(before.get("busy_seconds", 0.0)) if begun else 0.0  # in steps, of the whole run
        self._waited = self._busy * float(before.get("loader_share", 0.0)) if begun else 0.0
        self._rate = 0.0
        self._mark(None)

    def say(self, line: str) -> None:
        """A line on the screen and in the log."""
        self.console.print(line, highlight=False, soft_wrap=True)
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        self._log.flush()

    @property
    def busy_seconds(self) -> float:
        """Seconds in training, validations left out, over all starts of the run."""
        return self._busy

    @property
    def loader_share(self) -> float:
        """Share of the time in training that was spent waiting for the loader."""
        return self._waited / self._busy if self._busy else 0.0

    def _mark(self, trainer: Trainer | None) -> None:
        self._since = time.perf_counter()
        self._steps = 0
        self._records = 0
        self._wait_before = self._wait(trainer)

    @staticmethod
    def _wait(trainer: Trainer | None) -> float:
        return float(trainer.train_dataloader.stats().wait_seconds) if trainer and trainer.train_dataloader else 0.0

    def on_train_start(self, trainer: Trainer, engine: Any) -> None:
        """Begin to measure."""
        self._table.keep(trainer.global_step)
        self._mark(trainer)

    def on_train_batch_start(self, trainer: Trainer, engine: Any, batch: Any, index: int) -> None:
        """Note the learning rate: behind the step it is that of the next."""
        self._rate = _lr(trainer)

    def on_train_batch_end(self, trainer: Trainer, engine: Any, outputs: Any, batch: Any, index: int) -> None:
        """Count, and write a line where one is due."""
        self._steps += 1
        self._records += len(batch["key"]) * trainer.world_size
        if trainer.fit_loop._should_accumulate():
            return
        if trainer.global_step % self.every == 0 or trainer.global_step in (1, self.planned):
            self._line(trainer, engine)

    def _line(self, trainer: Trainer, engine: Engine) -> None:
        losses = {name: float(value) for name, value in engine.last_losses.items()}
        seconds = max(time.perf_counter() - self._since, 1e-9)
        waited = min(self._wait(trainer) - self._wait_before, seconds)
        self._busy, self._waited = self._busy + seconds, self._waited + waited
        row = {"step": trainer.global_step, "epoch": trainer.current_epoch, **losses, "lr": self._rate,
               "records_per_s": self._records / seconds, "loader_share": waited / seconds,
               "memory_gb": resident_bytes() / 1e9}  # fmt: skip
        if torch.cuda.is_initialized():
            row["gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
        self._write("train", row)
        texts = " ".join(f"{name} {value:.4g}" for name, value in losses.items() if len(losses) > 2 or name == "loss")
        self.say(
            f"step {row['step']}/{self.planned} epoch {row['epoch']} {texts} lr {row['lr']:.3g} "
            f"{self._steps / seconds:.2f} steps/s {row['records_per_s']:.1f} records/s "
            f"loader {100 * waited / seconds:.1f} %"
        )
        self._mark(trainer)

    def _write(self, kind: str, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self._table.add(kind, row)
        for name, value in row.items():
            if name not in ("step", "epoch"):
                self.board.add_scalar(f"{kind}/{name}", value, row["step"])

    def validated(self, trainer: Trainer, engine: Engine, figures: dict[str, float], note: str) -> None:
        """Write the figures of a validation."""
        self._write("val", {"step": trainer.global_step, "epoch": trainer.current_epoch, **figures})
        texts = " ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.say(f"step {trainer.global_step} validation {texts}{note}")
        self.board.flush()
        self._mark(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, engine: Any, outputs: Any, batch: Any, index: int, loader: int = 0
    ) -> None:
        """Pictures of the first batch."""
        if index or not self.pictures:
            return
        with torch.no_grad():
            made = engine.pictures(batch)
        for name, picture in made.items():
            Image.fromarray(picture).save(self.folder.path / "pictures" / f"{name}-{trainer.global_step:07d}.png")
            self.board.add_image(name, picture, trainer.global_step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the files."""
        self.board.close()
        self._log.close()
        self._table.close()


class HistoryTable:
    """`history.csv`: a row for each line and each validation; columns that appear later are added.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = read_history(path)
        self._columns = list(dict.fromkeys(name for row in self.rows for name in row)) or ["kind", "step", "epoch"]
        self._stream: TextIO | None = None

    def keep(self, step: int) -> None:
        """Forget what lies behind a step: a run that goes on from a checkpoint does it again."""
        self.rows = [row for row in self.rows if int(row["step"]) <= step]
        self._renew()

    def add(self, kind: str, row: dict[str, Any]) -> None:
        """Append a row."""
        full = {"kind": kind}
        full |= {name: repr(value) if isinstance(value, float) else value for name, value in row.items()}
        self.rows.append(full)
        new = [name for name in full if name not in self._columns]
        if new or self._stream is None:
            self._columns += new
            self._renew()
            return
        self._writer.writerow(full)
        self._stream.flush()

    def _renew(self) -> None:
        self.close()
        self._stream = self.path.open("w", newline="")
        self._writer = csv.DictWriter(self._stream, self._columns, restval="")
        self._writer.writeheader()
        self._writer.writerows(self.rows)
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of a `history.csv`; none where it is not there."""
    if not path.is_file():
        return []
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_xlsx(history: Path, target: Path) -> None:
    """`history.csv` as a workbook: one sheet for training, one for validation, numbers as numbers."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    rows = read_history(history)
    for kind in ("train", "val"):
        some = [row for row in rows if row["kind"] == kind]
        columns = [name for name in (some[0] if some else {}) if name != "kind" and any(row[name] for row in some)]
        sheet = book.create_sheet(kind)
        sheet.append(columns)
        for row in some:
            sheet.append([_number(row[name]) for name in columns])
    book.save(target)


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _lr(trainer: Trainer) -> float:
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    return float(rate) if not isinstance(rate, Tensor) else float(rate.item())
