"""`tessera sweep FILE`: a list of runs, one after another or on Ray, and their table."""

import contextlib
import fcntl
import fnmatch
import io
import os
import re
import shlex
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..datasets.catalog import Catalog
from ..datasets.errors import FormatError, TesseraError, UsageError
from ..training.compare import compare, read_run
from ..training.config import RunConfig
from ..training.config_yaml import from_plain
from ..training.devices import find_place
from ..training.discover import load_engine
from ..training.engine import EngineSpec
from ..training.evaluate import EvalOptions
from ..training.ray_train import tasks_on_ray
from ..training.runfolder import RunFolder
from ..training.streams import check_fields, read_catalog
from ..training.sweep import LOG, Job, Runner, Sweep, arguments, execute, last_lines, read_sweep, standing
from .compare import write_tables
from .console import progress_console
from .train import parse

EVAL_ALSO = ("data", "checkpoint", "device")
NOTES = {"new": "to do", "begun": "goes on", "finished": "finished already",
         "failed": "failed before; --resume goes on from its last checkpoint"}  # fmt: skip


def plan_jobs(sweep: Sweep, ray: int = 0, resume: bool = False) -> list[Job]:
    """Jobs of a sweep, whose options, values and data are all checked.

    Args:
        sweep: what its file says.
        ray: tasks at once on Ray; 0 for one run after another in processes of this machine.
        resume: go on with runs that failed, too.

    Raises:
        UsageError: something cannot be; the message names the run.
    """
    spec, catalogs, jobs = load_engine(sweep.engine), cache(read_catalog), []
    for name, options in sweep.runs.items():
        try:
            words, config = _settings(spec, options, sweep.out / name)
            gpus = _gpus(config, ray)
            if ray and config.train.cpu_threads is None:
                words += ["--cpu-threads", str(max(1, (os.cpu_count() or 1) // ray))]
            tested, how = _evaluation(spec, sweep, config), standing(sweep.out / name, config)
            if how != "finished":
                _check_data(spec, config, catalogs(config.data))
            jobs.append(
                Job(name, sweep.out / name, _commands(sweep, name, words, tested, how, resume), gpus, NOTES[how])
            )
        except TesseraError as error:
            raise UsageError(f"run {name}: {error}") from error
    return jobs


def _gpus(config: RunConfig, ray: int) -> int:
    """Cards that a run needs."""
    if ray and (config.train.ray or ":" in config.train.device):
        raise UsageError(
            "a run that is a Ray task has no option ray of its own, and Ray chooses its card: give neither"
        )
    return int(find_place(config.train.device, config.train.precision).accelerator == "cuda")


def _settings(spec: EngineSpec, options: Mapping[str, Any], out: Path) -> tuple[list[str], RunConfig]:
    """Words of the command line, and the settings that they give."""
    begin = [word for name in ("preset", "config") if name in options for word in (f"--{name}", str(options[name]))]
    if not options.get("data") and "config" not in options:
        raise UsageError("no data set; say which (options: {data: DIR})")
    base = parse(spec, [*begin, *(["--data", str(options["data"])] if "data" in options else [])])
    more = arguments({k: v for k, v in options.items() if k not in ("preset", "config")}, base)
    words, said = [*begin, *more, "--out", str(out)], io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            config = parse(spec, words)
    except SystemExit as error:
        text = re.sub(r"[\s│╭╮╰╯─|-]*\n[\s│╭╮╰╯─|-]*", "; ", said.getvalue().strip()).partition("; For full")[0]
        raise UsageError(text or "the options make no sense") from error
    config.check()
    return words, config


def _evaluation(spec: EngineSpec, sweep: Sweep, config: RunConfig) -> dict[str, Any] | None:
    """Options of tessera eval for a run."""
    if sweep.evaluation is None:
        return None
    if spec.evaluate is None:
        raise UsageError(f"eval: engine {spec.name} has no evaluation")
    given = {"data": config.data.data, "device": config.train.device, "split": "test", **sweep.evaluation}
    try:
        from_plain(EvalOptions, {k: v for k, v in given.items() if k not in EVAL_ALSO}, where="eval: ")
    except FormatError as error:
        raise UsageError(str(error)) from error
    return given


def _check_data(spec: EngineSpec, config: RunConfig, catalog: Catalog) -> None:
    check_fields(catalog, spec.request(config.model, catalog, True), spec.name)
    if config.data.split not in catalog.splits:
        raise UsageError(f"{catalog.name}: no split {config.data.split!r} (splits: {', '.join(catalog.splits)})")


def _commands(
    sweep: Sweep, name: str, words: list[str], tested: dict[str, Any] | None, how: str, resume: bool
) -> tuple[tuple[str, ...], ...]:
    """What is left to do of a run."""
    commands: list[tuple[str, ...]] = []
    if how in ("new", "begun") or (how == "failed" and resume):
        commands.append(("train", sweep.engine, *words, *(["--resume"] if how != "new" else [])))
    if tested is not None and (commands or (how == "finished" and not _tested(sweep.out / name, tested))):
        switches = {entry.name for entry in fields(EvalOptions) if entry.type is bool}
        more = [f"--{k}" if k in switches else f"--{k}={v}" for k, v in tested.items() if v is not False]
        commands.append(("eval", str(sweep.out / name), *more))
    return tuple(commands)


def _tested(folder: Path, options: Mapping[str, Any]) -> bool:
    """Whether the evaluation is there, with these options and of the checkpoint that is there now."""
    name = str(options.get("name") or options["split"])
    path = folder / "eval" / f"{name}.json"
    if not path.is_file() or path.stat().st_mtime < RunFolder(folder).chosen().stat().st_mtime:
        return False
    said = read_run(folder, name).test["options"]
    return all(said.get(k) == v for k, v in options.items() if k not in EVAL_ALSO)


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
