"""`tessera add-label`: one more label for a finished data set, beside its shards."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console

from ..datasets.catalog import Catalog
from ..datasets.errors import TesseraError, UsageError
from .discover import load_recipe
from .recipe import Recipe
from .run import Summary, run_recipe
from .settings import RunSettings


def path_options(recipe: Recipe) -> list[str]:
    """Options of a recipe that name files; a data set does not remember them."""
    return [entry.name for entry in fields(recipe.options) if "Path" in str(entry.type)]


def stored_options(recipe: Recipe, catalog: Catalog, paths: Mapping[str, Path | None]) -> Any:
    """The options that a data set was made with.

    Args:
        recipe: its recipe.
        catalog: its catalog.
        paths: values of the options that name files.
    """
    stored = {**catalog.options, **catalog.selection}
    values = {entry.name: stored[key] for entry in fields(recipe.options) if (key := entry.name.rstrip("_")) in stored}
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()} | dict(paths)
    return recipe.options(**values)


def shards_command(recipe: Recipe, catalog: Catalog, raw: str | Path, out: Path) -> str:
    """The `tessera shards` command that made a data set, as far as it remembers."""
    words = ["tessera", "shards", recipe.name, "--raw", str(raw), "--out", str(out)]
    usual = recipe.options()
    for name, value in {**catalog.options, **catalog.selection}.items():
        field = f"{name}_" if hasattr(usual, f"{name}_") else name
        if value is not None and value != getattr(usual, field, None):
            words += [
                f"--{name.replace('_', '-')}",
                *([str(x) for x in value] if isinstance(value, list) else [str(value)]),
            ]
    if catalog.seed:
        words += ["--seed", str(catalog.seed)]
    return shlex.join(words)


def check_label(recipe: Recipe, catalog: Catalog, label: str, again: str) -> None:
    """Refuse a label that cannot be added, and a data set that is not finished.

    Raises:
        UsageError: the recipe has no such label, or the data set has it from the start.
        TesseraError: the data set is not finished; `again` is the command that goes on with it.
    """
    labels = [entry.name for spec in recipe.tables.values() for entry in spec.labels]
    if label not in labels:
        left = [name for name in dict.fromkeys(labels) if name not in catalog.labels]
        raise UsageError(
            f"no label {label!r} in recipe {recipe.name}, which made this data set "
            f"(labels that can be added: {', '.join(left) or 'none'})"
        )
    if label in catalog.labels:
        raise UsageError(f"the data set has label {label} from the start; `tessera shards` keeps it up to date")
    if catalog.state != "complete":
        raise TesseraError(f"the data set is not finished; first run: {again}")


def add_label(
    out: Path, label: str, raw: str | Path, settings: RunSettings, paths: Mapping[str, Path | None] | None = None,
    console: Console | None = None,
) -> Summary:  # fmt: skip
    """Give every record of a finished data set one more label, in shards of its own.

    The same call again goes on where an earlier one stopped, and does nothing where all is up to date. `tessera shards`
    keeps the label up to date from then on.

    Args:
        out: folder of the data set.
        label: name of the label.
        raw: folder of the raw data set, or its URL on an object store.
        settings: how fast and how strict; what a data set remembers of them is taken from it.
        paths: values of the recipe's options that name files.
        console: where progress goes; standard error by default.

    Raises:
        UsageError: the label cannot be added.
        TesseraError: the data set is not finished, or as `run_recipe`.
    """
    catalog = Catalog.read(out, scan=False)
    recipe = load_recipe(catalog.recipe)
    check_label(recipe, catalog, label, shards_command(recipe, catalog, raw, out))
    options = stored_options(recipe, catalog, paths or {})
    own = {name: catalog.selection.get(name) for name in ("only", "limit")}
    settings = RunSettings(
        **{**vars(settings), **own, "out": out, "seed": catalog.seed, "shard_mb": None, "part": None}
    )
    return run_recipe(recipe, options, raw, settings, console, adding=label)
