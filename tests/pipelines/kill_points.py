"""Runs a toy recipe again and again, dying before the N-th change of the disk, then to the end; prints what differs.

usage: python kill_points.py RECIPE RAW BEFORE WANTED OUT [LABEL]; with a label, one is added. A process of its own, for
it forks: that costs a hundredth of a start. Flushes are points, too, but left out, which changes nothing for what a
killed process leaves.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import cv2  # noqa: F401 (imported here, that not every fork does it again)
import pandas  # noqa: F401
import threadpoolctl  # noqa: F401
from conftest import file_hashes
from tessera.pipelines import journal, serial  # noqa: F401
from tessera.pipelines.add_label import add_label
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

CHANGES = ("replace", "unlink", "fsync", "mkdir", "ftruncate")
DIED = 77


def build(recipe: str, raw: Path, out: Path, label: str) -> None:
    loaded, settings = load_recipe(recipe), RunSettings(out=out, workers=0, quiet=True, shard_mb=1, max_reject=1.0)
    if label:
        add_label(out, label, raw, settings)
    else:
        run_recipe(loaded, loaded.options(), raw, settings)


def counted(name: str, left: list[int]) -> Callable[..., object]:
    change = getattr(os, name)

    def call(*arguments: object, **named: object) -> object:
        if left[0] == 0:
            os._exit(DIED)
        left[0] -= 1
        return change(*arguments, **named)

    return call


def forked(work: Callable[[], None]) -> int:
    """Exit status of `work` in a forked child."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(count: int, work: Callable[[], None]) -> int:
    def dying() -> None:
        left = [count]
        for name in CHANGES:
            setattr(os, name, counted(name, left))
        work()

    return forked(dying)


def main(recipe: str, raw: Path, before: Path, wanted: Path, out: Path, label: str = "") -> None:
    """`before` is the data set that a run finds (or no folder), `wanted` the one with which it has to end."""
    points, os.fsync, journal.git_state = 0, lambda handle: None, lambda: ""
    while True:
        shutil.rmtree(out, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, out)  # keeps modification times
        status = die_at(points, lambda: build(recipe, raw, out, label))
        if status != DIED:
            break
        again = forked(lambda: build(recipe, raw, out, label))
        left = [path.name for path in out.rglob("*.tmp")]
        if again != 0 or left or file_hashes(out) != file_hashes(wanted):
            print(f"point {points}: then {again}; {left} left behind; {sorted(file_hashes(out))}")
        points += 1
    print(f"{points} points, then {status}")


if __name__ == "__main__":
    main(sys.argv[1], *(Path(argument) for argument in sys.argv[2:6]), *sys.argv[6:])
