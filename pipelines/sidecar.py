"""A label added to a finished data set: its options, its part of the schemas, and the tasks that build it."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..datasets.catalog import Catalog
from ..datasets.entries import Sidecar
from ..datasets.errors import RawDataError, TesseraError, UsageError
from ..datasets.names import check_name
from ..datasets.schema import Schema
from .fingerprint import made_from, unit_seed, unit_spec
from .group import GroupTask
from .recipe import Plan, Recipe, Reject, Unit

FILE = re.compile(r"[a-z][a-z0-9_]*-\d+(?:-\d+)?\.([a-z][a-z0-9_]*)\.parquet")


def _listed(names: str) -> list[str]:
    return [name for name in re.split(r"[,\s]+", names) if name]


def with_label(options: Any, label: str) -> Any:
    """The options of a run that has the label from the start."""
    on, off = _listed(options.with_), [name for name in _listed(options.without) if name != label]
    return replace(options, with_=",".join([*on, label] if label not in on else on), without=",".join(off))


def only_label(recipe: Recipe, options: Any, label: str) -> Any:
    """Options that leave just this label on, so that a reader reads only what it needs.

    Where the recipe can do nothing without another label they are `options` unchanged.
    """
    names = {entry.name for spec in recipe.tables.values() for entry in spec.labels}
    only = replace(options, with_=label, without=",".join(sorted(names - {label})))
    try:
        recipe.schemas(only)
    except UsageError:
        return options
    return only


def split_schemas(recipe: Recipe, options: Any, label: str) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Schemas without the label, and what the label adds to those tables that have it, as it declares it.

    Args:
        recipe: the recipe.
        options: of a run that has the label from the start.
        label: name of the label.
    """
    without, added = {}, {}
    for table, schema in recipe.schemas(options).items():
        parts = [entry for entry in recipe.labels(table, options) if entry.name == label]
        names = {x.name for part in parts for x in part.fields}
        names |= {x.name for part in parts for x in part.columns} | {x.name for part in parts for x in part.references}
        without[table] = _part(schema, {x for x in _names(schema) if x not in names})
        if parts:
            added[table] = _part(schema, names)
    return without, added


def _names(schema: Schema) -> list[str]:
    return [*schema.by_name, *(x.name for x in schema.columns), *(x.name for x in schema.references)]


def _part(schema: Schema, names: set[str]) -> Schema:
    fields = tuple(x for x in schema.fields if x.name in names)
    used = {size for x in fields for size in x.shape}
    return Schema(
        fields, {name: size for name, size in schema.dimensions.items() if name in used},
        tuple(x for x in schema.columns if x.name in names), tuple(x for x in schema.references if x.name in names),
    )  # fmt: skip


def optional(schema: Schema) -> Schema:
    """The same with every field optional: a record of the data set may be unable to have the label."""
    return replace(schema, fields=tuple(replace(entry, optional=True) for entry in schema.fields))


def new_sidecar(recipe: Recipe, options: Any, label: str) -> Sidecar:
    """Entry of `dataset.json` of a label that no shard has yet.

    Args:
        recipe: the recipe.
        options: of the data set without the label.
        label: name of the label.

    Raises:
        UsageError: the recipe has no such label, or it belongs to a table that the data set does not have.
    """
    check_name(label, "label")
    whole = with_label(options, label)
    versions, tables = recipe.versions(whole), recipe.schemas(options)
    _, added = split_schemas(recipe, whole, label)
    new = set(recipe.schemas(whole)) - set(tables)
    if new or not added:
        where = ", ".join(sorted(new))
        raise UsageError(
            f"label {label} belongs to table {where}, which this data set does not have; build one --with {label}"
        )
    return Sidecar(versions[label], "building", {table: optional(schema) for table, schema in added.items()})


def known_sidecars(recipe: Recipe, options: Any, out: Path, old: Catalog | None) -> dict[str, Sidecar]:
    """The labels that were added to the data set in OUT, as a run has to bring them up to date.

    Where `dataset.json` is lost, the files that lie there tell.

    Raises:
        TesseraError: the recipe no longer has one of them, or the options switch it on.
    """
    there = {entry.name for spec in recipe.tables.values() for entry in spec.labels}
    on = recipe.versions(options)
    if old is None:
        found = (match[1] for path in out.glob("*/*.*.parquet") if (match := FILE.fullmatch(path.name)))
        return {name: new_sidecar(recipe, options, name) for name in sorted({*found} & there - {*on})}
    for name in old.sidecars:
        if name not in there:
            raise TesseraError(
                f"{out}: label {name} was added to it, which recipe {recipe.name} no longer has; use the version of "
                f"Tessera that wrote it ({old.code_version}), or another --out"
            )
        if name in on:
            raise TesseraError(
                f"{out}: label {name} was added to it beside its shards; leave out --with {name}, or use another --out"
            )
    return {name: new_sidecar(recipe, options, name) for name in old.sidecars}


def sidecar_tasks(
    first: GroupTask, recipe: Recipe, options: Any, plan: Plan, catalog: Catalog, label: str
) -> list[GroupTask]:
    """One task for each committed group: to give the label to the records that are there.

    Args:
        first: any task of the run.
        recipe: the recipe.
        options: of a run that has the label from the start.
        plan: what such a run would plan.
        catalog: with the shards that are committed, and the label among its sidecars.
        label: name of the label.

    Raises:
        RawDataError: RAW holds nothing of this data set.
    """
    sidecar = catalog.sidecars[label]
    schemas = json.dumps({name: schema.to_json() for name, schema in sidecar.tables.items()}, sort_keys=True)
    common = made_from(recipe.name, recipe.content_options(options), {label: sidecar.version}, catalog.seed)
    common |= {"label": label, "schemas": hashlib.sha256(schemas.encode()).hexdigest()}
    members: dict[tuple[str, int], dict[str, None]] = {}
    for shard in catalog.shards:
        if shard.table in sidecar.tables:
            members.setdefault((shard.split, shard.group), {}).update(dict.fromkeys(shard.units))
    planned = {unit.name: unit for unit in plan.units}
    if members and not any(planned.keys() & units for units in members.values()):
        raise RawDataError(f"{first.raw}: holds none of the units of {first.out}; --raw names what that was made from")
    tasks = []
    for (split, group), names in sorted(members.items()):
        units = tuple(_unit(planned.get(name), name, split, catalog, label) for name in names)
        tasks.append(replace(
            first, options=vars(options), split=split, group=group, units=units, made_from=common, label=label, keep={},
            specs={unit.name: unit_spec(unit, common) for unit in units},
        ))  # fmt: skip
    return tasks


def _unit(planned: Unit | None, name: str, split: str, catalog: Catalog, label: str) -> Unit:
    if planned is None:
        lost = Reject(name, "", name, f"{label}: plan", "not in RAW, or left out by the plan with this label")
        planned = Unit(name, split, {}, rejects=(lost,))
    return replace(planned, split=split, seed=unit_seed(catalog.seed, catalog.name, name))


def lost_units(rejects: Iterable[Reject], labels: Iterable[str], plan: Plan) -> set[str]:
    """Units of which no record got one of the labels, although the plan had it."""
    planned, lost = {unit.name: len(unit.records) for unit in plan.units}, set()
    for label in labels:
        keys: dict[str, int] = {}
        for reject in rejects:
            stage = reject.stage.removeprefix(f"{label}: ")
            if stage not in (reject.stage, "plan"):
                keys[reject.unit] = keys.get(reject.unit, 0) + 1
                if not reject.key or keys[reject.unit] >= planned.get(reject.unit, 1):
                    lost.add(reject.unit)
    return lost
