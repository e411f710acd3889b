"""Runs in Ray Train workers: two give what one process gives with the same global batch."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from tessera.commands.train import parse
from tessera.datasets.checkout import guard_import_path
from tessera.datasets.errors import TesseraError, UsageError
from tessera.training import ray_train
from tessera.training.callbacks.recorder import read_history
from tessera.training.discover import load_engine
from tessera.training.fit import train
from tessera.training.ray_train import _cause, _fit, _followed, tasks_on_ray, train_on_ray
from tessera.training.sweep import Job

SMALL = """--preset tiny --model.filters 4 --model.downs 1 --model.blocks 1 --model.size 16 --device cpu --cpu-threads 1
    --optim.name sgd --optim.lr 0.05 --optim.schedule constant --max-epochs 2 --max-steps 4 --val-every 2 --log-every 1
    --no-pictures"""


def settings(data: Path, out: Path | None, *more: object):
    where = [] if out is None else ["--out", str(out)]
    return parse(load_engine("normals"), [*SMALL.split(), "--data", str(data), *where, *map(str, more)])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder is the checkout, whose `datasets/` is not Hugging Face's."""
    root = Path(ray_train.__file__).parents[1]
    monkeypatch.chdir(root)
    return root


@pytest.mark.slow
def test_two_workers_give_what_one_process_gives_with_twice_the_batch(data, tmp_path, checkout, capfd):
    arguments = ["train", "normals", "--ray", "2"]
    assert train_on_ray(settings(data, tmp_path / "two", "--batch", 2, "--ray", 2), arguments) == 0
    said = capfd.readouterr().err
    train(settings(data, tmp_path / "one", "--batch", 4))
    one, two = ([row for row in read_history(tmp_path / name / "history.csv") if row["kind"] == "val"]
                for name in ("one", "two"))  # fmt: skip
    assert len(one) == len(two) == 2
    for mine, theirs in zip(one, two, strict=True):
        assert mine["step"] == theirs["step"]
        assert float(mine["loss"]) == pytest.approx(float(theirs["loss"]), abs=1e-4)
        assert float(mine["angle"]) == pytest.approx(float(theirs["angle"]), abs=1e-2)
    one, two = ([float(row["loss"]) for row in read_history(tmp_path / name / "history.csv") if row["kind"] == "train"]
                for name in ("one", "two"))  # fmt: skip
    assert len(one) == 4 and one == pytest.approx(two, abs=1e-4)
    old, new = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert max(float((old[name] - new[name]).abs().max()) for name in old) < 1e-4
    started = json.loads((tmp_path / "two" / "starts.jsonl").read_text())
    assert started["command"] == ["tessera", *arguments]
    assert json.loads((tmp_path / "two" / "summary.json").read_text())["state"] == "finished"
    assert "step 4/4" in said
    with pytest.raises(UsageError, match="holds a run already"):  # a worker's own error, as it was
        train_on_ray(settings(data, tmp_path / "two", "--batch", 2, "--ray", 1), arguments)


class Trainer:
    """Stands in for Ray's: ends when the file that asks for it is there."""

    def __init__(self, stop: Path) -> None:
        self.stop, self.return_value = stop, 130

    def fit(self) -> "Trainer":
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(200):
            if self.stop.exists():
                return self
            time.sleep(0.05)
        raise RuntimeError("nobody asked for an end")


def test_a_signal_asks_the_workers_for_an_end_and_is_no_success(tmp_path):
    assert _fit(Trainer(tmp_path / "stop"), tmp_path / "stop") == 130
    assert not (tmp_path / "stop").exists()


def found(job: Job, keep: tuple[int, ...]) -> int:
    """A stand-in for a run: writes which package a worker finds under the name `datasets`, and where it is."""
    import importlib.util

    spec = importlib.util.find_spec("datasets")
    (job.folder / "found").write_text(f"{spec.origin if spec else ''}\n{os.getcwd()}")
    return int(job.name == "bad")


def test_tasks_run_where_the_command_was_typed_and_find_no_datasets_of_ours(tmp_path, checkout):
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    jobs = [Job(name, tmp_path / name, ((),)) for name in ("good", "bad", "lost")]
    for job in jobs[:2]:
        job.folder.mkdir()
    try:
        ended = {job.name: status for job, status in tasks_on_ray(jobs, 2, found)}
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert ended == {"good": 0, "bad": 1, "lost": 1}  # lost: its function raised
    origin, folder = (tmp_path / "good" / "found").read_text().splitlines()
    assert folder == str(checkout) and not origin.startswith(str(checkout / "datasets"))


def test_guard_takes_the_checkout_off_the_path(monkeypatch, checkout, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path), "", str(checkout), f"{checkout}/training/.."])
    guard_import_path()
    assert sys.path == [str(tmp_path)]


def test_arguments_that_make_no_sense_are_refused_before_ray_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(ray_train, "started", lambda *_: pytest.fail("Ray was started"))
    for config, said in (
        (settings(tmp_path, None, "--ray", 2), "--ray 2: give --out"),
        (settings(tmp_path, tmp_path / "r", "--ray", 2, "--batch", 0), "--batch 0"),
        (settings(tmp_path, tmp_path / "r", "--ray", 2, "--device", "cuda:0"), "Ray chooses the cards"),
    ):
        with pytest.raises(UsageError, match=said):
            train_on_ray(config, [])


def test_without_ray_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TesseraError, match=r"pip install 'ray\[train\]'"):
        train_on_ray(settings(tmp_path, tmp_path / "r", "--ray", 2), [])


def test_the_cause_in_a_worker_is_found_below_what_ray_wraps_it_in():
    inner, outer = UsageError("no such thing"), RuntimeError("wrapped")
    outer.__cause__ = inner
    group = RuntimeError("all")
    group.worker_failures = {0: RuntimeError("aborted"), 1: outer}
    assert _cause(group) is inner
    assert str(_cause(RuntimeError("Traceback:\n  line\nIt died\n"))).startswith("a Ray worker failed: It died; ")


def test_lines_of_the_log_are_told_once_and_old_ones_are_not(tmp_path, capsys):
    log = tmp_path / "log.txt"
    log.write_text("2026-01-01 00:00:00 old\n")
    with _followed(log), log.open("a") as stream:
        stream.write("2026-01-01 00:00:00 step 1\n2026-01-01 00:00:01 step 2\n")
    assert capsys.readouterr().err == "step 1\nstep 2\n"
