"""Sweeps: what a file asks for, how far each run stands, and runs as processes, one after another or on Ray."""

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets.errors import UsageError
from .compare import differing, flat, read_run
from .config import RunConfig
from .config_yaml import read_yaml, to_plain

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")
OURS = ("out", "resume", "help", "h")  # options that the sweep itself gives
LOG = "output.log"


@dataclass(frozen=True)
class Sweep:
    """What a file asks for: an engine, a folder, options of tessera eval (None: none), and each run's by its name."""

    engine: str
    out: Path
    evaluation: dict[str, Any] | None
    runs: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """A run that is to be done: commands, each begun when the one before it ended well. Empty: nothing is left to do.

    Attributes:
        commands: arguments of tessera.
        gpus: cards that it needs on Ray.
        note: how it stands.
    """

    name: str
    folder: Path
    commands: tuple[tuple[str, ...], ...]
    gpus: int = 0
    note: str = ""


Runner = Callable[[Job, tuple[int, ...]], int]


def read_sweep(path: Path) -> Sweep:
    """What a file asks for.

    Raises:
        UsageError: it is missing, or an entry is unknown, missing, or of another kind.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; name a YAML file with engine, out, options, and runs or grid")
    values = read_yaml(path)
    kinds = {"engine": str, "out": str, "options": dict, "eval": dict, "seeds": list, "runs": list, "grid": dict}
    for name, value in values.items():
        if name not in kinds:
            raise UsageError(f"{path}: {name}: no such entry; there are {', '.join(kinds)}")
        if not isinstance(value, kinds[name]):
            raise UsageError(f"{path}: {name}: {str(value)[:80]!r} is no {kinds[name].__name__}")
    if not values.get("engine") or not values.get("out"):
        raise UsageError(f"{path}: engine and out are needed: what is trained, and the folder of the runs")
    common = _options(values.get("options", {}), f"{path}: options")
    runs = [*_listed(values.get("runs", []), str(path)), *_product(values.get("grid", {}), str(path))]
    found = _with_seeds([(name, common | own) for name, own in runs], values.get("seeds", []), str(path))
    evaluation = {str(k).replace("-", "_"): v for k, v in values["eval"].items()} if "eval" in values else None
    return Sweep(values["engine"], Path(values["out"]), evaluation, found)


def _options(values: Any, where: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UsageError(f"{where}: {str(values)[:80]!r} is no mapping of options")
    made = {str(name).lstrip("-").replace("-", "_"): value for name, value in values.items()}
    if taken := [name for name in made if name in OURS]:
        raise UsageError(f"{where}: {', '.join(taken)}: the sweep gives this itself")
    return made


def _listed(values: list[Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, entry in enumerate(values):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or {*entry} - {"name", "options"}:
            raise UsageError(f"{path}: runs[{number}]: name and options are wanted, such as {{name: a, options: {{}}}}")
        yield entry["name"], _options(entry.get("options", {}), f"{path}: run {entry['name']}")


def _product(grid: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    options = _options(grid, f"{path}: grid") if grid else {}
    if wrong := [name for name, values in options.items() if not isinstance(values, list) or not values]:
        raise UsageError(f"{path}: grid: {', '.join(wrong)}: a list of values is wanted")
    for values in itertools.product(*options.values()) if options else ():
        yield "-".join(map(_value_name, options, values)), dict(zip(options, values, strict=True))


def _value_name(option: str, value: Any) -> str:
    """A value in a run's name: texts as they are, numbers and switches with the option's last word."""
    leaf = option.rpartition(".")[2]
    if isinstance(value, bool):
        return leaf if value else f"no_{leaf}"
    text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
    return re.sub(r"[^A-Za-z0-9._+=-]", "_", text if isinstance(value, str | list) and text else f"{leaf}{text}")


def _with_seeds(runs: list[tuple[str, dict[str, Any]]], seeds: list[Any], path: str) -> dict[str, dict[str, Any]]:
    if any(isinstance(seed, bool) or not isinstance(seed, int) for seed in seeds) or len({*seeds}) < len(seeds):
        raise UsageError(f"{path}: seeds: whole numbers, each once")
    if seeds and any("seed" in options for _, options in runs):
        raise UsageError(f"{path}: seeds and the option seed: give one of them")
    all_runs = [(f"{name}-s{seed}", own | {"seed": seed}) for name, own in runs for seed in seeds] if seeds else runs
    names = [name for name, _ in all_runs]
    if wrong := [name for name in names if not NAME.fullmatch(name)]:
        raise UsageError(f"{path}: {', '.join(map(repr, wrong))}: names are letters, digits and . _ + = -")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: {', '.join(twice)}: more than one run of that name")
    if not names:
        raise UsageError(f"{path}: no run; give runs, grid, or both")
    return dict(all_runs)


def arguments(options: Mapping[str, Any], base: RunConfig) -> list[str]:
    """Options as words of a command line.

    Args:
        options: values by name.
        base: settings before these, which say what kind of option each is.

    Raises:
        UsageError: there is no such option.
    """
    words: list[str] = []
    for name, value in options.items():
        group, _, leaf = name.rpartition(".")
        places: dict[str, list[Any]] = {"model": [base.model], "optim": [base.optim], "": [base.data, base.train]}
        known = [vars(place)[leaf] for place in places.get(group, []) if leaf in vars(place)]
        if not known:
            raise UsageError(f"no option {name!r} (tessera train {base.engine} --help lists them)")
        prefix, dashed = f"--{group}." if group else "--", leaf.replace("_", "-")
        if isinstance(known[0], bool):
            if not isinstance(value, bool):
                raise UsageError(f"{name}: {value!r} is not true or false")
            words += [f"{prefix}{dashed if value else f'no-{dashed}'}"] if value != known[0] else []
        elif isinstance(value, list):
            words += [f"{prefix}{dashed}", *map(str, value)]
        else:
            words += [f"{prefix}{dashed}={value}"] if str(value).startswith("-") else [f"{prefix}{dashed}", str(value)]
    return words


def standing(folder: Path, config: RunConfig) -> str:
    """How far a run is: `new`, `begun` (has a checkpoint), `failed` (has one, too), or `finished`.

    Raises:
        UsageError: the folder holds a run with other settings.
    """
    if not (folder / "config.yaml").is_file():
        return "new"
    facts, wanted = read_run(folder, ""), flat(to_plain(config))
    data = [os.path.abspath(str(some["data.data"])) for some in (facts.settings, wanted)]
    others = [*differing([facts.settings | {"engine": facts.engine}, wanted])]
    others += ["train.seed"] * (facts.settings.get("train.seed") != wanted["train.seed"])
    if others := others + ["data.data"] * (data[0] != data[1]):
        raise UsageError(f"{folder}: holds a run with other settings ({', '.join(others)} differ); remove this folder, "
                         "or give the run or the sweep another name")  # fmt: skip
    if facts.state == "finished":
        return "finished"
    there = (folder / "checkpoints" / "last.ckpt").is_file()
    return "new" if not there else "failed" if facts.state == "failed" else "begun"


def tessera_command() -> list[str]:
    """How the command is started: the script beside this Python, or the module, the working folder not on its path."""
    script = Path(sys.executable).with_name("tessera")
    return [str(script)] if script.is_file() else [sys.executable, "-P", "-m", "tessera"]


def execute(job: Job, keep: tuple[int, ...] = ()) -> int:
    """Run a job's commands in processes of their own, output to `output.log` in its folder; the last one's status.

    Args:
        job: whose.
        keep: open files that the processes inherit, such as a lock.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    for command in job.commands:
        with (job.folder / LOG).open("ab") as log:
            child = subprocess.Popen([*tessera_command(), *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                     pass_fds=keep, start_new_session=True)  # fmt: skip
            try:
                status = child.wait()
            except BaseException:
                child.terminate()  # a run that trains saves a checkpoint
                child.wait()
                raise
        if status:
            return status
    return 0


def last_lines(folder: Path, count: int = 6) -> list[str]:
    """What a run said last."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    return [line for line in lines if line.strip()][-count:]
