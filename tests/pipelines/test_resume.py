"""A killed run, resumed, ends with the bytes of an unbroken one: at every change of the disk, and at random moments."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Toy


def kill_points(toy: Toy, before: Path) -> int:
    """Die at every point of a run that finds `before`; returns the number of points."""
    toy.run(toy.root / "wanted", shard_mb=1, max_reject=1.0)
    script = Path(__file__).with_name("kill_points.py")
    places = [toy.raw, before, toy.root / "wanted", toy.out]
    done = subprocess.run(
        [sys.executable, script, toy.name, *map(str, places)], capture_output=True, text=True, timeout=300
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len(lines) == 1 and lines[0].endswith("points, then 0"), done.stdout + done.stderr
    return int(lines[0].split()[0])


@pytest.fixture
def parted(pairs: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Two tables, two splits, a group of several shards, a reject."""
    monkeypatch.setenv("TOY_BYTES", "1")
    pairs.unit("u00", "x yy")
    pairs.unit("u01", "word " * 50)
    pairs.unit("u02", "x yy zzz")
    return pairs


def test_killed_at_every_change_of_the_disk_while_it_is_first_built(parted: Toy) -> None:
    assert kill_points(parted, parted.root / "nothing") > 60


def test_killed_at_every_change_of_the_disk_while_it_is_rebuilt(parted: Toy) -> None:
    parted.run(parted.root / "before", shard_mb=1)
    parted.unit("u02", "x yy zzz more")
    assert kill_points(parted, parted.root / "before") > 40


def test_killed_at_every_change_of_the_disk_while_units_go_and_rejects_come(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.run(toy.root / "before", shard_mb=1)
    (toy.raw / "u03.txt").unlink()  # alone in its group
    toy.unit("u05", "x truncated x x")
    assert kill_points(toy, toy.root / "before") > 25


def killed_at_random(toy: Toy, kills: int, *options: str) -> int:
    """Kill a run `kills` times within its first seconds of work; returns how often it was still at work."""
    moments, hit = random.Random(1), 0
    for _ in range(kills):
        process = toy.start(*options, TOY_SECONDS="0.01")
        logs = len(list(toy.out.glob("runs/*/log.jsonl")))
        while len(list(toy.out.glob("runs/*/log.jsonl"))) == logs and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0.0, 0.7))
        hit += process.poll() is None
        process.kill()
        process.communicate()
    return hit


@pytest.mark.parametrize("kills", [8, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_random_moments(toy: Toy, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(60)
    assert killed_at_random(toy, kills, "--workers", "0", "--shard-mb", "1") > 3
    done = toy.call("--workers", "0", "--shard-mb", "1")
    assert done.returncode == 0 and "240 records" in done.stdout, done.stderr
    assert toy.hashes() == toy.fresh(shard_mb=1) and not list(toy.out.rglob("*.tmp"))


@pytest.mark.slow
def test_killed_at_random_moments_with_ray(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers may outlive their driver for a moment; none of them may commit into the next run."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(60)
    for wait in (5.5, 6.5, 7.0, 8.0):
        process = toy.start("--workers", "2", "--shard-mb", "1", TOY_SECONDS="0.02")
        time.sleep(wait)
        process.kill()
        process.communicate()
    assert toy.run(shard_mb=1).complete
    assert toy.hashes() == toy.fresh(shard_mb=1) and not list(toy.out.rglob("*.tmp"))
