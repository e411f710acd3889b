"""`tessera demo RECIPE`: demo raw data in the exact raw layout."""

from functools import partial
from pathlib import Path

import tyro
from rich.console import Console

from ..datasets.errors import UsageError
from ..pipelines.discover import load_recipe, recipe_names
from ..pipelines.recipe import Recipe
from .first_word import first_word


def make_demo(recipe: Recipe, out: Path, console: Console) -> Path:
    """Write a recipe's demo raw data, unless `out` already holds them; returns `out`.

    Raises:
        UsageError: the recipe has no demo.
    """
    if recipe.demo is None:
        raise UsageError(f"recipe {recipe.name} has no demo raw data; name the real ones with --raw")
    if out.is_dir() and any(out.iterdir()):
        console.print(f"raw data: {out} (made before)", highlight=False)
        return out
    console.print(f"writing demo raw data to {out}", highlight=False)
    recipe.demo(out, report=lambda line: console.print(line, highlight=False))
    return out


def main(arguments: list[str]) -> int:
    """Run the verb."""
    name = first_word(arguments, "recipe", recipe_names(), "demo RECIPE --out DIR [options]")
    if name is None:
        return 0
    recipe = load_recipe(name)
    if recipe.demo is None:
        raise UsageError(f"recipe {recipe.name} has no demo raw data")
    tyro.cli(
        partial(recipe.demo, report=print),
        prog=f"tessera demo {recipe.name}",
        args=arguments[1:],
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return 0
