"""A run that was killed and goes on gives the uninterrupted run's losses and weights, bit for bit."""

import json
import signal
from pathlib import Path

import pytest

from .runs import Started, checkpoint, figures, same_weights, weights, words

STEPS, EPOCHS = 8, 2  # steps an epoch: 15 batches of one record, two a step
LINE = """--batch 1 --optim.accumulate 2 --optim.ema 0.8 --optim.clip 0.5 --model.body random --model.dropout 0.3
    --model.sdf-noise 0.01 --model.normal-noise 0.05 --max-epochs 2 --seed 5"""
SETTINGS = LINE.split()
KILL = """
import os, signal
from tessera.training.callbacks import checkpoints, recorder
def killed(kind, name, when):
    old = getattr(kind, name)
    def new(self, trainer, *rest):
        old(self, trainer, *rest)
        if when(trainer):
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(kind, name, new)
"""
AT_LINE = KILL + "killed(recorder.Recorder, '_line', lambda trainer: trainer.global_step == {})"
AT_SAVED = KILL + "killed(checkpoints.Checkpoints, '{}', lambda trainer: trainer.global_step == {})"
PLACES = {
    "in_the_middle_of_an_epoch": (AT_LINE.format(STEPS + 4), 3, STEPS + 1),
    "at_the_very_checkpoint": (AT_SAVED.format("on_train_batch_end", STEPS + 3), STEPS + 3, STEPS + 3),
    "before_an_epochs_validation": (AT_SAVED.format("on_train_batch_end", STEPS), STEPS // 2, STEPS // 2),
    "after_an_epochs_validation": (AT_SAVED.format("on_validation_end", STEPS), STEPS, STEPS),
    "at_an_epochs_end": (AT_SAVED.format("on_train_epoch_end", STEPS), 0, STEPS),
}
AT_BATCH = """
import os
from tessera.training.callbacks import steps
old = steps.StepSeeds.on_train_batch_start
def new(self, trainer, *rest):
    old(self, trainer, *rest)
    if trainer.fit_loop.total_batch_idx + 1 == {}:
        os.kill(os.getpid(), {})
steps.StepSeeds.on_train_batch_start = new
"""
SIGNALS = {
    "ctrl_c_between_accumulated_batches": (int(signal.SIGINT), 5, 3),
    "ctrl_c_at_an_epochs_last_batch": (int(signal.SIGINT), 15, STEPS),
    "terminated": (int(signal.SIGTERM), 20, STEPS + 3),
}


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole")
    started = Started(out / "said", ["train", "implicit", *words("implicit", data, out / "run", *SETTINGS)])
    assert started.wait() == 0, started.text()
    return out / "run"


def go_on(data: Path, folder: Path, *more: object) -> Started:
    line = words("implicit", data, folder / "run", *SETTINGS, *more, "--resume")
    again = Started(folder / "again", ["train", "implicit", *line])
    assert again.wait() == 0, again.text()
    return again


def assert_same_run(run: Path, whole: Path) -> None:
    steps = [int(row["step"]) for row in figures(run)]
    assert steps == list(range(1, EPOCHS * STEPS + 1))
    assert figures(run) == figures(whole)
    assert figures(run, "val") == figures(whole, "val") and len(figures(run, "val")) == EPOCHS
    assert same_weights(weights(run), weights(whole))
    one, other = checkpoint(run), checkpoint(whole)
    assert one["callbacks"]["Checkpoints"]["best"] == other["callbacks"]["Checkpoints"]["best"]
    assert same_weights(weights(run, "best"), weights(whole, "best"))


def test_losses_differ_from_step_to_step(whole):
    assert len({row["loss"] for row in figures(whole)}) == EPOCHS * STEPS


@pytest.mark.parametrize("place", PLACES)
def test_killed_and_resumed_is_the_uninterrupted_run(place, whole, data, tmp_path):
    code, every, behind = PLACES[place]
    line = words("implicit", data, tmp_path / "run", *SETTINGS, "--save-every", every)
    killed = Started(tmp_path / "said", ["train", "implicit", *line], code)
    assert killed.wait() == -signal.SIGKILL, killed.text()
    assert checkpoint(tmp_path / "run")["global_step"] == behind
    go_on(data, tmp_path, "--save-every", every)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("where", SIGNALS)
def test_a_signal_ends_with_130_saves_and_the_run_goes_on(where, whole, data, tmp_path):
    number, batch, step = SIGNALS[where]
    line = words("implicit", data, tmp_path / "run", *SETTINGS)
    started = Started(tmp_path / "said", ["train", "implicit", *line], AT_BATCH.format(batch, number))
    assert started.wait() == 130, started.text()
    assert checkpoint(tmp_path / "run")["global_step"] == step
    assert f"interrupted at step {step}, saved" in started.text()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["state"], summary["step"]) == ("interrupted", step)
    go_on(data, tmp_path)
    assert_same_run(tmp_path / "run", whole)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["state"] == "finished"


def test_killed_behind_a_validation_within_an_epoch(data, tmp_path):
    line = [*SETTINGS, "--max-epochs", 1, "--val-every", 3, "--save-every", 3]
    runs = tmp_path / "whole", tmp_path / "run"
    kills = "", AT_SAVED.format("on_validation_end", 3)
    said = [["train", "implicit", *words("implicit", data, run, *line)] for run in runs]
    both = [
        Started(tmp_path / f"{run.name}.said", each, kill) for run, each, kill in zip(runs, said, kills, strict=True)
    ]
    assert [each.wait() for each in both] == [0, -signal.SIGKILL], [each.text() for each in both]
    assert checkpoint(runs[1])["global_step"] == 3
    go_on(data, tmp_path, *line[-6:])
    assert [row["step"] for row in figures(runs[1], "val")] == ["3", "6"]
    assert figures(runs[1]) == figures(runs[0]) and figures(runs[1], "val") == figures(runs[0], "val")
    assert same_weights(weights(runs[1]), weights(runs[0]))
