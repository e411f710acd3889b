"""Small runs on the tiny data set: in this process, or in one of their own that can be killed."""

import io
import multiprocessing
import os
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from tessera.commands.train import parse
from tessera.training.callbacks.recorder import read_history
from tessera.training.config import RunConfig
from tessera.training.discover import load_engine
from tessera.training.fit import train

MACHINE = """--device cpu --cpu-threads 1 --threads 2 --log-every 1 --no-pictures --max-steps 0 --val-every 0
    --batch 4 --max-epochs 2"""
SMALL = {
    "implicit": """--preset icon-tiny --model.width 16 --model.stacks 1 --model.depth 1 --model.hidden 16 8
        --model.features 4 --model.points 64 --model.size 0 --model.resolution 32""",
    "normals": "--preset tiny --model.filters 4 --model.downs 1 --model.blocks 1 --model.size 0",
}
STOPWATCH = ("records_per_s", "loader_share", "memory_gb")
# a fork of a process that has imported all: the whole of a start, without the seconds that imports take
forkserver.set_forkserver_preload(["tessera.cli", "tessera.training.fit", "tessera.commands.train",
                                   "tessera.training.engines.implicit", "torch.utils.tensorboard"])  # fmt: skip
SCRIPT = """
import os, sys
os.environ.update(environment)
sys.stdout = sys.stderr = open(log, "w", buffering=1)
exec(before)
from tessera.cli import run
sys.exit(run(arguments))
"""


def words(engine: str, data: Path, out: Path | None, *more: object) -> list[str]:
    """The command line behind `tessera train ENGINE`."""
    folder = ["--out", str(out)] if out else []
    given = [*MACHINE.split(), *(str(word) for word in more)]
    if "--pictures" in given:  # the command line knows --no-pictures alone
        given = [word for word in given if not word.endswith("pictures")]
    return [*SMALL[engine].split(), "--data", str(data), *folder, *given]


def settings(engine: str, data: Path, out: Path | None, *more: object) -> RunConfig:
    """Settings of a small run; what is given last goes first."""
    return parse(load_engine(engine), words(engine, data, out, *more))


def go(engine: str, data: Path, out: Path, *more: object) -> str:
    """Train in this process; what was said on the screen."""
    screen = io.StringIO()
    path, status = train(settings(engine, data, out, *more), Console(file=screen, width=120))
    assert (path, status) == (out, 0)
    return screen.getvalue()


class Started:
    """`tessera` in a process of its own.

    Args:
        log: file that gets what it says.
        arguments: of the command.
        before: code that is run first in that process.
        environment: variables.
    """

    def __init__(self, log: Path, arguments: list[str], before: str = "", environment: dict[str, str] | None = None):
        given = {"arguments": arguments, "log": str(log), "before": before, "environment": environment or {}}
        self.log = log
        self.process = multiprocessing.get_context("forkserver").Process(target=exec, args=(SCRIPT, given))
        self.process.start()

    def send(self, number: int) -> None:
        """A signal."""
        os.kill(self.process.pid or 0, number)

    def wait(self, timeout: float = 100) -> int:
        """The exit status, negative for a signal."""
        self.process.join(timeout)
        if self.process.is_alive():
            self.process.kill()
            raise AssertionError(f"it hangs: {self.text()}")
        return int(self.process.exitcode or 0)

    def text(self) -> str:
        """What it said."""
        return self.log.read_text() if self.log.exists() else ""


def figures(run: Path, kind: str = "train") -> list[dict[str, str]]:
    """Rows of history.csv, as they were written, without what a stopwatch says and without empty cells."""
    rows = [row for row in read_history(run / "history.csv") if row["kind"] == kind]
    return [{name: text for name, text in row.items() if text and name not in STOPWATCH} for row in rows]


def checkpoint(run: Path, name: str = "last") -> dict[str, Any]:
    """A checkpoint's contents."""
    return torch.load(run / "checkpoints" / f"{name}.ckpt", map_location="cpu", weights_only=True)


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    """Weights of a checkpoint."""
    return checkpoint(run, name)["state_dict"]


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two states agree bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
