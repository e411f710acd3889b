"""Several runs side by side: what differs in their settings, and their figures. Needs neither torch nor the data."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.errors import FormatError, UsageError
from .config_yaml import read_yaml

AIDES = frozenset(  # settings that change no result, or are no text that could be compared
    ("preset", "data.data", "data.cache", "data.threads", "train.out", "train.resume", "train.device", "train.profile",
     "train.cpu_threads", "train.compile", "train.log_every", "train.save_every", "train.pictures", "train.seed")
)  # fmt: skip
PROTOCOL = ("limit", "yaws", "body", "resolution", "samples")  # options of tessera eval that change its figures
COUNTS = ("steps", "parameters trained", "loader share")


@dataclass(frozen=True)
class Figure:
    """A mean of `count` runs. Its spread is half of the 95 % interval for one run, the standard deviation for more.

    `records` are those that it is a mean of, in each run; NaN where that is not known.
    """

    mean: float
    spread: float = float("nan")
    count: int = 1
    records: float = float("nan")


@dataclass(frozen=True)
class RunFacts:
    """What a run's folder says.

    Attributes:
        settings, counts: plain values by dotted name; those of COUNTS that are known.
        test: all of `eval/SPLIT.json`, and the step that was to be tested as `chosen`; empty where there is none.
        tested, validated: figures there, and those of the best validation, named `val ...`.
    """

    name: str
    engine: str
    state: str
    settings: dict[str, Any]
    counts: dict[str, Figure]
    test: dict[str, Any]
    tested: dict[str, Figure]
    validated: dict[str, Figure]


@dataclass(frozen=True)
class Row:
    """A run, or `runs` of them that differ by their seed only: values of the columns of settings, and all figures."""

    name: str
    state: str
    runs: int
    settings: dict[str, Any]
    figures: dict[str, Figure]


@dataclass(frozen=True)
class Comparison:
    """A table: columns of settings and of figures, rows as they were given, and what a reader has to know."""

    settings: tuple[str, ...]
    figures: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def compare(paths: Sequence[Path], split: str = "test", by: Sequence[str] = (), mixed: bool = False) -> Comparison:
    """A table of runs.

    Args:
        paths: folders of runs.
        split: name of the evaluations `eval/SPLIT.json`; runs without one show their best validation.
        by: settings that become columns; all that differ by default.
        mixed: put up with figures of different data.

    Raises:
        UsageError: no such run or setting, runs of different engines, or figures of different data.
    """
    runs = [read_run(path, split) for path in paths]
    engines = {run.engine: ", ".join(x.name for x in runs if x.engine == run.engine) for run in runs}
    if len(engines) > 1:
        which = "; ".join(f"{engine}: {names}" for engine, names in engines.items())
        raise UsageError(f"runs of different engines have no figures in common ({which}); compare them apart")
    notes = [*_other_data(runs, split, mixed), *_stale(runs)]
    if unknown := set(by) - (known := {name for run in runs for name in run.settings}):
        raise UsageError(f"--by {','.join(unknown)}: no such setting; there are {', '.join(sorted(known))}")
    columns = tuple(by) or differing(run.settings for run in runs)
    rows = tuple(_row(group, columns, all(run.test for run in runs)) for group in _groups(runs))
    figures = dict.fromkeys(name for row in rows for name in row.figures if name not in COUNTS)
    if some := uneven(rows, figures):
        notes.append(f"{', '.join(some)}: means of different numbers of records (no surface was found in the others), "
                     "so that none is the best")  # fmt: skip
    return Comparison(columns, (*figures, *COUNTS), rows, tuple(notes))


def uneven(rows: Sequence[Row], columns: Iterable[str]) -> list[str]:
    """Columns whose means are of different numbers of records: a network that fails on the hard ones is no better."""
    found = {x: {row.figures[x].records for row in rows if x in row.figures} for x in columns}
    return [x for x, numbers in found.items() if len({n for n in numbers if n == n}) > 1]


def read_run(path: Path, split: str) -> RunFacts:
    """What a run's folder says.

    Raises:
        UsageError: there is no run.
        FormatError: one of its files is damaged.
    """
    if not (path / "config.yaml").is_file():
        raise UsageError(f"{path}: no run here (no config.yaml); name folders that tessera train --out wrote")
    settings = flat(read_yaml(path / "config.yaml"))
    try:
        summary, test = _json(path / "summary.json"), _json(path / "eval" / f"{split}.json")
        best, trained = summary.get("best", {}), [module["trained"] for module in summary.get("modules", [])]
        found = (summary.get("step"), sum(trained) if trained else None, summary.get("loader_share"))
        return RunFacts(
            path.resolve().name, str(settings.pop("engine", "")), str(summary.get("state", "running")), settings,
            {k: Figure(float(v)) for k, v in zip(COUNTS, found, strict=True) if v is not None},
            {**test, "chosen": best.get("step", summary.get("step"))} if test else {},
            {k: Figure(float(v["mean"]), float(v["within"]), records=float(v.get("records", "nan")))
             for k, v in test.get("means", {}).items()},
            {f"val {k}": Figure(float(v)) for k, v in best.items() if k not in ("step", "epoch")},
        )  # fmt: skip
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise FormatError(f"{path}: summary.json or eval/{split}.json is damaged ({error!r})") from error


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name, such as `optim.lr`."""
    groups = {k: v if isinstance(v, Mapping) else {"": v} for k, v in values.items()}
    return {f"{group}.{name}".rstrip("."): value for group, some in groups.items() for name, value in some.items()}


def differing(runs: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Dotted names of the settings that change results and are not the same in all runs; the seed is none of them."""
    some = list(runs)
    names = dict.fromkeys(name for one in some for name in one if name not in AIDES)
    return tuple(name for name in names if any(one.get(name) != some[0].get(name) for one in some))


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _other_data(runs: list[RunFacts], split: str, mixed: bool) -> list[str]:
    """What is to be noted of figures that are of different data, where that is put up with."""
    data, options, val = (defaultdict[str, list[str]](list) for _ in range(3))
    tested = [run for run in runs if run.test]
    for run in tested:
        data[f"{run.test.get('data')} {run.test.get('data_hash')}"].append(run.name)
        asked = run.test.get("options", {})
        options[" ".join(f"{x} {asked[x]}" for x in PROTOCOL if x in asked)].append(run.name)
    for run in [x for x in runs if x.validated] if len(tested) < len(runs) else []:
        place, *more = (run.settings.get(f"data.{name}") for name in ("data", "val_split", "overfit"))
        where = str(place) if "://" in str(place) else os.path.abspath(str(place))
        val[f"{where}, split {more[0]}, overfit {more[1]}"].append(run.name)
    kinds = ((f"evaluations ({split}) of different data", data), ("validations on different data", val),
             (f"evaluations ({split}) with different options", options))  # fmt: skip
    wrong = [f"{what}: " + "; ".join(f"{', '.join(names)}: {said}" for said, names in found.items())
             for what, found in kinds if len(found) > 1]  # fmt: skip
    if wrong and not mixed:
        raise UsageError(
            f"{' | '.join(wrong)}. The same metric on other data can move by 13 %, more than most methods differ: "
            "evaluate all runs on the same (tessera eval), or put up with it by --mixed"
        )
    return wrong


def _stale(runs: list[RunFacts]) -> list[str]:
    old = [f"{run.name} (step {run.test.get('step')}, its best is step {run.test['chosen']})" for run in runs
           if run.test and run.test["chosen"] is not None and run.test.get("step") != run.test["chosen"]]  # fmt: skip
    return [f"evaluated at another step than the best: {', '.join(old)}; tessera eval again"] if old else []


def _groups(runs: list[RunFacts]) -> list[list[RunFacts]]:
    """Runs that differ by their seed only, together; a seed that comes again begins a group of its own."""
    groups, seen = defaultdict[str, list[RunFacts]](list), Counter[str]()
    for run in runs:
        kept = {k: v for k, v in run.settings.items() if k not in AIDES or k == "data.data"}
        key = json.dumps(kept, sort_keys=True, default=str)
        same = f"{run.settings.get('train.seed')} {key}"
        seen[same] += 1
        groups[f"{seen[same]} {key}"].append(run)
    return list(groups.values())


def _row(group: list[RunFacts], columns: Sequence[str], tested: bool) -> Row:
    parts = [{**run.tested, **({} if tested else run.validated), **run.counts} for run in group]
    names = dict.fromkeys(name for part in parts for name in part)
    bad = [run.state for run in group if run.state != "finished"]
    state = "finished" if not bad else bad[0] if len(group) == 1 else f"{len(bad)} of {len(group)} not finished"
    name = group[0].name + (f" and {len(group) - 1} more" if len(group) > 1 else "")
    settings = {
        x: [y.settings.get(x) for y in group] if x == "train.seed" else group[0].settings.get(x) for x in columns
    }
    return Row(name, state, len(group), settings, {x: _mean([y[x] for y in parts if x in y]) for x in names})


def _mean(found: list[Figure]) -> Figure:
    if len(found) == 1:
        return found[0]
    values = np.array([figure.mean for figure in found])
    records = float(np.mean([figure.records for figure in found]))
    return Figure(float(values.mean()), float(values.std(ddof=1)), len(found), records)
