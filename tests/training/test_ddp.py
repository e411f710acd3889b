"""Two processes (gloo) give what one gives with the same global batch, and see each record once."""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

from .runs import Started, checkpoint, figures, weights, words

RECORDS, STEPS = 15, 4  # the last global batch of four has a repeat
LINE = "--batch {} --optim.name sgd --optim.lr 0.2 --optim.schedule constant --optim.clip 0.5 --max-epochs 2 --seed 3"
NOTE = """
import json, os
from tessera.training.engine import Engine
old = Engine.training_step
def new(self, batch, number):
    rows = [key for key, repeat in zip(batch["key"], batch["repeat"].tolist()) if not repeat]
    with open(NAME + os.environ.get("RANK", "0"), "a") as stream:
        stream.write(json.dumps([self.trainer.current_epoch, rows]) + "\\n")
    return old(self, batch, number)
Engine.training_step = new
"""


def port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def together(arguments: list[str], folder: Path, before: str) -> list[Started]:
    """Two processes with the environment that torchrun gives."""
    shared = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port(),
              "TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0"}  # fmt: skip
    return [
        Started(folder / f"said{rank}", arguments, before, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(2)
    ]


def arguments(engine: str, data: Path, folder: Path, batch: int, *more: object) -> list[str]:
    return ["train", engine, *words(engine, data, folder / "run", *LINE.format(batch).split(), *more)]


@pytest.fixture(scope="module", params=["implicit", "normals"])
def runs(request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of a run in one process and of one in two, with the same global batch."""
    found = {}
    for name, batch in (("one", 4), ("two", 2)):
        folder = found[name] = tmp_path_factory.mktemp(name)
        norm = ["--model.norm", "group"] if request.param == "implicit" else []  # of one record each, not of the batch
        line = arguments(request.param, data, folder, batch, *norm)
        before = f"NAME = {str(folder / 'keys')!r}\n{NOTE}"
        started = [Started(folder / "said0", line, before)] if name == "one" else together(line, folder, before)
        assert all(each.wait() == 0 for each in started), "\n".join(each.text() for each in started)
    return found


def keys(folder: Path, rank: int) -> list[tuple[int, list[str]]]:
    return [tuple(json.loads(line)) for line in (folder / f"keys{rank}").read_text().splitlines()]


def test_both_take_the_same_steps(runs):
    assert [checkpoint(folder / "run")["global_step"] for folder in runs.values()] == [2 * STEPS] * 2


def test_weights_are_the_single_processs(runs):
    one, two = (weights(folder / "run") for folder in runs.values())
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=1e-4, atol=2e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_the_run_learnt_far_beyond_that_tolerance(runs):
    losses = [float(row["loss"]) for row in figures(runs["one"] / "run")]
    assert losses[-1] < 0.98 * losses[0]


def test_each_record_is_seen_once_an_epoch_over_all_ranks(runs):
    for epoch in range(2):
        seen = Counter(key for rank in range(2) for at, rows in keys(runs["two"], rank) if at == epoch for key in rows)
        assert len(seen) == RECORDS and set(seen.values()) == {1}
    assert [len(keys(runs["two"], rank)) for rank in range(2)] == [2 * STEPS] * 2


def test_global_batches_are_the_single_processs(runs):
    ranks = [keys(runs["two"], rank) for rank in range(2)]
    for number, (_, rows) in enumerate(keys(runs["one"], 0)):
        assert sorted(ranks[0][number][1] + ranks[1][number][1]) == sorted(rows)
    short = [rows for _, rows in keys(runs["one"], 0) if len(rows) == 3]
    assert len(short) == 2, "the last batch of each epoch is padded"


def test_validation_figures_are_the_single_processs(runs):
    one, two = (figures(folder / "run", "val") for folder in runs.values())
    assert len(one) == len(two) == 2
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"kind"}:
            assert float(b[name]) == pytest.approx(float(a[name]), rel=5e-3, nan_ok=True), name


def test_losses_that_are_told_are_those_of_all_processes(runs):
    one, two = (figures(folder / "run") for folder in runs.values())
    for a, b in zip(one, two, strict=True):
        assert float(b["loss"]) == pytest.approx(float(a["loss"]), rel=1e-3), f"step {a['step']}"


def test_an_interrupt_of_one_process_stops_both_and_two_go_on(data, tmp_path):
    line = arguments("normals", data, tmp_path, 2)
    stop = """
import os, signal
from tessera.training.callbacks import steps
old = steps.StepSeeds.on_train_batch_start
def new(self, trainer, *rest):
    old(self, trainer, *rest)
    if trainer.fit_loop.total_batch_idx == 2 and trainer.global_rank == 1:
        os.kill(os.getpid(), signal.SIGINT)
steps.StepSeeds.on_train_batch_start = new
"""
    started = together(line, tmp_path, stop)
    assert [each.wait() for each in started] == [130, 130], [each.text() for each in started]
    assert checkpoint(tmp_path / "run")["global_step"] == 3
    started = together([*line, "--resume"], tmp_path, "")
    assert [each.wait() for each in started] == [0, 0], [each.text() for each in started]
    assert [int(row["step"]) for row in figures(tmp_path / "run")] == list(range(1, 2 * STEPS + 1))


def test_torchrun_starts_it(data, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=127.0.0.1:0", "--max-restarts=0", "-m", "tessera.cli"]
    script = tmp_path / "start.py"
    script.write_text("from tessera.cli import main\nmain()\n")
    command[-2:] = [str(script)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    line = arguments("normals", data, tmp_path, 2, "--max-epochs", 1)
    done = subprocess.run([*command, *line], env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
                          timeout=200)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert checkpoint(tmp_path / "run")["global_step"] == STEPS
