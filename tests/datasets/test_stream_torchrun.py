"""Real processes under torchrun (gloo): each record once; a run that was killed goes on with any number of ranks."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tessera.datasets import Stream

from .loops.plain import BATCH, SAVE_EVERY, SEED
from .stream_data import numbers_set

SCRIPT = Path(__file__).parent / "loops" / "plain.py"
RECORDS, EPOCHS, KILL_AT = 61, 2, 11  # eight steps an epoch of two ranks: killed in the second epoch, two steps unsaved


@dataclass
class Step:
    """What one rank logged of one step: where the state stood behind it, and the numbers of its records."""

    epoch: int
    after: tuple[int, int]
    numbers: list[int]
    repeats: int


def torchrun(root: Path, ranks: int, saved: Path, log: Path, kill_at: int = 0) -> list[list[Step]]:
    """Steps of each rank; a run that is to be killed must be."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=127.0.0.1:0", "--max-restarts=0", str(SCRIPT), str(root), str(saved), str(log)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [*command, str(EPOCHS), str(kill_at)], env=environment | {"OMP_NUM_THREADS": "1"}, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode != 0) == bool(kill_at), done.stderr[-3000:]
    return [read(log.with_suffix(f".{rank}")) for rank in range(ranks)]


def read(log: Path) -> list[Step]:
    steps = []
    for line in log.read_text().splitlines():
        epoch, after_epoch, position, values, repeat = json.loads(line)
        own = [value for value, again in zip(values, repeat, strict=True) if not again]
        steps.append(Step(epoch, (after_epoch, position), own, sum(repeat)))
    return steps


def together(ranks: list[list[Step]]) -> list[Step]:
    """Steps of all ranks; they must agree on the number of steps and where each ends."""
    assert len({len(rank) for rank in ranks}) == 1, [len(rank) for rank in ranks]
    joined = []
    for each in zip(*ranks, strict=True):
        assert len({(step.epoch, step.after) for step in each}) == 1
        found = [value for step in each for value in step.numbers]
        joined.append(Step(each[0].epoch, each[0].after, found, sum(step.repeats for step in each)))
    return joined


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return numbers_set(tmp_path_factory.mktemp("numbers") / "set", RECORDS)


@pytest.fixture(scope="module")
def orders(root: Path) -> list[list[int]]:
    """The order of each epoch, from one process."""
    with Stream(root, fields=["number"], batch_size=RECORDS, seed=SEED, threads=0) as stream:
        return [next(iter(stream))["number"].tolist() for _ in range(EPOCHS)]


@pytest.fixture(scope="module")
def killed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step]]:
    """Saved state of a run of two ranks that was killed, and its steps up to that state."""
    folder = tmp_path_factory.mktemp("killed")
    ranks = torchrun(root, 2, folder / "state.json", folder / "log", KILL_AT)
    state = json.loads((folder / "state.json").read_text())
    least = min(len(rank) for rank in ranks)
    assert KILL_AT - 1 <= least <= KILL_AT  # the other rank may have died before it logged
    steps = together([rank[:least] for rank in ranks])[: KILL_AT // SAVE_EVERY * SAVE_EVERY]
    assert steps[-1].after == (state["epoch"], state["position"]) == (1, 8)
    return folder / "state.json", steps


def test_the_killed_run_gave_each_record_once(killed: tuple[Path, list[Step]], orders: list[list[int]]) -> None:
    seen = [value for step in killed[1] for value in step.numbers]
    assert seen == orders[0] + orders[1][: len(seen) - RECORDS]
    assert [step.repeats for step in killed[1] if step.epoch == 0] == [0] * 7 + [3]


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_killed_run_goes_on_with_any_number_of_ranks(
    root: Path, tmp_path: Path, killed: tuple[Path, list[Step]], orders: list[list[int]], ranks: int
) -> None:
    saved, before = killed
    shutil.copy(saved, tmp_path / "state.json")
    after = together(torchrun(root, ranks, tmp_path / "state.json", tmp_path / "log"))
    seen = [value for step in before + after for value in step.numbers]
    assert seen == orders[0] + orders[1]
    assert len(after) == -(-(RECORDS - 8) // (ranks * BATCH))
    assert all(step.repeats == 0 for step in after[:-1])
