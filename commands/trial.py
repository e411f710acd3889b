"""`tessera try RECIPE`: a contact sheet of a sample, and the full run's plan."""

import time
from dataclasses import replace
from pathlib import Path

from ..datasets.errors import UsageError
from ..datasets.table import Dataset
from ..pipelines.discover import load_recipe, recipe_names
from ..pipelines.estimate import print_plan
from ..pipelines.out_place import out_folder, out_url
from .console import progress_console, table_console
from .demo import make_demo
from .first_word import first_word
from .shards import parse
from .show import contact_sheet

RECORDS = 20
MORE = """Draws a contact sheet of LIMIT records and prints what the full run would give and cost; OUT is the
folder of the sheet (try/RECIPE). The other options are those of `tessera shards RECIPE`."""


def main(arguments: list[str]) -> int:
    """Run the verb: a sample of `--limit` records (20) is built in a temporary folder, drawn, and scaled up.

    `--out` names the folder of the contact sheet; it is `try/RECIPE` by default.
    """
    usage = "try RECIPE --raw DIR [--limit 20] [--out DIR] [options]"
    name = first_word(arguments, "recipe", recipe_names(), usage, MORE)
    if name is None:
        return 0
    start = time.perf_counter()
    recipe, console = load_recipe(name), table_console()
    raw, settings, options = parse(recipe, arguments[1:])
    settings.check()
    if raw is None:
        raw = str(make_demo(recipe, Path("raw") / f"{recipe.name}_demo", progress_console()))
    if out_url(settings.out):
        raise UsageError(f"--out {settings.out}: names the folder of the contact sheet here, and must be a local one")
    folder = out_folder(settings.out or Path("try") / recipe.name, recipe.name)

    def draw(sample: Dataset) -> None:
        records = sample.table(sample.catalog.main_table)
        try:
            drawn = contact_sheet(records, recipe.name, settings.limit or RECORDS)
        except UsageError as error:
            console.print(f"no contact sheet: {error}", highlight=False, soft_wrap=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "contact_sheet.png"
        drawn.save(path)
        console.print(f"contact sheet: {path}", highlight=False, soft_wrap=True)

    whole = replace(settings, limit=None, out=folder / "shards")  # a place where no data set is
    print_plan(recipe, options, raw, whole, console, settings.limit or RECORDS, draw)
    console.print(f"in {time.perf_counter() - start:.0f} s", highlight=False)
    return 0
