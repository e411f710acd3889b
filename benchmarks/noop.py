"""A run with nothing to do: seconds of the whole command, from the interpreter's start to its end, by number of shards.

The data set is made first, by the pipeline itself, with a recipe of nearly empty units: one shard and ten raw files a
unit. Writing the largest takes minutes; nothing is flushed to the disk meanwhile, for nothing of it is to last.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from ..pipelines.discover import FOLDERS, load_recipe
from ..pipelines.fingerprint import group_of
from ..pipelines.run import run_recipe
from ..pipelines.settings import RunSettings
from .recipes import RECIPES

SHARDS = (100, 1_000, 10_000)
FILES = 10
ROUNDS = 5

Row = dict[str, float]


def tables(shards: tuple[int, ...] = SHARDS, files: int = FILES, rounds: int = ROUNDS) -> dict[str, list[Row]]:
    """The benchmark's table, by title."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(Path(folder) / str(count), count, files, rounds) for count in shards]
    return {f"a run with nothing to do, seconds of the command ({rounds} rounds)": rows}


def measure(place: Path, shards: int, files: int, rounds: int) -> Row:
    """Make a data set below `place` and run its command again.

    Args:
        place: folder for raw data and data set.
        shards: number of shards, units and records.
        files: raw files of each unit.
        rounds: how often the command is run.

    Returns:
        Seconds: `building_s` of the run that made it, `best_s` and `median_s` of those with nothing to do, `cpu_s`.
    """
    start = time.perf_counter()
    raw, out = write_raw(place / "raw", shards, files), place / "out"
    with _recipes(), _nothing_flushed():
        recipe = load_recipe("files")
        settings = RunSettings(out=out, workers=0, quiet=True, shard_mb=1)
        built = run_recipe(recipe, recipe.options(files=files), raw, settings).built_groups  # type: ignore[call-arg]
    assert built == shards
    building, before = time.perf_counter() - start, _children_seconds()
    seconds = [_again(raw, out, files) for _ in range(rounds)]
    return {
        "shards": shards, "raw_files": shards * files, "building_s": building, "best_s": min(seconds),
        "median_s": median(seconds), "cpu_s": (_children_seconds() - before) / rounds,
    }  # fmt: skip


def unit_names(count: int) -> list[str]:
    """Names of units that fall into `count` groups, one each."""
    names: dict[int, str] = {}
    number = 0
    while len(names) < count:
        name = f"u{number:07d}"
        names.setdefault(group_of(0, "files", name, count), name)
        number += 1
    return sorted(names.values())


def write_raw(raw: Path, units: int, files: int) -> Path:
    """Write raw data in the layout of the recipe `files`; returns their folder."""
    names = unit_names(units)
    for name in names:
        (raw / name).mkdir(parents=True)
        for number in range(files):
            (raw / name / f"{number}.txt").write_text(name)
    (raw / "list.txt").write_text("\n".join(names))
    return raw


def _again(raw: Path, out: Path, files: int) -> float:
    """Seconds of a command that finds nothing to do."""
    command = [sys.executable, "-m", "tessera", "shards", "files", "--raw", str(raw), "--out", str(out)]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--workers", "0", "--shard-mb", "1", "--files", str(files)], cwd=raw.parent, text=True,
        env={**os.environ, FOLDERS: str(RECIPES)}, capture_output=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    assert done.stdout.startswith("nothing to do"), done.stdout
    return seconds


def _children_seconds() -> float:
    """Processor time of all processes that this one has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextmanager
def _recipes() -> Iterator[None]:
    """The benchmarks' own recipes are there, too."""
    before = os.environ.get(FOLDERS)
    os.environ[FOLDERS] = str(RECIPES)
    try:
        yield
    finally:
        del os.environ[FOLDERS]
        if before is not None:
            os.environ[FOLDERS] = before


@contextmanager
def _nothing_flushed() -> Iterator[None]:
    """`os.fsync` does nothing."""
    flush = os.fsync
    os.fsync = lambda fd: None
    try:
        yield
    finally:
        os.fsync = flush
