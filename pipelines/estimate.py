"""`--plan`: what a run would do, from a measured sample of records: shards, bytes by field, core-hours."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..datasets.errors import TesseraError
from ..datasets.stages import Stages
from ..datasets.table import Dataset
from .limits import use_one_thread
from .mirror import open_out
from .prepare import Prepared, prepare
from .raw import Place, open_raw
from .recipe import Plan, Recipe, Unit
from .run import run_recipe
from .seen import Seen
from .settings import RunSettings
from .stale import stale_tasks

SAMPLE_RECORDS = 24
SAMPLE_UNITS = 12
SAMPLE_JOINT_UNITS = 2  # where labels look across a unit's records, one of few records is no fair sample


@dataclass
class Estimate:
    """Figures of a run that was not made; bytes by table and field, tables that have one record a unit."""

    records: dict[str, int]
    groups: dict[str, int]
    bytes: dict[str, dict[str, float]]
    total_bytes: float
    seconds: float
    stages: Stages = field(default_factory=Stages)
    sampled: int = 0
    units: int = 0
    of_units: frozenset[str] = frozenset()


def sample_units(plan: Plan, records: int = SAMPLE_RECORDS, joint: bool = False) -> Iterator[Unit]:
    """Units spread evenly over the plan, each with a few records spread evenly over it; `joint`: fewer, and larger."""
    units = [unit for unit in plan.units if unit.records]
    count = min(SAMPLE_JOINT_UNITS if joint else SAMPLE_UNITS, len(units))
    count = min(count, records)
    left = records
    for i in range(count):
        unit = units[(2 * i + 1) * len(units) // (2 * count)]
        keys = list(unit.records)
        take = min(-(-left // (count - i)), len(keys))
        left -= take
        yield unit.only([keys[(2 * j + 1) * len(keys) // (2 * take)] for j in range(take)])


def estimate(
    recipe: Recipe, options: Any, raw: Place, settings: RunSettings, records: int = SAMPLE_RECORDS,
    look: Callable[[Dataset], None] = lambda dataset: None,
) -> tuple[Prepared, Estimate]:  # fmt: skip
    """Build a sample of the plan in a temporary folder and scale it up to the whole.

    Args:
        recipe: what would run.
        options: an instance of `recipe.options`.
        raw: the raw data set's folder, or its URL on an object store.
        settings: the run's own options.
        records: size of the sample.
        look: called with the sample while it is there.

    Raises:
        TesseraError: no sampled record could be built; the first reason is named.
    """
    use_one_thread()
    prepared = prepare(recipe, options, open_raw(raw), settings, "plan")
    sample = Plan(tuple(sample_units(prepared.plan, records, recipe.is_joint(options))))
    if not sample.units:
        raise TesseraError(f"{raw}: no record is planned: no file of the selected units is there")
    with tempfile.TemporaryDirectory() as folder:
        part = RunSettings(out=Path(folder) / "out", workers=0, quiet=True, seed=settings.seed, max_reject=1.0,
                           unit_timeout=settings.unit_timeout)  # fmt: skip
        start = time.perf_counter()
        summary = run_recipe(_with_plan(recipe, sample), options, prepared.raw, part)
        seconds = time.perf_counter() - start - summary.setup_seconds
        if not summary.records:
            first = summary.rejects[0] if summary.rejects else None
            why = f"{first.unit} ({first.path}): {first.error}" if first else "no reason was given"
            raise TesseraError(f"none of {len(sample.units)} sampled units gave a record; first: {why}")
        dataset = Dataset(part.out or folder)
        look(dataset)
        fields, sampled = {}, summary.built_records - sum(len(unit.summaries) for unit in sample.units)
        by_records, by_units = _scale(prepared.plan, sample)
        of_units = frozenset(name for name in dataset.catalog.tables if _is_of_units(dataset, name, sample))
        scales = {name: by_units if name in of_units else by_records for name in dataset.catalog.tables}
        total = sum(shard.bytes * scales[shard.table] for shard in dataset.catalog.shards)
        once = _once_a_unit(recipe, options, summary.stages, of_units)
        seconds = once * by_units + (seconds - once) * by_records
        for table in dataset.catalog.tables:
            sums: Counter[str] = Counter()
            for record in dataset.table(table):
                sums.update(record.stored_bytes())
            fields[table] = sums
    planned: Counter[str] = Counter()
    for unit in prepared.plan.units:
        planned[unit.split] += len(unit.records)
    return prepared, Estimate(
        records=dict(planned), groups=dict(Counter(task.split for task in prepared.tasks)),
        bytes={table: {name: size * scales[table] for name, size in sums.items()} for table, sums in fields.items()},
        total_bytes=total, seconds=seconds, stages=summary.stages, sampled=sampled,
        units=sum(bool(unit.records) for unit in prepared.plan.units),
        of_units=of_units,
    )  # fmt: skip


def _scale(plan: Plan, sample: Plan) -> tuple[float, float]:
    """How many times the sample the whole plan is: in records, and in units."""
    by_records = sum(len(u.records) for u in plan.units) / sum(len(u.records) for u in sample.units)
    return by_records, sum(bool(u.records) for u in plan.units) / len(sample.units)


def _is_of_units(dataset: Dataset, table: str, sample: Plan) -> bool:
    """Whether a table is about units, and so goes with their number."""
    summaries = {key for unit in sample.units for key in unit.summaries}
    return bool(summaries.intersection(dataset.table(table).keys()))


def _once_a_unit(recipe: Recipe, options: Any, stages: Stages, tables: AbstractSet[str]) -> float:
    """Seconds of the sample that a unit costs however many records it has.

    Labels of tables about units; and reading, unless labels look across records, where a unit is read record by record.
    """
    if not tables:
        return 0.0
    labels = {label.name for table in tables for label in recipe.labels(table, options)}
    names = labels if recipe.is_joint(options) else labels | {"read"}
    return sum(spent for name, spent in stages.items() if name in names)


def _with_plan(recipe: Recipe, plan: Plan) -> Recipe:
    return replace(recipe, plan=lambda raw, options: plan)


def print_plan(
    recipe: Recipe, options: Any, raw: Place, settings: RunSettings, console: Console, records: int = SAMPLE_RECORDS,
    look: Callable[[Dataset], None] = lambda dataset: None,
) -> None:  # fmt: skip
    """Print the estimate (see `estimate`), and how much of it is done already."""
    settings.check()
    with open_out(settings, "plan", write=False) as mirror:
        prepared, figures = estimate(recipe, options, raw, settings, records, look)
        stale = stale_tasks(prepared, prepared.tasks, Seen(prepared.out))
    missing = sum(len(unit.rejects) for unit in prepared.plan.units)
    if missing:
        console.print(f"{missing} selected records are not in RAW and will be rejects", highlight=False)
    total = sum(figures.records.values())
    for note in prepared.plan.notes:
        console.print(note, highlight=False)
    table = Table("split", "units", "records", "groups", title=f"plan of {recipe.name}")
    units = Counter(unit.split for unit in prepared.plan.units)
    for split, records in figures.records.items():
        table.add_row(split, str(units[split]), str(records), str(figures.groups[split]))
    console.print(table)
    sizes = Table("table", "field", "MB", "KB a record", title="bytes by field")
    for name, fields in figures.bytes.items():
        count = figures.units if name in figures.of_units else total
        for entry, size in sorted(fields.items(), key=lambda item: -item[1]):
            sizes.add_row(name, entry, f"{size / 1e6:.1f}", f"{size / count / 1e3:.1f}")
    console.print(sizes)
    console.print(
        f"total: {total} records, {figures.total_bytes / 1e6:.1f} MB "
        f"({figures.total_bytes / total / 1e6:.3f} MB a record), {figures.seconds / 3600:.3f} core-hours "
        f"(measured on {figures.sampled} records)", highlight=False, soft_wrap=True,
    )  # fmt: skip
    left = sum(len(unit.records) for task in stale for unit in task.units if unit.name not in task.keep)
    what = f"{left} records in {len(stale)} groups are to do" if stale else "nothing is to do"
    console.print(f"{mirror.url if mirror else prepared.out}: {what}", highlight=False, soft_wrap=True)
