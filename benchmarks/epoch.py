"""One training item of ICON: made on the fly, as the reference's data set does, beside the same item from shards.

Raw data: the full demo (6 people of some 250,000 faces), made once in `raw/thuman2_demo`. Everything is held to one
core, in one process without workers; items take turns.
"""

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from threadpoolctl import threadpool_limits

from ..commands.demo import make_demo
from ..datasets.catalog import Catalog
from ..datasets.errors import UsageError
from ..datasets.table import Dataset
from ..pipelines.discover import load_recipe
from ..pipelines.limits import use_one_thread
from ..pipelines.run import run_recipe
from ..pipelines.settings import RunSettings
from .items.on_the_fly import POINTS, OnTheFly
from .items.reference_files import write_reference_files
from .items.streamed import batches

RAW = Path("raw") / "thuman2_demo"
WHOLE = 504 * 36  # items of the reference's epoch of THuman2.0
BAR = 100
BATCH = 4  # that ICON trains with
FLY, CLEAN = "on the fly", "from shards"
NOISY = "from shards, normals of the noisy body too"
Row = dict[str, Any]


def tables(subjects: str = "000[01]", views: int = 6, rounds: int = 8) -> dict[str, list[Row]]:
    """The benchmark's tables, by title.

    Args:
        subjects: pattern of the scans that are used.
        views: of each.
        rounds: items that are made on the fly; each stream gives ten batches after each.
    """
    if find_spec("embreex") is None:
        raise UsageError("bench epoch needs embreex, which the reference's inside test uses: pip install -e '.[bench]'")
    recipe = load_recipe("thuman2")
    raw = make_demo(recipe, RAW, Console(stderr=True))
    use_one_thread()
    with tempfile.TemporaryDirectory(dir=raw.parent) as folder, threadpool_limits(1):
        out = Path(folder) / "shards"
        settings = RunSettings(out=out, workers=0, only=subjects, quiet=True)
        start = time.perf_counter()
        options: Any = recipe.options
        summary = run_recipe(recipe, options(views=views), raw, settings)
        made = (time.perf_counter() - start) / summary.records
        return compare(raw, out, Path(folder) / "reference", rounds, made)


def compare(raw: Path, out: Path, reference: Path, rounds: int, made: float) -> dict[str, list[Row]]:
    """The tables for a data set that was made of `raw`."""
    dataset = Dataset(out)
    keys = sorted(dataset.table("views").keys())
    write_reference_files(dataset, reference)
    item = OnTheFly(raw, reference)
    item.make(keys[0], np.random.default_rng(0))  # what is imported and compiled is not counted
    item.seconds.clear()
    streams = {name: batches(out, POINTS, BATCH, name == NOISY) for name in (CLEAN, NOISY)}
    for stream in streams.values():
        next(stream)
    times: dict[str, list[float]] = {FLY: [], CLEAN: [], NOISY: []}
    for number in range(rounds):
        start = time.perf_counter()
        item.make(keys[number * 7 % len(keys)], np.random.default_rng(number))
        times[FLY].append(time.perf_counter() - start)
        for name, stream in streams.items():
            for _ in range(10):
                start = time.perf_counter()
                next(stream)
                times[name].append((time.perf_counter() - start) / BATCH)
    return {
        "an item of ICON on the fly, by step": [
            {"step": step, "ms an item": 1000 * seconds / rounds} for step, seconds in item.seconds.items()
        ],
        f"an item of {POINTS} points, one core": _rows({name: np.array(found) for name, found in times.items()}),
        "shards": _shards(Catalog.read(out), made),
    }


def _rows(times: dict[str, np.ndarray]) -> list[Row]:
    rows = []
    for name, seconds in times.items():
        ratio = float(np.mean(times[FLY]) / np.mean(seconds))
        row = {"items": name, "mean ms": 1000 * float(seconds.mean()), "median ms": 1000 * float(np.median(seconds))}
        row |= {"measured": len(seconds), f"hours for {WHOLE} items": WHOLE * float(seconds.mean()) / 3600}
        barred = {"times less": ratio, "bar": BAR, "met": "yes" if ratio >= BAR else "no"}
        rows.append(row | (barred if name == CLEAN else {"times less": ratio, "bar": "", "met": ""}))
    return rows


def _shards(catalog: Catalog, made: float) -> list[Row]:
    return [
        {"table": table, "records": sum(x.records for x in catalog.shards if x.table == table),
         "MB": sum(x.bytes for x in catalog.shards if x.table == table) / 1e6, "seconds a record, all in all": made}
        for table in catalog.tables
    ]  # fmt: skip
