"""`tessera eval RUN --data DIR`: figures of a trained run."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from ..training.evaluate import EvalOptions, evaluate, pick_split, summary, write_figures
from ..training.trained import load_trained
from .console import progress_console, table_console


def eval_run(
    run: Annotated[Path, tyro.conf.Positional],
    options: Annotated[EvalOptions, tyro.conf.arg(name="")],
    data: str,
    checkpoint: str = "best",
    device: str = "auto",
    cache: Path | None = None,
) -> int:
    """Evaluate a trained run on a split of a data set; figures go to RUN/eval.

    Args:
        run: folder of the run.
        options: how.
        data: folder or URL of the data set.
        checkpoint: best, last, or a file.
        device: auto, cpu, cuda, or one card such as cuda:1.
        cache: folder of the cache of remote shards.
    """
    trained = load_trained(run, data, checkpoint, device, cache)
    split = pick_split(trained, options.split)
    options = replace(options, split=split)
    console, began, rows = progress_console(), time.perf_counter(), []
    for row in evaluate(trained, options):
        rows.append(row)
        texts = " ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
        console.print(f"{row['key']} {texts} {row.get('note', '')}", highlight=False, soft_wrap=True)
    path = write_figures(trained, options, rows, time.perf_counter() - began)
    of = f"{run.name}, {trained.checkpoint.name}, split {split}"
    of += " (trained on)" if split == trained.trained.split else ""
    table = Table("figure", "mean", "95 % +/-", "records", "subjects", title=of)
    for name, found in summary(rows).items():
        within = "-" if math.isnan(found["within"]) else f"{found['within']:.2g}"
        table.add_row(name, f"{found['mean']:.4g}", within, str(found["records"]), str(found["subjects"]))
    table_console().print(table)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(eval_run, prog="tessera eval", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))
