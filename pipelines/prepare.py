"""From a RAW folder and options to the tasks of a run: plan, selection, groups, and the catalog they belong to."""

import fnmatch
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..datasets.catalog import CATALOG, Catalog
from ..datasets.errors import RawDataError, TesseraError, UsageError
from ..datasets.names import check_key, check_name
from .fingerprint import group_of, made_from, unit_seed, unit_spec
from .group import GroupTask
from .links import refuse_links
from .lock import lock_name
from .mirror import Mirror
from .out_place import out_folder, out_url
from .raw import Raw
from .raw_store import StoreError
from .rawfiles import file_state
from .recipe import Plan, Recipe, Unit
from .settings import RunSettings
from .shared import Shared
from .sidecar import known_sidecars, new_sidecar

SMALL, LARGE = 128 << 20, 512 << 20
SMALL_TOTAL = 20 << 30


@dataclass(frozen=True)
class Prepared:
    """A run before it starts: the plan, its catalog (state `building`), and one task for each group.

    `old` is the catalog that OUT had, with the state of its file just before it was read; `adding` names a label that
    is added to the finished data set. Where OUT is on an object store, `out` is the folder of its `mirror`. `shared` is
    what all records share.
    """

    recipe: Recipe
    options: Any
    settings: RunSettings
    raw: Raw
    out: Path
    plan: Plan
    catalog: Catalog
    tasks: tuple[GroupTask, ...]
    old: Catalog | None = None
    old_state: tuple[int, int] = (-1, 0)
    adding: str = ""
    mirror: Mirror | None = None
    shared: Shared = field(default_factory=Shared)

    @property
    def records(self) -> int:
        """Planned records."""
        return sum(len(unit.records) for unit in self.plan.units)


def check_folders(raw: Raw, out: Path, url: str | None = None) -> None:
    """Refuse a RAW that is no folder, and an OUT that would mix with it.

    Raises:
        RawDataError, UsageError: as said.
        StoreError: RAW's object store cannot be reached.
    """
    if not raw.is_dir():
        raise RawDataError(f"{raw}: no such folder; --raw (RAW=) names the folder that holds the raw data set")
    here, there = raw.local, out.resolve()
    if here is not None and not os.access(here, os.R_OK | os.X_OK):
        raise RawDataError(f"{raw}: cannot be listed; check its permissions")
    mixed = here is not None and (here == there or here in there.parents or there in here.parents)
    if mixed or (url and (f"{url}/".startswith(f"{raw}/") or f"{raw}/".startswith(f"{url}/"))):
        raise UsageError(
            f"--out {url or out} and --raw {raw} lie in each other; the raw data are never written to, "
            "choose another --out"
        )
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")


def whole_plan(recipe: Recipe, raw: Raw, options: Any) -> Plan:
    """All units of RAW under the options.

    Raises:
        UsageError, RawDataError: options or raw data that cannot work.
        StoreError: RAW's object store cannot be reached.
    """
    try:
        return recipe.plan(raw, options)
    except StoreError:
        raise
    except (OSError, ValueError) as error:
        raise RawDataError(f"{raw}: cannot be planned ({type(error).__name__}: {error})") from error


def select(plan: Plan, settings: RunSettings) -> Plan:
    """The plan under `--only` and `--limit`.

    Raises:
        UsageError: nothing is left.
    """
    units = list(plan.units)
    if settings.only is not None:
        units = [unit for unit in units if fnmatch.fnmatchcase(unit.name, settings.only)]
        if not units:
            known = ", ".join(unit.name for unit in plan.units[:5])
            raise UsageError(
                f"--only {settings.only!r} matches none of {len(plan.units)} units ({known}, ...); it is one pattern, "
                "such as '000[01]' or 'ai_001_*'"
            )
    if settings.limit is not None:
        left, kept = settings.limit, []
        for unit in units:
            if left <= 0:
                break
            kept.append(unit if len(unit.records) <= left else unit.only(list(unit.records)[:left]))
            left -= len(kept[-1].records)
        units = kept
    return Plan(tuple(units), plan.notes)


def prepare(recipe: Recipe, options: Any, raw: Raw, settings: RunSettings, run: str, *, adding: str = "") -> Prepared:
    """Plan a run; nothing is written. With `adding`, one that adds this label to the finished data set.

    Raises:
        UsageError, RawDataError: options or raw data that cannot work.
        TesseraError: OUT holds another data set.
    """
    settings.check()
    _check_options(options)
    out, url = out_folder(settings.out, recipe.name), out_url(settings.out)
    check_folders(raw, out, url)
    plan = select(whole_plan(recipe, raw, options), settings)
    _check_names(plan)
    old_state = file_state(out / CATALOG)
    old = Catalog.read(out, scan=False) if old_state[0] >= 0 else None
    catalog, shared = _catalog(recipe, options, settings, plan, old), recipe.shared(raw, options)
    catalog = replace(catalog, assets=shared.hashes(), joint_sets=shared.joints())
    catalog = replace(catalog, sidecars=known_sidecars(recipe, options, out, old))
    if adding:
        catalog = replace(catalog, sidecars=catalog.sidecars | {adding: new_sidecar(recipe, options, adding)})
    if old is not None:
        _check_same(url or out, old, catalog)
    refuse_links(out, catalog.groups)
    common = made_from(recipe.name, catalog.options, catalog.labels, catalog.seed)
    out = out.resolve()
    members: dict[tuple[str, int], list[Unit]] = {}
    for unit in plan.units:
        group = group_of(catalog.seed, catalog.name, unit.name, catalog.groups[unit.split])
        seeded = replace(unit, seed=unit_seed(catalog.seed, catalog.name, unit.name))
        members.setdefault((unit.split, group), []).append(seeded)
    tasks = tuple(
        GroupTask(
            recipe=recipe.name, options=vars(options), raw=raw, out=out, run=run, split=split,
            group=group, units=tuple(units), specs={unit.name: unit_spec(unit, common) for unit in units},
            made_from=common, shard_bytes=catalog.shard_bytes, unit_timeout=settings.unit_timeout,
            strict=settings.strict, lock_name=lock_name(settings.parsed_part()),
            store=url or "",
        )
        for (split, group), units in sorted(members.items())
    )  # fmt: skip
    return Prepared(recipe, options, settings, raw, out, plan, catalog, tasks, old, old_state, adding, shared=shared)


def _check_options(options: Any) -> None:
    """Refuse numbers that no comparison finds equal, or that JSON cannot hold."""
    for name, value in vars(options).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"--{name.replace('_', '-')} {value}: a finite number is needed")


def _check_names(plan: Plan) -> None:
    """Refuse a plan whose names could not be files and keys, before anything is written."""
    for unit in plan.units:
        check_name(unit.split, f"unit {unit.name!r}, split")
        check_key(unit.name, unit.name)
        both = set(unit.records) & set(unit.summaries)
        if both:
            raise RawDataError(f"unit {unit.name!r}: key {min(both)!r} is planned twice")
    if not plan.units:
        raise RawDataError("the plan is empty: no unit in RAW is selected; " + "; ".join(plan.notes))
    names = [unit.name for unit in plan.units]
    if len(set(names)) != len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise RawDataError(f"unit {double!r} appears twice in RAW")


def _catalog(recipe: Recipe, options: Any, settings: RunSettings, plan: Plan, old: Catalog | None) -> Catalog:
    totals: dict[str, int] = {}
    for unit in plan.units:
        totals[unit.split] = totals.get(unit.split, 0) + len(unit.records) * recipe.record_bytes(options)
    size = SMALL if sum(totals.values()) < SMALL_TOTAL else LARGE
    size = old.shard_bytes if old is not None else size
    size = settings.shard_mb << 20 if settings.shard_mb else size
    groups = {split: max(1, math.ceil(total / size)) for split, total in sorted(totals.items())}
    selection: Mapping[str, Any] = recipe.selection(options) | {"only": settings.only, "limit": settings.limit}
    return Catalog(
        name=recipe.name, recipe=recipe.name, state="building", labels=recipe.versions(options),
        options=recipe.content_options(options), selection=dict(selection), seed=settings.seed,
        groups=groups | (old.groups if old else {}), shard_bytes=size, tables=recipe.schemas(options),
        code_version=__version__,
    )  # fmt: skip


def _check_same(out: Path | str, old: Catalog, new: Catalog) -> None:
    """Refuse to mix two data sets in one OUT."""
    how = f"use another --out, or delete {out} to build it anew"
    if old.recipe != new.recipe:
        raise TesseraError(f"{out} holds a data set of recipe {old.recipe}, not {new.recipe}; {how}")
    if old.selection != new.selection:
        changed = ", ".join(
            f"{k} {old.selection.get(k)!r} -> {v!r}" for k, v in new.selection.items() if old.selection.get(k) != v
        )
        raise TesseraError(f"{out} was made from another selection ({changed}); {how}")
    if old.seed != new.seed:
        raise TesseraError(f"{out} was made with --seed {old.seed}; {how}")
    if old.shard_bytes != new.shard_bytes:
        raise TesseraError(f"{out} was made with shards of {old.shard_bytes >> 20} MB (--shard-mb); {how}")
    for table, schema in new.tables.items():
        before = old.tables.get(table)
        if before is None or before.to_json() != schema.to_json():
            mine, theirs = set(schema.by_name), set(before.by_name) if before else set()
            options = [
                f"--{name.replace('_', '-')} {old.options.get(name)} -> {value}"
                for name, value in new.options.items()
                if old.options.get(name) != value
            ]
            fields = ", ".join(sorted(mine ^ theirs))
            what = f"{fields} differ" if fields else ", ".join(options) or "shapes or encodings differ"
            raise TesseraError(f"{out} has another schema in table {table} ({what}); {how}")
