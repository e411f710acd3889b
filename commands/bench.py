"""`tessera bench NAME`: side-by-side measurements."""

import importlib
import json
import pkgutil
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.table import Table

from .. import benchmarks
from ..datasets.errors import UsageError
from .console import table_console


def names() -> list[str]:
    """Names of the benchmarks: the files of `benchmarks/`."""
    return sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.ispkg)


def print_rows(title: str, rows: list[dict[str, Any]], console: Console) -> None:
    """Print rows (dictionaries with the same keys) as a table."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)


def bench(
    name: Annotated[str, tyro.conf.Positional],
    json_path: Annotated[Path | None, tyro.conf.arg(name="json")] = None,
) -> int:
    """Run a benchmark and print its tables.

    Args:
        name: which one; `list` names them.
        json_path: write the rows there, too.
    """
    known = names()
    if name == "list":
        print(" ".join(known))
        return 0
    if name not in known:
        raise UsageError(f"no benchmark {name!r} (benchmarks: {', '.join(known)})")
    tables = importlib.import_module(f"..benchmarks.{name}", __package__).tables()
    for title, rows in tables.items():
        print_rows(title, rows, table_console())
    if json_path is not None:
        json_path.write_text(json.dumps(tables, indent=1) + "\n")
    return 0


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(bench, prog="tessera bench", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
