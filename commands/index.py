"""`tessera index DIR`: plain WebDataset tars that others wrote, made ready for streams."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from ..datasets.errors import UsageError
from ..datasets.foreign_index import ForeignSet, open_foreign
from ..datasets.indexing.state import TABLE
from .console import progress_console, table_console


def index(
    data: Annotated[Path, tyro.conf.Positional], index_dir: Path | None = None, threads: int | None = None
) -> int:
    """Index plain WebDataset tars, so that a stream can read their records in any order; the tars stay as they are.

    Args:
        data: folder of the tars; those in a sub-folder are a split of its name.
        index_dir: where the indexes lie, in a folder of their own there; by default DIR/.tessera-index, or the user's
            cache where DIR is read-only.
        threads: tars that are read at once; by default one a core.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: at least one is needed")
    columns = BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn()
    stderr = progress_console()
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("", total=None)
        found = open_foreign(
            data, index_dir=index_dir, threads=threads,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    console = table_console()
    _report(found, index_dir, console)
    return 0


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(index, prog="tessera index", args=arguments)


def _report(found: ForeignSet, index_dir: Path | None, console: Console) -> None:
    shards, records = found.catalog.shards, sum(shard.records for shard in found.catalog.shards)
    size = sum(shard.bytes for shard in shards) / 2**20
    splits = ", ".join(f"{split} {count[TABLE]}" for split, count in found.catalog.splits.items())
    console.print(f"{found.tar_root}: {len(shards)} tars, {size:.1f} MiB, {records} records ({splits})")
    table = Table("field", "from", "dtype", "shape", "codec", "records")
    for entry in found.catalog.tables[TABLE].fields:
        shape = ", ".join(map(str, entry.shape))
        source = entry.meaning.removeprefix("member ")
        table.add_row(entry.name, source, entry.dtype, f"({shape})", entry.codec, str(found.have[entry.name]))
    console.print(table)
    if found.left_out:
        table = Table("left out", "why", "records", "such as")
        for left in found.left_out:
            table.add_row(left.member, left.why, str(left.records), left.example)
        console.print(table)
    console.print(f"indexes: {found.index_root}")
    where = f", index_dir={str(index_dir)!r}" if index_dir is not None else ""
    console.print(f"next, in Python: tessera.datasets.Stream({str(found.tar_root)!r}, batch_size=8{where})")
