"""Figures of a trained run on a split of a data set: a row a record, their means, and how sure these are."""

import csv
import json
import math
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..datasets.errors import UsageError
from ..datasets.order import key_of
from .errors import TrainingError
from .provenance import check_unseen
from .trained import Trained

Row = dict[str, Any]
SURE = 1.96
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")


@dataclass(frozen=True)
class EvalOptions:
    """How a run is evaluated.

    Attributes:
        split: records to test on: test, or val where there is no test; the run's training split only by its name.
        limit: at most so many records; 0 for all.
        yaws: only views from these sides, degrees (ICON's tables: 0 120 240); all where none is given.
        body: 0 the fit, k its noise variant k.
        resolution: cells of a side when a surface is extracted; 0 for the run's own.
        samples: places on each surface, of the fixed protocol.
        seed: of what is drawn.
        meshes: write meshes and pictures of the records.
        name: of the files in the run's folder `eval/`; the split by default.
    """

    split: str = ""
    limit: int = 0
    yaws: tuple[int, ...] = ()
    body: int = 0
    resolution: int = 0
    samples: int = 20_000
    seed: int = 0
    meshes: bool = False
    name: str = ""


def evaluate(run: Trained, options: EvalOptions) -> Iterator[Row]:
    """Rows of the records, one after the other.

    Raises:
        UsageError: the engine has no evaluation, or an option makes no sense.
    """
    if run.spec.evaluate is None:
        raise UsageError(f"engine {run.spec.name} has no evaluation")
    if options.samples < 1 or options.limit < 0 or options.body < 0:
        raise UsageError("--samples is 1 or more, --limit and --body 0 or more")
    if options.name and not NAME.fullmatch(options.name):
        raise UsageError(f"--name {options.name}: a file's name of letters, digits and . _ + = -, without folders")
    yield from run.spec.evaluate(run, options)


def chosen(stream: Iterable[dict[str, Any]], options: EvalOptions) -> Iterator[dict[str, Any]]:
    """Batches of one record each, with `yaw`, that are to be evaluated.

    Raises:
        UsageError: no view is from one of the sides asked for.
    """
    done, asked = 0, {yaw % 360 for yaw in options.yaws}
    for batch in stream:
        if bool(batch["repeat"][0]) or (asked and float(batch["yaw"][0]) % 360 not in asked):
            continue
        yield batch
        done += 1
        if done == options.limit:
            return
    if asked and not done:
        raise UsageError(f"--yaws {' '.join(map(str, options.yaws))}: no view of the split is from there")


def summary(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Mean of each figure, half the width of its 95 % confidence interval over subjects, how many records and subjects.

    Records of one subject are not independent: the interval is that of the subjects' means.
    """
    made: dict[str, dict[str, float]] = {}
    names = [name for name, value in (rows[0] if rows else {}).items() if isinstance(value, int | float)]
    for name in names:
        by_unit: dict[str, list[float]] = {}
        for row in rows:
            value = float(row[name])
            if not math.isnan(value):
                by_unit.setdefault(str(row.get("subject", row["key"])), []).append(value)
        if not by_unit:
            continue
        means = np.array([np.mean(values) for values in by_unit.values()])
        every = np.array([value for values in by_unit.values() for value in values])
        within = SURE * means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else float("nan")
        made[name] = {"mean": float(every.mean()), "within": float(within), "records": len(every),
                      "subjects": len(means)}  # fmt: skip
    return made


def write_figures(run: Trained, options: EvalOptions, rows: list[Row], seconds: float) -> Path:
    """Write `eval/NAME.csv` (a row a record) and `eval/NAME.json` (means, and what they are of); the latter's path.

    Raises:
        TrainingError: there is no row.
    """
    if not rows:
        raise TrainingError(f"no record of split {options.split!r} was evaluated")
    assert run.catalog is not None
    name = options.name or options.split
    folder = run.folder.path / "eval"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    shards = sorted(x.sha256 for x in run.catalog.shards if x.split == options.split)
    about = {
        "run": run.folder.path.name, "checkpoint": run.checkpoint.name, "step": run.step, "engine": run.spec.name,
        "data": run.catalog.name, "data_hash": f"{key_of(*shards):016x}", "data_labels": run.catalog.labels,
        "options": options.__dict__, "version": __version__, "time": time.strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": seconds, "records": len(rows), "means": summary(rows),
    }  # fmt: skip
    run.folder.write(f"eval/{name}.json", json.dumps(about, indent=1) + "\n")
    return folder / f"{name}.json"


def pick_split(run: Trained, split: str) -> str:
    """The split to test on.

    Args:
        run: what is tested.
        split: that was named; may be the run's training split. None: test, or val.

    Raises:
        UsageError: none was named, and there is neither test nor val; or some of its units were trained on.
    """
    assert run.catalog is not None
    table = run.spec.request(run.config.model, run.catalog, False).table
    if split:
        if split != run.trained.split:
            check_unseen(run.trained, run.catalog, table, split, str(run.folder.path))
        return split
    for name in ("test", "val"):
        if run.catalog.splits.get(name, {}).get(table) and name != run.trained.split:
            return pick_split(run, name)
    raise UsageError(
        f"{run.catalog.name} has neither test nor val records that were not trained on; name a split by --split"
    )
