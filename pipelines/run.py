"""The run: stale groups are built, the catalog is brought up to date, and a summary says what happened."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from ..datasets.catalog import CATALOG, Catalog, scan_shards
from ..datasets.commit import sweep
from ..datasets.errors import FormatError, TesseraError
from ..datasets.shard import shard_stem
from ..datasets.stages import Stages
from .disk import check_room
from .group import GroupResult, GroupTask
from .journal import Journal, new_run
from .limits import no_collection
from .lock import lock_finish, lock_out
from .mirror import open_out
from .notes import notes_folder
from .prepare import Prepared, prepare
from .progress import RunProgress
from .raw import Place, open_raw
from .raw_store import StoreError
from .rawfiles import file_state
from .recipe import Recipe, Reject
from .rejects import REJECTS, committed_rejects, read_rejects, write_rejects
from .seen import Seen, write_seen
from .settings import RunSettings
from .sidecar import lost_units
from .sidecar_run import update_sidecars
from .stale import stale_tasks
from .status import opened_path, read_standing


@dataclass
class Summary:
    """What a run did, and what the data set holds now: `records`, `bytes`, `rejects` and `lost_units` are of the whole.

    `units` are those planned, `lost_units` those that were rejected whole or lost every record. What was built of
    labels that are added to the shards is counted apart, `adding` names the one that the run is for.
    """

    run: str
    adding: str = ""
    built_groups: int = 0
    sidecar_groups: int = 0
    sidecar_records: int = 0
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
    recipe: Recipe, options: Any, raw: Place, settings: RunSettings, console: Console | None = None,
    *, adding: str = "",
) -> Summary:  # fmt: skip
    """Turn raw data into shards.

    The same call again, after a kill or a change, builds exactly what is stale.

    Args:
        recipe: what to run.
        options: an instance of `recipe.options`.
        raw: the raw data set's folder, or its URL on an object store.
        settings: the run's own options.
        console: where progress goes; standard error by default.
        adding: a label that is added to the finished data set; nothing else is done then.

    Returns:
        The summary; its `status` is the command's exit status.

    Raises:
        TesseraError: bad options, bad raw data as a whole, OUT in use or of another data set, a failure under
            `--strict`, or OUT cannot be written.
    """
    run, console = new_run(), console or Console(stderr=True, markup=False, quiet=settings.quiet)
    start = time.perf_counter()
    settings.check()
    with open_out(settings, run) as mirror:
        with no_collection():
            prepared = prepare(recipe, options, open_raw(raw), settings, run, adding=adding)
        summary = _run_prepared(replace(prepared, mirror=mirror), run, console, start)
        if mirror is not None:
            mirror.keep_log(run)
    return summary


def _run_prepared(prepared: Prepared, run: str, console: Console, start: float) -> Summary:
    try:
        with ExitStack() as stack:
            stack.enter_context(lock_out(prepared.out, run, prepared.settings.parsed_part()))
            stack.callback(_sweep, prepared)
            journal = stack.enter_context(Journal(prepared.out, run))
            journal.write(
                "options",
                recipe=prepared.recipe.name,
                raw=str(prepared.raw),
                settings=vars(prepared.settings),
                options=prepared.options,
            )
            summary = _run_locked(prepared, run, journal, console, start)
            journal.write("end", **{**vars(summary), "rejects": len(summary.rejects)})
    except StoreError:  # RAW's
        raise
    except OSError as error:
        again = "once that is mended, the same command goes on from here"
        raise TesseraError(f"--out {prepared.out}: {type(error).__name__}: {error}; {again}") from error
    return summary


def _run_locked(prepared: Prepared, run: str, journal: Journal, console: Console, start: float) -> Summary:
    out, settings = prepared.out, prepared.settings
    summary = Summary(run, prepared.adding, groups=len(prepared.tasks), units=len(prepared.plan.units))
    journal.write("plan", notes=prepared.plan.notes, units=summary.units, records=prepared.records)
    for note in prepared.plan.notes:
        console.print(note, highlight=False, soft_wrap=True)
    with lock_finish(out) if settings.part is None else nullcontext():  # a dead run's worker may be at its last commit
        _sweep(prepared)
    with no_collection():
        seen = Seen(out)
        tasks = [] if prepared.adding else stale_tasks(prepared, _own_tasks(prepared), seen)
    old = _catalog_now(prepared, scan=False)
    state = old.state if old else None
    whole = not tasks and old is not None and state == "complete" and (seen.finished() or _whole(out, old))
    whole = whole and old is not None and old.assets == prepared.catalog.assets
    _share(prepared, run)
    if not prepared.adding and (not whole or _unplanned(prepared)):
        _check_room(prepared, tasks)
        if state != "building" or settings.part is None:
            with lock_finish(out):
                prepared.catalog.write(out, run)
        summary.setup_seconds = time.perf_counter() - start
        _build(prepared, tasks, summary, journal, console)
        with lock_finish(out):
            _finish(prepared, run)
    added = update_sidecars(
        prepared, _own_tasks(prepared), seen, lambda stale: _build(prepared, stale, summary, journal, console)
    )
    if prepared.mirror is not None:
        prepared.mirror.finish(run, built=summary.built_groups + summary.sidecar_groups > 0)
    with lock_finish(out):
        _count(summary, prepared, _catalog_now(prepared) or prepared.catalog)
        if summary.complete and seen.missed:
            write_seen(out, [*prepared.tasks, *added], seen, run)
    too_many = summary.lost_units > settings.max_reject * summary.units
    empty = summary.complete and not summary.records
    summary.status = int(too_many or empty or (settings.part is None and not summary.complete))
    summary.seconds = time.perf_counter() - start
    return summary


def _share(prepared: Prepared, run: str) -> None:
    """Write what all records share, where it is not as it should be."""
    if not prepared.shared.assets and not prepared.shared.stale(prepared.out):
        return
    with lock_finish(prepared.out):
        stale = prepared.shared.stale(prepared.out)
        names = prepared.shared.write(prepared.out, run)
    if prepared.mirror is not None:
        prepared.mirror.delete(run, [path for path in stale if not path.name.startswith(".")])
        prepared.mirror.push(run, names)


def _check_room(prepared: Prepared, tasks: Sequence[GroupTask]) -> None:
    """Refuse to fill the disk; a mirror holds only the groups that are in the making."""
    out, settings, each = prepared.out, prepared.settings, prepared.recipe.record_bytes(prepared.options)
    sizes = sorted(sum(len(unit.records) for unit in task.units if unit.name not in task.keep) for task in tasks)
    if prepared.mirror is None:
        check_room(out, sum(sizes) * each)
    else:
        advice = "TESSERA_CACHE names a folder on a larger disk, or use fewer --workers"
        check_room(out, sum(sizes[-max(1, settings.workers) :]) * each, advice)


def _catalog_now(prepared: Prepared, scan: bool = True) -> Catalog | None:
    """The catalog as it lies in OUT; not read again where the file is as it was when the run was prepared."""
    state = file_state(prepared.out / CATALOG)
    old = prepared.old
    if state == prepared.old_state and (old is None or old.state == "complete" or not scan):
        return old
    return Catalog.read(prepared.out, scan=scan) if state[0] >= 0 else None


def _whole(out: Path, catalog: Catalog) -> bool:
    """Whether a complete data set's catalog and rejects are what its indexes say."""
    try:
        rejects = {*read_rejects(out)} == {*committed_rejects(out, catalog)} and (out / REJECTS).exists()
        return rejects and scan_shards(out, catalog) == catalog.shards
    except FormatError:
        return False


def _count(summary: Summary, prepared: Prepared, final: Catalog) -> None:
    """Count what the data set holds now."""
    out, sidecars = prepared.out, final.sidecars.values()
    summary.complete = {final.state, *(sidecar.state for sidecar in sidecars)} == {"complete"}
    summary.records = sum(shard.records for shard in final.shards)
    summary.bytes = sum(x.bytes for x in (*final.shards, *(x for sidecar in sidecars for x in sidecar.shards)))
    summary.rejects = read_rejects(out) if summary.complete else committed_rejects(out, final)
    lost = {reject.unit for reject in summary.rejects if reject.stage != "plan"}
    lost -= {unit for shard in final.shards for unit in shard.units}
    summary.lost_units = len(lost | lost_units(summary.rejects, final.sidecars, prepared.plan))


def _own_tasks(prepared: Prepared) -> list[GroupTask]:
    """The tasks of this part; all of them where there are no parts."""
    part = prepared.settings.parsed_part()
    return [task for i, task in enumerate(prepared.tasks) if part is None or i % part[1] == part[0]]


def _sweep(prepared: Prepared) -> None:
    """Delete what dead runs left: everything when alone, our own groups' where other parts are at work."""
    out = prepared.out
    if prepared.settings.part is None:
        for folder in (out, out / "runs", notes_folder(out), *(out / split for split in prepared.catalog.groups)):
            sweep(folder)
        return
    for task in _own_tasks(prepared):
        sweep(notes_folder(out), task.name)
        for table in prepared.catalog.tables:
            sweep(out / task.split, shard_stem(table, task.group, 0))


def _unplanned(prepared: Prepared) -> list[Path]:
    """Indexes, then tars, of groups that have no unit any more; told by name, for they may be damaged."""
    planned, found = {(task.split, task.group) for task in prepared.tasks}, []
    folders = [split for split in prepared.catalog.groups if (prepared.out / split).is_dir()]
    names = {split: os.listdir(prepared.out / split) for split in folders}
    for split in folders:
        for table in prepared.catalog.tables:
            name = re.compile(rf"{table}-(\d+)(-\d+)?(\.[a-z0-9_]+)?\.(tar|parquet)")
            for path in names[split]:
                match = name.fullmatch(path)
                if match and (split, int(match[1])) not in planned:
                    found.append(prepared.out / split / path)
    return sorted(found, key=lambda path: (path.suffix, path))


def _build(
    prepared: Prepared, tasks: Sequence[GroupTask], summary: Summary, journal: Journal, console: Console
) -> None:
    if prepared.mirror is not None and tasks:
        prepared.mirror.push(summary.run, [CATALOG])  # it says `building` before any shard of it changes
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
    if task.label:
        summary.sidecar_groups += 1
        summary.sidecar_records += result.records
    else:
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
    complete = not stale_tasks(trusting, prepared.tasks, Seen(out))
    if complete:
        gone = _unplanned(prepared)
        if prepared.mirror is not None:
            prepared.mirror.delete(run, gone)
        for path in gone:
            path.unlink(missing_ok=True)
    shards = scan_shards(out, catalog)
    rejects = committed_rejects(out, replace(catalog, shards=shards))
    if complete:
        write_rejects(out, rejects, run)
    catalog.with_shards(shards, len(rejects), "complete" if complete else "building").write(out, run)
