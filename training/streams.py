"""The streams of a run: what the engine asks for, of the data set that the run was given."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from ..datasets.catalog import Catalog
from ..datasets.errors import UsageError
from ..datasets.stream import Stream, open_files
from .config import DataConfig, RunConfig
from .engine import EngineSpec, Request, Source
from .required import Required


def read_catalog(data: DataConfig) -> Catalog:
    """What the data set holds.

    Raises:
        FormatError: there is none.
    """
    catalog, files, _ = open_files(data.data, data.cache, 64 << 30)
    files.close()
    return catalog


def open_streams(spec: EngineSpec, config: RunConfig, device: str | None = None) -> Source:
    """The streams to train on and to validate on.

    Raises:
        UsageError: the data set lacks what the engine asks for; the message says which label to switch on.
    """
    catalog = read_catalog(config.data)
    few = config.data.overfit or None
    train = open_stream(spec, config, catalog, config.data.split, "train", limit=few, device=device)
    where = config.data.split if few else config.data.val_split
    table = spec.request(config.model, catalog, False).table
    there = bool(where) and bool(catalog.splits.get(where, {}).get(table) or few)
    val = open_stream(spec, config, catalog, where, "look", limit=few, device=device) if there else None
    return Source(catalog, train, val, config.data.data)


def open_stream(
    spec: EngineSpec, config: RunConfig, catalog: Catalog, split: str, use: Literal["train", "look"],
    limit: int | None = None, device: str | None = None, batch: int | None = None,
) -> Stream:  # fmt: skip
    """A stream of what an engine asks for.

    Args:
        spec: the engine.
        config: the run's settings.
        catalog: of the data set.
        split: whose records.
        use: to train: random order and draws; to look: in order, with the same draws each time.
        limit: only the first so many records.
        device: where batches go.
        batch: records a batch, where it is not the run's.

    Raises:
        UsageError: a field, split or record is missing; the message says which label to switch on.
    """
    asked = spec.request(config.model, catalog, use == "train")
    check_fields(catalog, asked, spec.name)
    check_split(catalog, split)
    return Stream(
        config.data.data, asked.table, split, asked.fields, batch_size=batch or config.data.batch,
        seed=config.train.seed, order=config.data.order if use == "train" else "sequential", sample=dict(asked.sample),
        draws="fresh" if use == "train" else "fixed", threads=config.data.threads,
        transforms=[*required(catalog, asked, spec.name), *asked.transforms],
        device=device, cache_dir=config.data.cache, limit=limit,
    )  # fmt: skip


def check_split(catalog: Catalog, split: str) -> None:
    """Refuse a split that is not there.

    Raises:
        UsageError: there is none of that name, or the data set is not finished.
    """
    if split in catalog.splits:
        return
    there = ", ".join(catalog.splits) or "none"
    more = "; it is not finished: the same tessera shards again goes on" if catalog.state != "complete" else ""
    raise UsageError(f"{catalog.name}: no split {split!r} (splits: {there}){more}")


def required(catalog: Catalog, asked: Request, engine: str) -> list[Any]:
    """A transform that refuses records without a field that is optional; none where no such field is asked for."""
    optional = [path for path in asked.fields if _optional(catalog, asked.table, path)]
    return [Required(optional, engine)] if optional else []


def _optional(catalog: Catalog, table: str, path: str) -> bool:
    table, leaf = catalog.home(table, path)
    found = catalog.schema(table).by_name.get(leaf)
    return found is not None and found.optional


def check_fields(catalog: Catalog, asked: Request, engine: str) -> None:
    """Refuse a data set that lacks what an engine asks for.

    Raises:
        UsageError: with the fields, and the label or option that gives them.
    """
    if asked.table not in catalog.tables:
        there = ", ".join(catalog.tables)
        raise UsageError(f"{catalog.name}: engine {engine} wants a table {asked.table!r} (tables: {there})")
    missing = [path for path in asked.fields if not _has(catalog, asked.table, path)]
    if missing:
        hints = sorted({asked.labels[path] for path in missing if path in asked.labels})
        more = f"; build them with {', '.join(hints)}" if hints else ""
        raise UsageError(
            f"{catalog.name}: engine {engine} asks for {', '.join(missing)}, which the data set does not have{more} "
            f"(tessera shards {catalog.recipe} ..., or tessera add-label for a label that was left out)"
        )


def _has(catalog: Catalog, table: str, path: str) -> bool:
    try:
        table, leaf = catalog.home(table, path)
    except UsageError:  # it is in a table that this data set lacks, which is what is asked
        return False
    schema = catalog.schema(table)
    others = {entry.name for entry in schema.columns} | {entry.name for entry in schema.references}
    return leaf in schema.by_name or leaf in others


def with_data(config: RunConfig, data: str, cache: Path | None = None) -> RunConfig:
    """The settings with another data set, on this machine."""
    return replace(config, data=replace(config.data, data=data, cache=cache))
