"""`tessera ls`: recipes, their tables and labels."""

import sys

import tyro
from rich.table import Table

from ..pipelines.catalogue import recipe_rows, recipes_markdown
from ..training.names import engine_names
from .console import table_console


def ls(markdown: bool = False) -> int:
    """List the recipes.

    Args:
        markdown: print the table of docs/recipes.md instead.
    """
    if markdown:
        sys.stdout.write(recipes_markdown())
        return 0
    table = Table("recipe", "table", "label", "fields", "on", title="recipes")
    for row in recipe_rows():
        table.add_row(row.recipe, row.table, row.label, ", ".join(row.fields), "yes" if row.default else "--with")
    console = table_console()
    console.print(table)
    console.print(f"engines: {', '.join(engine_names())} (tessera train ENGINE --help)", highlight=False)
    return 0


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(ls, prog="tessera ls", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
