"""`tessera add-label DIR LABEL`: one more label for a finished data set, without rebuilding it."""

import signal
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from ..datasets.catalog import Catalog
from ..datasets.errors import UsageError
from ..pipelines.add_label import add_label, path_options
from ..pipelines.discover import load_recipe
from ..pipelines.recipe import Recipe
from ..pipelines.settings import RunSettings
from ..pipelines.summary import print_summary
from .console import progress_console, table_console

USAGE = """usage: tessera add-label DIR LABEL --raw DIR [options]

Adds a label to a finished data set, in shards of its own beside those that are there.
`tessera info DIR` names its labels; `tessera add-label DIR LABEL --help` lists the options."""


@dataclass(frozen=True)
class AddSettings:
    """How fast, how strict.

    Attributes:
        workers: 0 runs in this process without Ray, N > 0 starts a local Ray with N CPUs.
        ray_address: joins this Ray cluster instead; default: environment variable RAY_ADDRESS.
        retry_failed: try again what was rejected.
        strict: stop at the first unit or record that fails.
        max_reject: exit status 1 when more than this share of the units gets no label.
        unit_timeout: seconds after which a unit is given up; 0: never.
        retries: how often a unit that crashed its worker is tried again.
        rehash: compare raw files by content also where size and time are unchanged.
    """

    workers: int = 2
    ray_address: str | None = None
    retry_failed: bool = False
    strict: bool = False
    max_reject: float = 0.05
    unit_timeout: float = 3600.0
    retries: int = 1
    rehash: bool = False


def parse(recipe: Recipe, prog: str, arguments: list[str]) -> tuple[str, AddSettings, Any]:
    """RAW, the settings, and the recipe's options that name files."""
    kind = Annotated[Path | None, tyro.conf.arg(help=f"as of `tessera shards {recipe.name}`")]
    entries = [(name, kind, field(default=None)) for name in path_options(recipe)]
    paths_type = make_dataclass("Paths", entries)

    def adding(
        raw: str,
        settings: Annotated[AddSettings, tyro.conf.arg(name="")],
        paths: Annotated[Any, tyro.conf.arg(name="")],
    ) -> tuple[str, AddSettings, Any]:
        return raw, settings, paths

    adding.__annotations__["paths"] = Annotated[paths_type, tyro.conf.arg(name="")]
    adding.__doc__ = """Add a label to a finished data set; all else is as the data set was made.

    Args:
        raw: folder of the raw data set, or its URL on an object store.
        settings: the run.
        paths: files that the recipe takes besides RAW, where the data set was made with them.
    """
    return tyro.cli(adding, prog=prog, args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def main(arguments: list[str]) -> int:
    """Run the verb."""
    names = arguments[:2]
    if {"-h", "--help"} & set(names):
        print(USAGE)
        return 0
    if len(names) < 2 or any(name.startswith("-") for name in names):
        raise UsageError("name the data set's folder and a label first: tessera add-label DIR LABEL --raw DIR")
    out, label = Path(names[0]), names[1]
    recipe = load_recipe(Catalog.read(out, scan=False).recipe)
    raw, settings, paths = parse(recipe, f"tessera add-label {out} {label}", arguments[2:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # not SIGINT's own: a shell's `&` has that ignored
    run = RunSettings(**vars(settings))
    summary = add_label(out, label, raw, run, vars(paths), progress_console())
    print_summary(summary, run, table_console())
    return summary.status
