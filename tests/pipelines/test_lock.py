"""One run at a time in one OUT; a lock dies with its process; a worker of a dead run commits nothing."""

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from tessera.datasets import TesseraError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.group import build_group
from tessera.pipelines.limits import python_time_limit
from tessera.pipelines.lock import lock_commit, lock_out
from tessera.pipelines.prepare import prepare
from tessera.pipelines.raw import open_raw
from tessera.pipelines.settings import RunSettings

from .conftest import Toy


def wait_for(path: Path, pattern: str) -> None:
    deadline = time.monotonic() + 30
    while not list(path.glob(pattern)):
        assert time.monotonic() < deadline, f"no {pattern} in {path}"
        time.sleep(0.02)


def test_second_run_is_refused_while_the_first_lives_and_welcome_after_its_death(toy: Toy) -> None:
    toy.fill(3)
    first = toy.start("--workers", "0", TOY_SECONDS="5")
    wait_for(toy.out, "runs/*/status/*.json")
    before = toy.hashes()
    second = toy.call("--workers", "0")
    assert second.returncode == 1
    (line,) = second.stderr.strip().splitlines()
    assert line == f"tessera shards: {toy.out}: another run is writing here; wait for it, or use another --out"
    with pytest.raises(TesseraError, match="another run, or another part 0/2, is writing here"):
        toy.run(part="0/2")
    assert toy.hashes() == before
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert toy.run().built_groups == 2
    assert toy.hashes() == toy.fresh() and not list(toy.out.rglob("*.tmp"))


def test_temporary_files_of_dead_runs_are_swept_everywhere(toy: Toy) -> None:
    toy.fill(2)
    toy.run()
    dead = [
        toy.out / ".dataset.json.dead.tmp", toy.out / ".rejects.parquet.dead.tmp",
        toy.out / "train/.numbers-000000.tar.dead.tmp", toy.out / "val/.numbers-000000.parquet.dead.tmp",
        toy.out / "runs/notes/.train-000000.json.dead.tmp",
    ]  # fmt: skip
    for path in dead:
        path.write_text("half")
    toy.run()
    assert not list(toy.out.rglob("*.tmp"))
    assert toy.hashes() == toy.fresh()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_run_leaves_nothing_half_written(toy: Toy, signal_number: int) -> None:
    toy.fill(3)
    process = toy.start("--workers", "0", TOY_SECONDS="5")
    wait_for(toy.out, "runs/*/status/*.json")
    os.kill(process.pid, signal_number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert said.strip() == "tessera shards: interrupted; the same command goes on from here"
    assert not list(toy.out.rglob("*.tmp")) and not list(toy.out.rglob("*.tar"))
    assert toy.run().records == 12


def test_background_job_of_a_shell_can_be_terminated(toy: Toy) -> None:
    """A shell script starts `command &` with SIGINT ignored; SIGTERM must work all the same."""
    toy.fill(3)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = toy.start("--workers", "0", TOY_SECONDS="5")
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(toy.out, "runs/*/status/*.json")
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 130


@pytest.mark.parametrize("later", [None, (0, 2)])
def test_worker_that_outlived_its_run_commits_nothing(toy: Toy, later: tuple[int, int] | None) -> None:
    toy.fill(2)
    recipe = load_recipe("toy")
    settings = RunSettings(out=toy.out, workers=0)
    prepared = prepare(recipe, recipe.options(), open_raw(toy.raw), settings, "first")
    with lock_out(toy.out, "first", None):
        pass
    with lock_out(toy.out, "second", later), pytest.raises(TesseraError, match="another run has taken over"):
        build_group(prepared.tasks[0], partial(python_time_limit, 0))
    assert not list(toy.out.rglob("*.tar")) and not list(toy.out.rglob("*.tmp"))
    with lock_out(toy.out, "third", None):
        result = build_group(replace(prepared.tasks[0], run="third"), partial(python_time_limit, 0))
    assert result.records == 4


def test_lock_is_free_after_an_error_and_knows_its_holder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock_out(tmp_path, "one", None):
        raise ZeroDivisionError
    with lock_out(tmp_path, "two", None):
        assert (tmp_path / "runs/lock").read_text() == "two"
        with pytest.raises(TesseraError, match="is writing here"), lock_out(tmp_path, "three", None):
            pass
        assert (tmp_path / "runs/lock").read_text() == "two"


def test_the_last_commit_of_a_worker_that_outlived_its_run_is_waited_for(toy: Toy) -> None:
    """Else its files would be swept away under its hands, or it would commit a group that the next run commits, too."""
    toy.fill(2)
    toy.run()
    half = toy.out / "train/.numbers-000000.tar.dead.tmp"
    half.write_text("half")
    with lock_commit(toy.out):
        second = toy.start("--workers", "0")
        deadline = time.monotonic() + 30
        while len(toy.events("plan")) < 2:
            assert time.monotonic() < deadline and second.poll() is None
            time.sleep(0.02)
        time.sleep(0.3)
        assert half.exists() and second.poll() is None
    second.communicate(timeout=30)
    assert second.returncode == 0 and not half.exists()
