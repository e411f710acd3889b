"""The jobs of a sweep: its options, values and data are checked before any run begins."""

import contextlib
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from ..datasets.catalog import Catalog
from ..datasets.errors import FormatError, TesseraError, UsageError
from ..training.compare import read_run
from ..training.config import DataConfig, RunConfig
from ..training.config_yaml import from_plain
from ..training.devices import find_place
from ..training.discover import load_engine
from ..training.engine import EngineSpec
from ..training.evaluate import EvalOptions
from ..training.runfolder import RunFolder
from ..training.streams import check_fields, check_split, read_catalog, with_data
from ..training.sweep import Job, Sweep, arguments, standing
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
            if tested is not None:
                _check_tested(spec, config, tested, catalogs)
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
    check_split(catalog, config.data.split)


def _check_tested(
    spec: EngineSpec, config: RunConfig, tested: Mapping[str, Any], catalogs: Callable[[DataConfig], Catalog]
) -> None:
    """Refuse an evaluation that can only fail when the run has been trained."""
    catalog = catalogs(with_data(config, str(tested["data"]), config.data.cache).data)
    asked, split = spec.request(config.model, catalog, False), tested["split"]
    check_fields(catalog, asked, spec.name)
    if not catalog.splits.get(split, {}).get(asked.table):
        there = ", ".join(name for name, tables in catalog.splits.items() if tables.get(asked.table))
        raise UsageError(f"eval: {catalog.name} has no record to test on in split {split!r} (splits: {there}); say "
                         "eval: {split: ...}, or leave eval out")  # fmt: skip
    variants = catalog.options.get("variants")
    if isinstance(variants, int) and tested.get("body", 0) > variants:
        raise UsageError(f"eval: body {tested['body']}: {catalog.name} has {variants} noise variants")


def _commands(
    sweep: Sweep, name: str, words: list[str], tested: dict[str, Any] | None, how: str, resume: bool
) -> tuple[tuple[str, ...], ...]:
    """What is left to do of a run."""
    commands: list[tuple[str, ...]] = []
    if how in ("new", "begun") or (how == "failed" and resume):
        commands.append(("train", sweep.engine, *words, *(["--resume"] if how != "new" else [])))
    if tested is not None and (commands or (how == "finished" and not _tested(sweep.out / name, tested))):
        switches = {entry.name for entry in fields(EvalOptions) if entry.type is bool}
        more = [word for k, v in tested.items() if v is not False for word in _words(k, v, k in switches)]
        commands.append(("eval", str(sweep.out / name), *more))
    return tuple(commands)


def _words(option: str, value: Any, switch: bool) -> list[str]:
    """An option of tessera eval on the command line."""
    if isinstance(value, list):
        return [f"--{option}", *map(str, value)]
    return [f"--{option}"] if switch else [f"--{option}={value}"]


def _tested(folder: Path, options: Mapping[str, Any]) -> bool:
    """Whether the evaluation is there, with these options and of the checkpoint that is there now."""
    name = str(options.get("name") or options["split"])
    path = folder / "eval" / f"{name}.json"
    if not path.is_file() or path.stat().st_mtime < RunFolder(folder).chosen().stat().st_mtime:
        return False
    said = read_run(folder, name).test["options"]
    return all(said.get(k) == v for k, v in options.items() if k not in EVAL_ALSO)
