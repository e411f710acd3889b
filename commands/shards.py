"""`tessera shards RECIPE`: raw data to shards."""

import signal
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..pipelines.discover import load_recipe, recipe_names
from ..pipelines.estimate import print_plan
from ..pipelines.recipe import Recipe
from ..pipelines.run import run_recipe
from ..pipelines.settings import RunSettings
from ..pipelines.summary import print_summary
from .console import progress_console, table_console
from .demo import make_demo
from .first_word import first_word


def parse(recipe: Recipe, arguments: list[str]) -> tuple[str | None, RunSettings, Any]:
    """RAW, the run's settings and the recipe's options from the command line."""

    def shards(
        settings: Annotated[RunSettings, tyro.conf.arg(name="")],
        options: Annotated[Any, tyro.conf.arg(name="")],
        raw: str | None = None,
    ) -> tuple[str | None, RunSettings, Any]:
        return raw, settings, options

    shards.__annotations__["options"] = Annotated[recipe.options, tyro.conf.arg(name="")]
    shards.__doc__ = f"""{recipe.summary}

    Args:
        settings: the run.
        options: the recipe.
        raw: folder of the raw data set, or its URL (s3://...); without it, demo raw data are made first.
    """
    return tyro.cli(
        shards, prog=f"tessera shards {recipe.name}", args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
    )


def main(arguments: list[str]) -> int:
    """Run the verb."""
    more = "`tessera shards RECIPE --help` lists the options of the run and of the recipe."
    name = first_word(arguments, "recipe", recipe_names(), "shards RECIPE --raw DIR [options]", more)
    if name is None:
        return 0
    recipe = load_recipe(name)
    raw, settings, options = parse(recipe, arguments[1:])
    console = progress_console()
    if raw is None:
        raw = str(make_demo(recipe, Path("raw") / f"{recipe.name}_demo", console))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # not SIGINT's own: a shell's `&` has that ignored
    if settings.plan:
        print_plan(recipe, options, raw, settings, table_console())
        return 0
    summary = run_recipe(recipe, options, raw, settings, console)
    print_summary(summary, settings, table_console())
    return summary.status
