"""`tessera sweep FILE`: a list of runs, one after another or on Ray, and their table."""

import contextlib
import fcntl
import fnmatch
import re
import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from ..datasets.errors import UsageError
from ..training.compare import compare
from ..training.ray_train import tasks_on_ray
from ..training.sweep import LOG, Job, Runner, Sweep, execute, last_lines, read_sweep
from .compare import write_tables
from .console import progress_console
from .sweep_plan import NOTES, plan_jobs


def run_all(sweep: Sweep, jobs: Sequence[Job], ray: int = 0, run: Runner = execute) -> int:
    """Do jobs, then print the table and write `table.md` and `table.csv`; 1 where a run failed or did before.

    Raises:
        UsageError: another sweep is at work in the same folder.
    """
    console, bad = progress_console(), [job.name for job in jobs if job.note == NOTES["failed"]]
    with _lock(sweep.out) as lock:
        todo = [job for job in jobs if job.commands]
        for job in jobs:
            log = f"; output in {job.folder / LOG}" if job.commands else ""
            console.print(f"{job.name}: {job.note}{log}", highlight=False, soft_wrap=True)
        each = tasks_on_ray(todo, ray, run) if ray else ((job, run(job, (lock,))) for job in todo)
        for number, (job, status) in enumerate(each, 1):
            how = f"failed (exit status {status})" if status else "done"
            console.print(f"[{number}/{len(todo)}] {job.name}: {how}", highlight=False, soft_wrap=True)
            bad = [name for name in bad if name != job.name] + [job.name] * (status != 0)
            for line in last_lines(job.folder) if status else []:
                console.print(f"    {line}", highlight=False, soft_wrap=True)
        _table(sweep)
    if bad:
        names = ", ".join(bad)
        console.print(
            f"{len(bad)} of {len(jobs)} runs failed: {names}; the same command does them again", highlight=False
        )
    return int(bool(bad))


def _table(sweep: Sweep) -> None:
    there = [sweep.out / name for name in sweep.runs if (sweep.out / name / "config.yaml").is_file()]
    if there:
        asked = sweep.evaluation or {}
        write_tables(compare(there, str(asked.get("name") or asked.get("split", "test")), mixed=True), sweep.out)


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[int]:
    """Keep two sweeps apart. The runs inherit the lock, so that it holds while one of a sweep that was killed works."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{out}: another sweep, or a run of one that was stopped, is at work here") from error
        yield stream.fileno()


def run_sweep(
    file: Annotated[Path, tyro.conf.Positional], only: str = "", ray: int = 0, resume: bool = False, plan: bool = False
) -> int:
    """Train, evaluate and compare the runs that a YAML file lists. The same command again does what is left.

    Args:
        file: engine, out, options (of all runs), eval (options of tessera eval), seeds, runs (each a name and options)
            and grid (lists of values: a run for each of their combinations). See docs.
        only: runs of these names only, with commas between; * stands for anything, and a name for all its seeds.
        ray: so many runs at once as Ray tasks, on the cluster of RAY_ADDRESS where there is one; 0 for one by one.
        resume: go on with runs that failed, too, from their last checkpoints.
        plan: only print the runs and their command lines.
    """
    if ray < 0:
        raise UsageError(f"--ray {ray}: 0 or more")
    sweep = read_sweep(file)
    jobs = _chosen(plan_jobs(sweep, ray, resume), only)
    if plan:
        for job in jobs:
            print(f"# {job.name}: {job.note}")
            for command in job.commands:
                print(shlex.join(["tessera", *command]))
        return 0
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the run at hand is told, and saves
    return run_all(sweep, jobs, ray)


def _chosen(jobs: list[Job], only: str) -> list[Job]:
    asked = [name.strip() for name in only.split(",") if name.strip()]
    names = {job.name: (job.name, re.sub(r"-s-?\d+$", "", job.name)) for job in jobs}
    found = {x: [job for job in jobs if fnmatch.filter(names[job.name], x)] for x in asked}
    if wrong := [x for x, some in found.items() if not some]:
        raise UsageError(f"--only {','.join(wrong)}: no such run (runs: {', '.join(job.name for job in jobs)})")
    return [job for job in jobs if not asked or any(job in some for some in found.values())]


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(run_sweep, prog="tessera sweep", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
