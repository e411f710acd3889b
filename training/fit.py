"""A training run, from settings to a folder with checkpoints and figures."""

import contextlib
import logging
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging
from rich.console import Console
from rich.table import Table

from ..datasets.errors import StateError, UsageError
from .callbacks.checkpoints import Checkpoints
from .callbacks.profile import Profile
from .callbacks.recorder import Recorder, write_xlsx
from .callbacks.steps import Interrupted, Signals, StepSeeds, seed_all
from .config import RunConfig
from .devices import LIGHTNING, Place, find_place, out_of_memory
from .discover import load_engine
from .engine import BadLoss, Engine, Source
from .errors import TrainingError
from .provenance import Provenance, check_fits, check_unseen, provenance, trained_on
from .resume import Resumed, resumed
from .runfolder import RunFolder, command_line, new_folder
from .streams import open_streams
from .weights import checkpoint_path, freeze, init_from, module_rows, read_checkpoint

INTERRUPTED = 130


def train(config: RunConfig, console: Console | None = None) -> tuple[Path, int]:
    """Train an engine.

    Args:
        config: the settings.
        console: where lines go.

    Returns:
        The run's folder, and an exit status: 0, or 130 where a signal ended it (its checkpoint is saved).

    Raises:
        UsageError: settings that make no sense, or that do not go with the data set.
        TrainingError: the run failed: a loss that is no number, no step, a full disk, a GPU whose memory is full.
    """
    config.check()
    place = find_place(config.train.device, config.train.precision)
    torch.set_num_threads(config.train.cpu_threads or len(os.sched_getaffinity(0)))
    config = _with_folder(config, place)
    folder = RunFolder(config.train.out or Path())
    with _quiet():
        return folder.path, Run(config, folder, place, console or Console(stderr=True)).go()


class Run:
    """One start of a run.

    Args:
        config: settings.
        folder: of the run.
        place: device and processes.
        console: screen.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, place: Place, console: Console) -> None:
        self.config, self.folder, self.place, self.console = config, folder, place, console
        self.first = int(os.environ.get("RANK", 0)) == 0
        self.spec = load_engine(config.engine)
        self.begun, self.before = 0, 0.0  # step at which this start goes on; seconds of the starts before

    def go(self) -> int:
        """Train; returns the exit status."""
        source = open_streams(self.spec, self.config, self.place.stream)
        going_on = resumed(self.config, self.spec, source, self.folder)
        last = going_on.path if going_on else None
        if going_on:
            self.begun, self.before = going_on.step, float(self.folder.summary().get("seconds", 0.0))
        seed_all(self.config.train.seed, "weights")
        try:
            engine = self.spec.build(self.config, source.catalog)
        except ValueError as error:  # of a layer that does not go with its settings
            raise UsageError(f"--model: {error}") from error
        sources, before = self._begin_from(engine, source) if last is None else ({}, None)
        freeze(engine, self.config.train.freeze)
        if self.config.train.compile:
            for module in engine.called():
                module.compile()
        steps = self._plan(engine, source)
        if last and self.begun >= steps:
            raise TrainingError(f"the run took no step: it stands at its end, step {self.begun}; raise --max-steps or "
                                "--max-epochs")  # fmt: skip
        if self.first:
            self.folder.begin(self.config, command_line())
            self.folder.keep_assets(self.config.data, source.catalog)
        recorder = self._recorder(steps)
        self._introduce(engine, source, sources, recorder, going_on)
        try:
            return self._fit(engine, source, recorder, last, before)
        except UsageError:  # the run itself is as it was
            raise
        except Exception:
            self._failed()
            raise
        finally:
            if recorder:
                recorder.close()

    def _begin_from(self, engine: Engine, source: Source) -> tuple[dict[str, str], Provenance | None]:
        """Weights of other runs, where they come from, and what those runs were trained on."""
        if not self.config.train.init_from:
            return {}, None
        sources, trained = init_from(engine, self.config.train.init_from), None
        for path in sorted({*sources.values()}):
            found = trained_on(read_checkpoint(checkpoint_path(path)), Path(path))
            asked = self.spec.request(self.config.model, source.catalog, True)
            check_fits(found, source.catalog, asked, path)
            val = self.config.data.val_split
            if source.val is not None and val != self.config.data.split:
                check_unseen(found, source.catalog, asked.table, val, f"--init-from {path}")
            trained = found if trained is None else trained.joined(found)
        return sources, trained

    def _plan(self, engine: Engine, source: Source) -> int:
        """Optimiser steps of the whole run, told to the engine, whose schedule needs them."""
        accumulate = self.config.optim.accumulate
        an_epoch = max(1, -(-len(source.train) // accumulate))
        whole = self.config.train.max_epochs * an_epoch
        planned = min(whole, self.config.train.max_steps) if self.config.train.max_steps else whole
        engine.steps_planned, engine.steps_an_epoch = planned, an_epoch
        return planned

    def _recorder(self, steps: int) -> Recorder | None:
        if not self.first:
            return None
        settings = self.config.train
        return Recorder(self.folder, settings.log_every, steps, self.console, settings.pictures, self.begun)

    def _introduce(
        self, engine: Engine, source: Source, sources: dict[str, str], recorder: Recorder | None, last: Resumed | None
    ) -> None:
        """Say what is trained on what."""
        if recorder is None:
            return
        val = f"{source.val.epoch_records()} records to validate on" if source.val else "nothing to validate on"
        recorder.say(
            f"engine {self.config.engine} ({self.config.preset}) on {source.catalog.name}: "
            f"{source.train.epoch_records()} records, {len(source.train)} steps an epoch, {val}; run {self.folder.path}"
        )
        if last:
            recorder.say(f"goes on from {last.path}{last.note}")
        table = Table("module", "parameters", "trained", "weights", title="what is trained")
        rows = module_rows(engine, dict.fromkeys(engine.parts(), str(last.path)) if last else sources)
        for row in rows:
            said = "all" if row.trained == row.parameters else f"{row.trained:,}" if row.trained else "frozen"
            table.add_row(row.module, f"{row.parameters:,}", said, row.weights)
        self.console.print(table)
        if not sum(row.trained for row in rows):
            raise UsageError("nothing is trained: all modules are frozen")
        table_name = self.spec.request(self.config.model, source.catalog, True).table
        side = source.catalog.schema(table_name).dimensions.get("height")
        self.folder.summarise(modules=[row.__dict__ for row in rows], engine=self.config.engine,
                              preset=self.config.preset, state="running", picture_size=side,
                              camera=source.catalog.options.get("camera", ""))  # fmt: skip

    def _fit(
        self, engine: Engine, source: Source, recorder: Recorder | None, last: Path | None, before: Provenance | None
    ) -> int:
        asked = self.spec.request(self.config.model, source.catalog, True)
        trained = provenance(source.catalog, asked, self.config.data.split)
        trained = before.joined(trained) if before else trained
        tell = recorder.validated if recorder else lambda *_: None
        saving = Checkpoints(self.folder, self.config.train.save_every, engine.monitor, self.config.train.patience,
                             trained, tell)  # fmt: skip
        signals = Signals(saving)
        trainer = self._trainer(source, [saving, signals], recorder, engine.steps_planned)
        began, status = time.perf_counter(), 0
        try:
            trainer.fit(engine, source.train, source.val, ckpt_path=last, weights_only=True)
        except Interrupted:
            status = INTERRUPTED
        except StateError as error:
            again = f"a new run can go on from the weights: --init-from {self.folder.path}"
            raise UsageError(f"--resume: {error}; {again}") from error
        except BadLoss as error:
            raise self._bad_loss(error, trainer.global_step) from error
        except torch.cuda.OutOfMemoryError as error:
            text = out_of_memory(self.config.data.batch, self.place.torch_device, error, saving.fixed_bytes)
            raise TrainingError(text) from error
        finally:
            signals.restore()
            source.train.close()
            if source.val is not None:
                source.val.close()
        self._conclude(trainer, saving, recorder, time.perf_counter() - began, status)
        return status

    def _trainer(self, source: Source, callbacks: list[Callback], recorder: Recorder | None, steps: int) -> Trainer:
        settings, optim = self.config.train, self.config.optim
        more: list[Callback] = [StepSeeds(settings.seed)]
        if optim.ema:
            more.append(EMAWeightAveraging(decay=optim.ema))
        if recorder:
            more.append(recorder)
        if settings.profile and self.first:
            more.append(Profile(self.folder))
        val: dict[str, Any] = {"limit_val_batches": 0}
        if source.val is not None:
            val = {"limit_val_batches": settings.val_batches or 1.0}
            if settings.val_every:
                every = min(settings.val_every, steps) * optim.accumulate  # a short run is validated, too
                val |= {"val_check_interval": every, "check_val_every_n_epoch": None}
        return Trainer(
            accelerator=self.place.accelerator, devices=self.place.devices, num_nodes=self.place.nodes,
            strategy=self.place.strategy, precision=LIGHTNING[settings.precision],  # type: ignore[arg-type]
            max_epochs=settings.max_epochs, max_steps=settings.max_steps or -1,
            accumulate_grad_batches=optim.accumulate, gradient_clip_val=optim.clip or None,
            callbacks=[*more, *callbacks], logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False, **val,
        )  # fmt: skip

    def _bad_loss(self, error: BadLoss, step: int) -> TrainingError:
        """Keep the batch that gave it, and say where."""
        path = self.folder.path / f"bad_batch_{int(os.environ.get('RANK', 0))}.pt"
        torch.save({"keys": error.keys, "losses": error.losses, "batch": error.batch, "step": step}, path)
        kept = f"the last good checkpoint is {self.folder.last}" if self.folder.last.is_file() else "no checkpoint yet"
        return TrainingError(
            f"step {step + 1}: {error}; the batch is in {path}, {kept}. Look at the records (tessera show "
            f"{self.config.data.data} {error.keys[0]}), or lower --optim.lr, set --optim.clip 1"
        )

    def _failed(self) -> None:
        """Write down that the run failed, where that can be written: the disk may be full."""
        if self.first:
            with contextlib.suppress(TrainingError):
                self.folder.summarise(state="failed")

    def _conclude(
        self, trainer: Trainer, saving: Checkpoints, recorder: Recorder | None, seconds: float, status: int
    ) -> None:
        steps = trainer.global_step - self.begun
        if steps < 1 and not status:
            raise TrainingError("the run took no step: an epoch has no batch (see --batch, --split)")
        if not status and saving.saved != trainer.global_step:
            saving.save(trainer)
        if not (self.first and recorder):
            return
        write_xlsx(self.folder.path / "history.csv", self.folder.path / "history.xlsx")
        rows = [row for row in recorder.rows if "lr" in row]
        self.folder.summarise(
            state="interrupted" if status else "finished", step=trainer.global_step, epochs=trainer.current_epoch,
            best=saving.best, seconds=self.before + seconds, steps_per_s=steps / seconds,
            **({"last": rows[-1]} if rows else {}),
            loader_share=recorder.loader_share, busy_seconds=recorder.busy_seconds, monitor=saving.monitor[0],
        )  # fmt: skip
        self._close(saving, trainer.global_step, steps, seconds, recorder, status)

    def _close(
        self, saving: Checkpoints, step: int, steps: int, seconds: float, recorder: Recorder, status: int
    ) -> None:
        """The closing lines."""
        if saving.best:
            best = " ".join(f"{k} {v:.4g}" for k, v in saving.best.items() if k not in ("step", "epoch"))
            recorder.say(f"best at step {saving.best['step']}: {best}")
        recorder.say(
            f"{steps} steps in {seconds:.0f} s ({steps / seconds:.2f} steps/s, {100 * recorder.loader_share:.1f} % "
            f"waiting for the loader); run {self.folder.path}"
        )
        if status:
            again = f"interrupted at step {step}, saved; with --out {self.folder.path} --resume the command goes on"
            self.console.print(again, highlight=False, soft_wrap=True)


def _with_folder(config: RunConfig, place: Place) -> RunConfig:
    if config.train.out is not None:
        return config
    if place.processes > 1 or config.train.resume:
        raise UsageError("give --out, the folder of the run: all processes and later starts need the same")
    return replace(config, train=replace(config.train, out=new_folder(config.engine, config.preset)))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's notes on devices and data loaders, which say nothing of a stream."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
        yield
