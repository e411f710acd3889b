"""`tessera stream DIR`: streaming rate of a data set, as a user's loop sees it."""

from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Literal

import torch
import tyro
from rich.console import Console
from rich.table import Table

from ..datasets.errors import UsageError
from ..datasets.stream import Stream
from .console import table_console


def stream(
    data: Annotated[str, tyro.conf.Positional],
    table: str | None = None,
    split: str | None = None,
    fields: str = "",
    sample: str = "",
    batch: int = 8,
    threads: int | None = None,
    order: Literal["global", "block", "sequential"] = "global",
    epochs: int = 2,
    seconds: float = 60.0,
    on_error: Literal["raise", "skip"] = "raise",
    cache: Path | None = None,
) -> int:
    """Stream a data set and print how fast it came, what a batch holds, and which field costs most.

    Args:
        data: folder or URL of a data set, or folder of WebDataset tars.
        table: which table; may be left out where there is only one.
        split: which split; all by default.
        fields: names with commas between, such as image,scene.surface_points; all fields of the table by default.
        sample: elements to draw of pools, such as points=2048,scene.surface=1000.
        batch: records a batch.
        threads: threads that decode; one a core by default.
        order: of the records.
        epochs: how many; the first one checks the checksums and fills the caches.
        seconds: stop after this time at the latest.
        on_error: what becomes of records that cannot be read.
        cache: folder of the cache of remote shards.
    """
    if epochs < 1:
        raise UsageError(f"--epochs {epochs}: at least one is streamed")
    if not seconds > 0:
        raise UsageError(f"--seconds {seconds}: for how long?")
    console = table_console()
    began = perf_counter()
    names = [name.strip() for name in fields.split(",") if name.strip()] or None
    with Stream(
        data, table, split, names, batch_size=batch, threads=threads, order=order, sample=_samples(sample),
        on_error=on_error, cache_dir=cache,
    ) as loader:  # fmt: skip
        shown = False
        for epoch in range(epochs):
            loader.reset_stats()
            start, cpu = perf_counter(), process_time()
            for content in loader:
                if not shown:
                    console.print(f"first batch after {perf_counter() - began:.2f} s", highlight=False)
                    _print_batch(content, console)
                    shown = True
                if perf_counter() - began > seconds:
                    break
            _print_rate(f"epoch {epoch}", loader, perf_counter() - start, process_time() - cpu, console)
            if perf_counter() - began > seconds:
                break
        _print_costs(loader, console)
    return 0


def _samples(text: str) -> dict[str, int]:
    samples = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, count = part.partition("=")
        if not (count.isascii() and count.isdigit()):
            raise UsageError(f"--sample {part!r}: give NAME=NUMBER, such as points=2048")
        samples[name] = int(count)
    return samples


def _print_batch(batch: dict[str, object], console: Console) -> None:
    table = Table("in a batch", "dtype", "shape", "MB")
    for name, value in batch.items():
        if isinstance(value, torch.Tensor):
            size = value.numel() * value.element_size() / 1e6
            shape = " x ".join(map(str, value.shape))
            table.add_row(name, str(value.dtype).removeprefix("torch."), shape, f"{size:.2f}")
        else:
            table.add_row(name, "list", str(len(value)), "")  # type: ignore[arg-type]
    console.print(table)


def _print_rate(name: str, loader: Stream, wall: float, cpu: float, console: Console) -> None:
    stats = loader.stats()
    records = max(stats.records, 1)
    rate = f"{stats.records / wall:.0f} records/s, {stats.bytes_read / wall / 1e6:.0f} MB/s as stored"
    cost = f"{1e3 * cpu / records:.3f} CPU ms a record, {stats.wait_ms:.2f} ms wait a step"
    console.print(f"{name}: {stats.steps} steps, {stats.records} records, {rate}, {cost}", highlight=False)


def _print_costs(loader: Stream, console: Console) -> None:
    stats = loader.stats()
    total, records = sum(stats.decode_seconds.values()) or 1.0, max(stats.records, 1)
    table = Table("part", "microseconds a record", "share")
    for name, seconds in sorted(stats.decode_seconds.items(), key=lambda item: -item[1]):
        table.add_row(name, f"{1e6 * seconds / records:.1f}", f"{seconds / total:.0%}")
    console.print(table)
    for text in stats.skipped_errors:
        console.print(f"skipped: {text}", highlight=False)
    if stats.cache:
        console.print("cache: " + ", ".join(f"{k} {v}" for k, v in stats.cache.items()), highlight=False)


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(stream, prog="tessera stream", args=arguments)
