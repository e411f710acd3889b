"""The run: stale groups are built, the catalog is brought up to date, and a summary says what happened."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..datasets.catalog import CATALOG, Catalog, scan_shards
from ..datasets.commit import sweep
from ..datasets.errors import TesseraError
from ..datasets.index import read_facts
from ..datasets.shard import shard_stem
from ..datasets.stages import Stages
from .disk import check_room
from .group import GroupResult, GroupTask
from .journal import Journal, new_run
from .lock import lock_finish, lock_out
from .notes import notes_folder
from .prepare import Prepared, prepare
from .progress import RunProgress
from .recipe import Recipe, Reject
from .rejects import REJECTS, write_rejects
from .settings import RunSettings
from .stale import judge_group, rejected_units
from .status import opened_path, read_standing


@dataclass
class Summary:
    """What a run did, and what the data set holds now: `records`, `bytes`, `rejects` and `lost_units` are of the whole.

    `units` are those planned, `lost_units` those that were rejected whole or lost every record.
    """

    run: str
    built_groups: int = 0
    groups: int = 0
    built_records: int = 0
    reused_records: int = 0
    retries: int = 0
    seconds: float = 0.0
    setup_seconds: float = 0.0
    records: int = 0
    bytes: int = 0
    units: int = 0
    lost_units: int = 0
    rejects: list[Reject] = field(default_factory=list)
    stages: Stages = field(default_factory=Stages)
    complete: bool = False
    status: int = 0


def run_recipe(
    recipe: Recipe, options: Any, raw: Path, settings: RunSettings, console: Console | None = None
) -> Summary:
    """Turn raw data into shards.

    The same call again, after a kill or a change, builds exactly what is stale.

    Args:
        recipe: what to run.
        options: an instance of `recipe.options`.
        raw: the raw data set's folder.
        settings: the run's own options.
        console: where progress goes; standard error by default.

    Returns:
        The summary; its `status` is the command's exit status.

    Raises:
        TesseraError: bad options, bad raw data as a whole, OUT in use or of another data set, a failure under
            `--strict`, or OUT cannot be written.
    """
    run, console = new_run(), console or Console(stderr=True, markup=False, quiet=settings.quiet)
    start = time.perf_counter()
    prepared = prepare(recipe, options, raw, settings, run)
    try:
        with ExitStack() as stack:
            stack.enter_context(lock_out(prepared.out, run, settings.parsed_part()))
            stack.callback(_sweep, prepared)
            journal = stack.enter_context(Journal(prepared.out, run))
            journal.write("options", recipe=recipe.name, raw=str(raw), settings=vars(settings), options=options)
            summary = _run_locked(prepared, run, journal, console, start)
            journal.write("end", **{**vars(summary), "rejects": len(summary.rejects)})
    except OSError as error:
        again = "once that is mended, the same command goes on from here"
        raise TesseraError(f"--out {prepared.out}: {type(error).__name__}: {error}; {again}") from error
    return summary


def _run_locked(prepared: Prepared, run: str, journal: Journal, console: Console, start: float) -> Summary:
    out, settings = prepared.out, prepared.settings
    summary = Summary(run, groups=len(prepared.tasks), units=len(prepared.plan.units))
    journal.write("plan", notes=prepared.plan.notes, units=summary.units, records=prepared.records)
    for note in prepared.plan.notes:
        console.print(note, highlight=False, soft_wrap=True)
    _sweep(prepared)
    tasks = stale_tasks(prepared, _own_tasks(prepared))
    state = Catalog.read(out, scan=False).state if (out / CATALOG).exists() else None
    if tasks or state != "complete" or not (out / REJECTS).exists() or _unplanned(prepared):
        check_room(out, sum(len(unit.records) for task in tasks for unit in task.units if unit.name not in task.keep)
                   * prepared.recipe.record_bytes(prepared.options))  # fmt: skip
        if state != "building" or settings.part is None:
            with lock_finish(out):
                prepared.catalog.write(out, run)
        summary.setup_seconds = time.perf_counter() - start
        _build(prepared, tasks, summary, journal, console)
        with lock_finish(out):
            _finish(prepared, run)
    with lock_finish(out):
        _count(summary, out)
    too_many = summary.lost_units > settings.max_reject * summary.units
    empty = summary.complete and not summary.records
    summary.status = int(too_many or empty or (settings.part is None and not summary.complete))
    summary.seconds = time.perf_counter() - start
    return summary


def _count(summary: Summary, out: Path) -> None:
    """Count what the data set holds now."""
    final = Catalog.read(out)
    summary.complete = final.state == "complete"
    summary.records = sum(shard.records for shard in final.shards)
    summary.bytes = sum(shard.bytes for shard in final.shards)
    summary.rejects = _all_rejects(out, final)
    lost = {reject.unit for reject in summary.rejects if reject.stage != "plan"}
    summary.lost_units = len(lost - {unit for shard in final.shards for unit in shard.units})


def _own_tasks(prepared: Prepared) -> list[GroupTask]:
    """The tasks of this part; all of them where there are no parts."""
    part = prepared.settings.parsed_part()
    return [task for i, task in enumerate(prepared.tasks) if part is None or i % part[1] == part[0]]


def _sweep(prepared: Prepared) -> None:
    """Delete what dead runs left: everything when alone, our own groups' where other parts are at work."""
    out = prepared.out
    if prepared.settings.part is None:
        for folder in (out, notes_folder(out), *(out / split for split in prepared.catalog.groups)):
            sweep(folder)
        return
    for task in _own_tasks(prepared):
        sweep(notes_folder(out), task.name)
        for table in prepared.catalog.tables:
            sweep(out / task.split, shard_stem(table, task.group, 0))


def stale_tasks(prepared: Prepared, tasks: Sequence[GroupTask]) -> list[GroupTask]:
    """The tasks whose groups must be built, each with the units it can copy."""
    settings, found = prepared.settings, []
    tables = list(prepared.catalog.tables)
    for task in tasks:
        verdict = judge_group(
            task.raw, task.out, task.split, task.group, tables, list(task.units), task.specs,
            rehash=settings.rehash, retry_failed=settings.retry_failed,
        )  # fmt: skip
        if not verdict.fresh and (not settings.retry_failed or _has_rejects(task, tables)):
            found.append(replace(task, keep=verdict.keep))
    return found


def _has_rejects(task: GroupTask, tables: list[str]) -> bool:
    """Whether the group as it is committed left out something that was there."""
    return any(rejected_units(task.out, task.split, task.group, tables, unit.name) for unit in task.units)


def _unplanned(prepared: Prepared) -> list[Path]:
    """Indexes, then tars, of groups that have no unit any more; told by name, for they may be damaged."""
    planned, found = {(task.split, task.group) for task in prepared.tasks}, []
    for split in prepared.catalog.groups:
        for table in prepared.catalog.tables:
            name = re.compile(rf"{table}-(\d+)(-\d+)?(\.[a-z0-9_]+)?\.(tar|parquet)")
            for path in (prepared.out / split).glob(f"{table}-*"):
                match = name.fullmatch(path.name)
                if match and (split, int(match[1])) not in planned:
                    found.append(path)
    return sorted(found, key=lambda path: (path.suffix, path))


def _build(
    prepared: Prepared, tasks: Sequence[GroupTask], summary: Summary, journal: Journal, console: Console
) -> None:
    total, settled = sum(len(unit.records) for task in tasks for unit in task.units), 0
    with RunProgress(prepared.recipe.name, total, console) as progress:

        def poll(flying: Sequence[GroupTask]) -> None:
            standings = [read_standing(task.status_path) for task in flying]
            rejects = len(summary.rejects) + sum(standing.rejects for standing in standings)
            stage = next((f"{s.key or s.unit}: {s.stage}" for s in standings if s.unit), "")
            progress.update(settled + sum(standing.settled for standing in standings), rejects, stage)

        for task, result in _results(tasks, prepared.settings, summary, poll):
            _absorb(task, result, summary, journal)
            settled += sum(len(unit.records) for unit in task.units)
        poll(())


def _results(
    tasks: Sequence[GroupTask], settings: RunSettings, summary: Summary, poll: Callable[[Sequence[GroupTask]], None]
) -> Iterator[tuple[GroupTask, GroupResult]]:
    address = settings.ray_address or os.environ.get("RAY_ADDRESS")
    if not tasks:
        return
    if settings.part is not None or (settings.workers == 0 and not settings.ray_address):
        from .serial import run_serial

        yield from run_serial(tasks, poll)
        return
    from . import cluster

    start = time.perf_counter()
    try:
        at_once = cluster.start_ray(settings.workers, address, tasks[0].recipe)
        summary.setup_seconds += time.perf_counter() - start
        yield from cluster.run_ray(tasks, at_once, settings.retries, poll)
    finally:
        start = time.perf_counter()
        cluster.ray.shutdown()
        summary.setup_seconds += time.perf_counter() - start


def _absorb(task: GroupTask, result: GroupResult, summary: Summary, journal: Journal) -> None:
    summary.built_groups += 1
    summary.built_records += result.records
    summary.reused_records += result.reused
    summary.retries += result.retries
    summary.stages.merge(result.stages)
    summary.rejects += result.rejects
    task.status_path.unlink(missing_ok=True)
    opened_path(task.status_path).unlink(missing_ok=True)
    journal.write(
        "group", group=task.name, units=[unit.name for unit in task.units], records=result.records,
        reused=result.reused, bytes=result.bytes, retries=result.retries, stages=dict(result.stages),
        rejects=[vars(reject) for reject in result.rejects], tracebacks=result.tracebacks,
    )  # fmt: skip


def _finish(prepared: Prepared, run: str) -> None:
    """Write rejects and catalog; the state is complete when every planned group is committed as planned."""
    out, catalog = prepared.out, prepared.catalog
    sweep(out)
    trusting = replace(prepared, settings=replace(prepared.settings, retry_failed=False, rehash=False))
    complete = not stale_tasks(trusting, prepared.tasks)
    if complete:
        for path in _unplanned(prepared):
            path.unlink(missing_ok=True)
    shards = scan_shards(out, catalog)
    rejects = _all_rejects(out, replace(catalog, shards=shards))
    if complete:
        write_rejects(out, rejects, run)
    catalog.with_shards(shards, len(rejects), "complete" if complete else "building").write(out, run)


def _all_rejects(out: Path, catalog: Catalog) -> list[Reject]:
    first = next(iter(catalog.tables))
    paths = [out / shard.index for shard in catalog.shards if shard.table == first and shard.part == 0]
    return [Reject(**reject) for path in paths for reject in read_facts(path).rejects]
