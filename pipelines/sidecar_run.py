"""The labels that were added to a data set, brought up to date with its shards: by every run, and by `add-label`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ..datasets.catalog import CATALOG, Catalog, scan_shards, scan_sidecar
from ..datasets.entries import Sidecar
from .disk import check_room
from .group import GroupTask
from .lock import lock_finish
from .prepare import Prepared, whole_plan
from .rawfiles import file_state
from .rejects import committed_rejects, write_rejects
from .seen import Seen
from .sidecar import sidecar_tasks, with_label
from .stale import stale_tasks


def update_sidecars(
    prepared: Prepared, own: Iterable[GroupTask], seen: Seen, build: Callable[[Sequence[GroupTask]], None]
) -> list[GroupTask]:
    """Build what is stale of the added labels, or of the one that is being added; the catalog says what is there then.

    Args:
        prepared: the run, whose own groups are committed.
        own: the groups of this part of the run.
        seen: what a finished run saw.
        build: builds and commits groups.

    Returns:
        The tasks of all labels in all groups.

    Raises:
        TesseraError: as `sidecar_tasks` and `check_room`.
    """
    out, run = prepared.out, prepared.tasks[0].run
    names = [prepared.adding] if prepared.adding else list(prepared.catalog.sidecars)
    if not names:
        return []
    now = _committed(prepared)
    tasks = {name: _tasks(prepared, now, name) for name in names}
    places = {(task.split, task.group) for task in own}
    ours = [task for found in tasks.values() for task in found if prepared.adding or (task.split, task.group) in places]
    stale = stale_tasks(prepared, ours, seen)
    if stale or any(_differs(now.sidecars.get(name), prepared.catalog.sidecars[name]) for name in names):
        check_room(out, sum(_bytes(prepared, task) for task in stale))
        with lock_finish(out):
            _begin(prepared, names, run)
        build(stale)
        with lock_finish(out):
            tasks = _finish(prepared, names, run)
    return [task for found in tasks.values() for task in found]


def _differs(there: Sidecar | None, wanted: Sidecar) -> bool:
    return there is None or there.state != "complete" or replace(wanted, state="complete", shards=there.shards) != there


def _tasks(prepared: Prepared, now: Catalog, label: str) -> list[GroupTask]:
    options = with_label(prepared.options, label)
    plan = whole_plan(prepared.recipe, prepared.raw, options)
    wanted = replace(now, sidecars=now.sidecars | {label: prepared.catalog.sidecars[label]})
    return sidecar_tasks(prepared.tasks[0], prepared.recipe, options, plan, wanted, label)


def _bytes(prepared: Prepared, task: GroupTask) -> int:
    """Expected size of what a label adds to a group."""
    more = prepared.recipe.record_bytes(with_label(prepared.options, task.label))
    each = max(0, more - prepared.recipe.record_bytes(prepared.options))
    return each * sum(len(unit.records) for unit in task.units if unit.name not in task.keep)


def _committed(prepared: Prepared) -> Catalog:
    """The catalog with the shards that are committed; the lists of added labels are left as they were written."""
    same = prepared.old is not None and file_state(prepared.out / CATALOG) == prepared.old_state
    catalog = prepared.old if same and prepared.old else Catalog.read(prepared.out, scan=False)
    return catalog if catalog.state == "complete" else replace(catalog, shards=scan_shards(prepared.out, catalog))


def _begin(prepared: Prepared, names: list[str], run: str) -> None:
    """Write down that the labels are being built: what there is of them is found on disk until they are whole."""
    catalog = Catalog.read(prepared.out, scan=False)
    wanted = {name: prepared.catalog.sidecars[name] for name in names}
    replace(catalog, sidecars=catalog.sidecars | wanted).write(prepared.out, run)


def _finish(prepared: Prepared, names: list[str], run: str) -> dict[str, list[GroupTask]]:
    """Write rejects and catalog; a label is complete when all shards that it belongs to are, and have it.

    Returns:
        The tasks of each label.
    """
    out, now = prepared.out, _committed(prepared)
    judged = replace(prepared, settings=replace(prepared.settings, retry_failed=False, rehash=False))
    tasks = {name: _tasks(prepared, now, name) for name in names}
    sidecars = now.sidecars | {name: prepared.catalog.sidecars[name] for name in names}
    for name, found in tasks.items():
        whole = now.state == "complete" and not stale_tasks(judged, found, Seen(out))
        shards = scan_sidecar(out, replace(now, sidecars=sidecars), name)
        sidecars[name] = replace(sidecars[name], state="complete" if whole else "building", shards=shards)
    rejects = committed_rejects(out, replace(now, sidecars=sidecars))
    if now.state == "complete" and all(sidecar.state == "complete" for sidecar in sidecars.values()):
        write_rejects(out, rejects, run)
    written = Catalog.read(out, scan=False)
    replace(written, sidecars=sidecars, rejects=len(rejects)).write(out, run)
    return tasks
