"""What a run tells afterwards is what was measured; and what was measured decides what is kept and when it ends."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
import yaml
from openpyxl import load_workbook
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tessera.training.config import OptimConfig
from tessera.training.engine import Engine
from tessera.training.engines.normals.engine import NormalsEngine
from tessera.training.optim import rate
from tessera.training.trained import load_trained

from .runs import checkpoint, figures, go, same_weights, weights

EPOCHS, STEPS = 2, 4


@pytest.fixture(scope="module")
def measured(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, float]], str]:
    """A run of two epochs, what its steps returned, and what it said on the screen."""
    out, noted = tmp_path_factory.mktemp("measured") / "run", []
    old = Engine.training_step

    def step(self, batch, number):
        total = old(self, batch, number)
        noted.append({"loss": float(total.detach()), "seen": len(batch["key"])})
        return total

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "training_step", step)
        said = go("normals", data, out, "--pictures", "--optim.ema", 0.5)
    return out, noted, said


def test_history_has_every_step_with_its_own_loss(measured):
    run, noted, _ = measured
    rows = figures(run)
    assert [int(row["step"]) for row in rows] == list(range(1, EPOCHS * STEPS + 1))
    assert [float(row["loss"]) for row in rows] == [note["loss"] for note in noted]
    assert [int(row["epoch"]) for row in rows] == [0] * STEPS + [1] * STEPS
    for row in rows:
        assert float(row["normal_f"]) + float(row["normal_b"]) == pytest.approx(float(row["loss"]), rel=1e-6)


def test_throughput_memory_and_waiting_are_sensible(measured):
    with (measured[0] / "history.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["kind"] == "train"]
    for row in rows:
        assert float(row["records_per_s"]) > 0 and 0 <= float(row["loader_share"]) <= 1
        assert 0.05 < float(row["memory_gb"]) < 64


def test_the_workbook_has_the_same_numbers(measured):
    book = load_workbook(measured[0] / "history.xlsx", read_only=True)
    for kind in ("train", "val"):
        head, *cells = book[kind].iter_rows(values_only=True)
        rows = [dict(zip(head, row, strict=True)) for row in cells]
        for row, wanted in zip(rows, figures(measured[0], kind), strict=True):
            numbers = {name: float(text) for name, text in wanted.items() if name != "kind"}
            assert {name: row[name] for name in numbers} == pytest.approx(numbers, rel=1e-12)


def test_tensorboard_has_the_same_numbers_and_pictures(measured):
    events = EventAccumulator(str(measured[0] / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    for kind, name in (("train", "loss"), ("train", "lr"), ("val", "angle"), ("val", "loss")):
        found = [(x.step, x.value) for x in events.Scalars(f"{kind}/{name}")]
        wanted = [(int(row["step"]), float(row[name])) for row in figures(measured[0], kind)]
        assert [step for step, _ in found] == [step for step, _ in wanted]
        assert [value for _, value in found] == pytest.approx([value for _, value in wanted], rel=1e-6)
    assert {"train/records_per_s", "train/loader_share", "train/memory_gb"} <= set(events.Tags()["scalars"])
    assert [x.step for x in events.Images("normals")] == [4, 8]
    assert {x.name for x in (measured[0] / "pictures").iterdir()} == {"normals-0000004.png", "normals-0000008.png"}


def test_the_log_has_every_line_of_the_screen(measured):
    run, _, said = measured
    log = (run / "log.txt").read_text()
    assert "15 records, 4 steps an epoch, 6 records to validate on" in log
    for row in figures(run):
        assert f"step {row['step']}/8 epoch {row['epoch']} " in log and f"loss {float(row['loss']):.4g} lr" in log
    for row in figures(run, "val"):
        assert f"step {row['step']} validation" in log and f"angle {float(row['angle']):.4g}" in log
    assert "step 8 validation" in said and "8 steps in" in said and f"run {run}" in said


def test_the_summary_has_the_best_figures(measured):
    run, _, said = measured
    summary = json.loads((run / "summary.json").read_text())
    best = min(figures(run, "val"), key=lambda row: float(row["angle"]))
    assert summary["monitor"] == "angle" and summary["best"]["angle"] == float(best["angle"])
    assert (summary["state"], summary["step"], summary["best"]["step"]) == ("finished", 8, int(best["step"]))
    assert summary["last"]["loss"] == float(figures(run)[-1]["loss"])
    assert f"best at step {best['step']}" in said
    assert 0 <= summary["loader_share"] <= 1 and summary["steps_per_s"] > 0


def test_the_folder_says_what_the_run_was(measured):
    run = measured[0]
    start = json.loads((run / "starts.jsonl").read_text())
    assert {"command", "version", "git", "python", "torch", "machine", "time"} <= set(start)
    assert yaml.safe_load((run / "config.yaml").read_text())["optim"]["ema"] == 0.5
    assert (run / "git.diff").exists() and (run / "assets" / "body.npz").is_file()


def scripted(monkeypatch: pytest.MonkeyPatch, angles: list[float]) -> None:
    """Validations that find these figures, one after the other."""
    left = iter(angles)
    monkeypatch.setattr(NormalsEngine, "validated", lambda self: {"angle": next(left)})


def test_the_best_checkpoint_is_that_of_the_best_validation(data, tmp_path, monkeypatch):
    scripted(monkeypatch, [9.0, 7.0, float("nan"), 8.0])
    go("normals", data, tmp_path / "run", "--max-epochs", 4)
    assert checkpoint(tmp_path / "run", "best")["global_step"] == 2 * STEPS
    assert checkpoint(tmp_path / "run")["global_step"] == 4 * STEPS
    assert not same_weights(weights(tmp_path / "run", "best"), weights(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["best"]["angle"] == 7.0


@pytest.mark.parametrize(("patience", "epochs"), [(2, 5), (0, 7), (3, 7)])
def test_patience_counts_validations_without_progress(patience, epochs, data, tmp_path, monkeypatch):
    scripted(monkeypatch, [9.0, 9.5, 8.0, 8.5, 8.0, 7.0, 6.0])
    go("normals", data, tmp_path / "run", "--max-epochs", 7, "--patience", patience)
    assert len(figures(tmp_path / "run", "val")) == epochs
    assert checkpoint(tmp_path / "run")["global_step"] == epochs * STEPS


def test_more_is_better_where_the_engine_says_so(data, tmp_path, monkeypatch):
    from tessera.training.engines.implicit.engine import ImplicitEngine

    left = iter([0.2, 0.9, 0.5])
    monkeypatch.setattr(ImplicitEngine, "validated", lambda self: {"iou": next(left)})
    go("implicit", data, tmp_path / "run", "--max-epochs", 3)
    assert checkpoint(tmp_path / "run", "best")["global_step"] == 2 * STEPS


def test_a_run_that_is_shorter_than_an_interval_is_validated_at_its_end(data, tmp_path):
    go("normals", data, tmp_path / "run", "--max-epochs", 10, "--max-steps", 3, "--val-every", 500)
    assert [row["step"] for row in figures(tmp_path / "run", "val")] == ["3"]
    assert checkpoint(tmp_path / "run", "best")["global_step"] == 3
    assert figures(tmp_path / "run")[-1]["step"] == "3", "the last step has a line"


def test_a_run_that_goes_on_adds_up_its_seconds(data, tmp_path):
    run = tmp_path / "run"
    go("normals", data, run, "--max-epochs", 1)
    before = json.loads((run / "summary.json").read_text())
    go("normals", data, run, "--max-epochs", 2, "--resume")
    after = json.loads((run / "summary.json").read_text())
    assert after["seconds"] > before["seconds"] and after["busy_seconds"] > before["busy_seconds"] > 0
    assert 0 < after["loader_share"] < 1 and after["last"]["step"] == 2 * STEPS


def test_averaged_weights_are_validated_and_evaluated(measured, data, tmp_path):
    go("normals", data, tmp_path / "plain")
    state = checkpoint(measured[0])
    plain, averaged = weights(tmp_path / "plain"), state["state_dict"]
    assert not same_weights(plain, averaged), "the average is not the last step's weights"
    kept = {name.removeprefix("module."): value for name, value in state["current_model_state"].items()}
    assert same_weights({name: kept[name] for name in plain}, plain), "training itself is not changed by it"
    used = load_trained(measured[0], str(data), "last", "cpu").engine
    assert same_weights(dict(used.state_dict()), averaged)
    found, told = validation_loss(used, data), float(figures(measured[0], "val")[-1]["loss"])
    assert found == pytest.approx(told, rel=1e-5)


def validation_loss(engine: Engine, data: Path) -> float:
    from tessera.datasets import Stream

    fields = ["image", "mask", *(f"{kind}normal_{side}" for kind in ("", "body_") for side in "fb")]
    batch = next(iter(Stream(data, "views", "val", fields, batch_size=6, order="sequential")))
    with torch.no_grad():
        return float(torch.stack(list(engine.losses(batch).values())).sum(0).mean())


def test_a_slow_average_lags_behind_the_steps(data, tmp_path):
    go("normals", data, tmp_path / "one", "--max-epochs", 1, "--optim.ema", 0.0, "--save-every", 1)
    go("normals", data, tmp_path / "ema", "--max-epochs", 1, "--optim.ema", 0.999)
    first, last = weights(tmp_path / "ema"), weights(tmp_path / "one")
    far = max(float((last[name] - first[name]).abs().max()) for name in last)
    assert far > 1e-3, "an average of 0.999 over four steps has hardly moved"


def test_other_draws_in_between_change_nothing(data, tmp_path, monkeypatch):
    line = ["--model.dropout", 0.4, "--model.body", "random", "--model.sdf-noise", 0.01]
    go("implicit", data, tmp_path / "one", *line)
    old = Engine.validation_step

    def step(self, batch, number):
        torch.rand(1000)
        torch.manual_seed(number)
        return old(self, batch, number)

    monkeypatch.setattr(Engine, "validation_step", step)
    torch.manual_seed(1234)
    go("implicit", data, tmp_path / "two", *line, "--threads", 1, "--val-batches", 1)
    assert figures(tmp_path / "one") == figures(tmp_path / "two")
    assert same_weights(weights(tmp_path / "one"), weights(tmp_path / "two"))


def test_another_seed_is_another_run(data, tmp_path):
    for seed in (1, 2):
        go("normals", data, tmp_path / str(seed), "--max-epochs", 1, "--seed", seed)
    assert figures(tmp_path / "1")[0]["loss"] != figures(tmp_path / "2")[0]["loss"]


class Planned:
    steps_planned, steps_an_epoch = 100, 10


@pytest.mark.parametrize(("config", "wanted"), [
    (OptimConfig(schedule="step", milestones=(2, 5), gamma=0.1), {0: 1, 19: 1, 20: 0.1, 49: 0.1, 50: 0.01, 99: 0.01}),
    (OptimConfig(schedule="cosine"), {0: 1, 25: (1 + math.cos(math.pi / 4)) / 2, 50: 0.5, 100: 0, 120: 0}),
    (OptimConfig(warmup=4), {0: 0.25, 1: 0.5, 3: 1, 4: 1, 99: 1}),
    (OptimConfig(schedule="step", milestones=(1,), gamma=0.5, warmup=20), {9: 0.5, 10: 0.275, 20: 0.5}),
])  # fmt: skip
def test_rates_follow_their_schedules(config, wanted):
    assert {step: rate(step, config, Planned()) for step in wanted} == pytest.approx(wanted)


def test_the_rate_that_steps_had_is_told_and_changes_at_epochs(data, tmp_path):
    line = ["--optim.lr", 0.01, "--optim.schedule", "step", "--optim.milestones", 1, "--optim.gamma", 0.1]
    go("normals", data, tmp_path / "run", *line)
    assert [float(row["lr"]) for row in figures(tmp_path / "run")] == pytest.approx([0.01] * STEPS + [0.001] * STEPS)
