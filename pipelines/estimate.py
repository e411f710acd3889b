"""`--plan`: what a run would do, from a measured sample of records: shards, bytes by field, core-hours."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..datasets.errors import TesseraError
from ..datasets.stages import Stages
from ..datasets.table import Dataset
from .limits import use_one_thread
from .prepare import Prepared, prepare
from .recipe import Plan, Recipe, Unit
from .run import run_recipe, stale_tasks
from .settings import RunSettings

SAMPLE_RECORDS = 24
SAMPLE_UNITS = 12


@dataclass
class Estimate:
    """Figures of a run that was not made; bytes by table and field."""

    records: dict[str, int]
    groups: dict[str, int]
    bytes: dict[str, dict[str, float]]
    total_bytes: float
    seconds: float
    stages: Stages = field(default_factory=Stages)
    sampled: int = 0


def sample_units(plan: Plan) -> Iterator[Unit]:
    """Units spread evenly over the plan, each with a few records spread evenly over it."""
    units = [unit for unit in plan.units if unit.records]
    count = min(SAMPLE_UNITS, len(units))
    each = -(-SAMPLE_RECORDS // max(count, 1))
    for i in range(count):
        unit = units[(2 * i + 1) * len(units) // (2 * count)]
        keys = list(unit.records)
        take = min(each, len(keys))
        yield unit.only([keys[(2 * j + 1) * len(keys) // (2 * take)] for j in range(take)])


def estimate(recipe: Recipe, options: Any, raw: Path, settings: RunSettings) -> tuple[Prepared, Estimate]:
    """Build a sample of the plan in a temporary folder and scale it up to the whole.

    Raises:
        TesseraError: no sampled record could be built; the first reason is named.
    """
    use_one_thread()
    prepared = prepare(recipe, options, raw, settings, "plan")
    sample = Plan(tuple(sample_units(prepared.plan)))
    if not sample.units:
        raise TesseraError(f"{raw}: no record is planned: no file of the selected units is there")
    with tempfile.TemporaryDirectory() as folder:
        part = RunSettings(out=Path(folder) / "out", workers=0, quiet=True, seed=settings.seed, max_reject=1.0,
                           unit_timeout=settings.unit_timeout)  # fmt: skip
        start = time.perf_counter()
        summary = run_recipe(_with_plan(recipe, sample), options, raw, part)
        seconds = time.perf_counter() - start - summary.setup_seconds
        if not summary.records:
            why = summary.rejects[0] if summary.rejects else "no reason was given"
            raise TesseraError(f"none of {len(sample.units)} sampled units gave a record; first: {why}")
        dataset = Dataset(part.out or folder)
        fields, sampled, tar_bytes = {}, summary.built_records, summary.bytes
        for table in dataset.catalog.tables:
            sums: Counter[str] = Counter()
            for record in dataset.table(table):
                sums.update(record.stored_bytes())
            fields[table] = sums
    scale = prepared.records / sum(len(unit.records) for unit in sample.units)
    records: Counter[str] = Counter()
    for unit in prepared.plan.units:
        records[unit.split] += len(unit.records)
    return prepared, Estimate(
        records=dict(records), groups=dict(Counter(task.split for task in prepared.tasks)),
        bytes={table: {name: size * scale for name, size in sums.items()} for table, sums in fields.items()},
        total_bytes=tar_bytes * scale, seconds=seconds * scale, stages=summary.stages, sampled=sampled,
    )  # fmt: skip


def _with_plan(recipe: Recipe, plan: Plan) -> Recipe:
    return replace(recipe, plan=lambda raw, options: plan)


def print_plan(recipe: Recipe, options: Any, raw: Path, settings: RunSettings, console: Console) -> None:
    """Print the estimate, and how much of it is done already."""
    prepared, figures = estimate(recipe, options, raw, settings)
    stale = stale_tasks(prepared, prepared.tasks)
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
        for entry, size in sorted(fields.items(), key=lambda item: -item[1]):
            sizes.add_row(name, entry, f"{size / 1e6:.1f}", f"{size / total / 1e3:.1f}")
    console.print(sizes)
    console.print(
        f"total: {total} records, {figures.total_bytes / 1e6:.1f} MB "
        f"({figures.total_bytes / total / 1e6:.3f} MB a record), {figures.seconds / 3600:.3f} core-hours "
        f"(measured on {figures.sampled} records)", highlight=False, soft_wrap=True,
    )  # fmt: skip
    left = sum(len(unit.records) for task in stale for unit in task.units if unit.name not in task.keep)
    what = f"{left} records in {len(stale)} groups are to do" if stale else "nothing is to do"
    console.print(f"{prepared.out}: {what}", highlight=False, soft_wrap=True)
