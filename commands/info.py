"""`tessera info DIR`: what a data set holds."""

from pathlib import Path
from typing import Annotated, Any

import pyarrow.compute as pc
import tyro
from rich.console import Console
from rich.table import Table

from ..datasets.catalog import Catalog
from ..datasets.stages import Stages
from ..datasets.table import Dataset
from ..pipelines.journal import read_journals
from ..pipelines.rejects import read_rejects
from ..pipelines.summary import reject_table, stage_table
from .console import table_console


def info(data: Annotated[Path, tyro.conf.Positional]) -> int:
    """Print records by split, bytes by field, rejects by reason, and time by stage of all runs.

    Args:
        data: folder of the data set.
    """
    console = table_console()
    dataset = Dataset(data)
    _print_catalog(dataset.catalog, console)
    for name in dataset.catalog.tables:
        _print_sizes(dataset, name, console)
    rejects = read_rejects(data)
    if rejects:
        console.print(reject_table(rejects))
    stages, records = Stages(), 0
    groups = [group for group in read_journals(data, "group") if _is_whole(group)]
    for group in groups:
        stages.merge(group["stages"])
        records += group["records"] - group["reused"]
    console.print(stage_table(stages, records))
    retries = sum(group["retries"] for group in groups)
    runs = len(read_journals(data, "start"))
    console.print(f"{runs} runs, {records} records labelled, {retries} retries", highlight=False)
    return 0


def _is_whole(group: dict[str, Any]) -> bool:
    """Whether a group's event has the numbers that a run writes; the log may be a stranger's."""
    stages, counts = group.get("stages"), [group.get(name) for name in ("records", "reused", "retries")]
    seconds = all(isinstance(value, int | float) for value in stages.values()) if isinstance(stages, dict) else False
    return seconds and all(isinstance(count, int) for count in counts)


def _print_catalog(catalog: Catalog, console: Console) -> None:
    made = f"recipe {catalog.recipe}, Tessera {catalog.code_version}"
    console.print(f"{catalog.name} ({catalog.state}), {made}", highlight=False)
    console.print(", ".join(f"{k} {v}" for k, v in catalog.options.items() if v not in ("", None)), highlight=False)
    table = Table("split", "table", "records", "shards", "MB")
    for split in catalog.groups:
        for name in catalog.tables:
            shards = [s for s in catalog.shards if (s.split, s.table) == (split, name)]
            records, size = sum(s.records for s in shards), sum(s.bytes for s in shards)
            table.add_row(split, name, str(records), str(sum(1 for s in shards if s.tar)), f"{size / 1e6:.1f}")
    console.print(table)
    for name in catalog.assets:
        console.print(f"shared by all records: {name}", highlight=False)
    for label, sidecar in catalog.sidecars.items():
        added = sum(shard.bytes for shard in sidecar.shards)
        where = f"added to {', '.join(sidecar.tables)}, {len(sidecar.shards)} shards, {added / 1e6:.1f} MB"
        console.print(f"label {label} ({sidecar.state}), version {sidecar.version}: {where}", highlight=False)


def _print_sizes(dataset: Dataset, name: str, console: Console) -> None:
    records = dataset.table(name)
    rows = records.index()
    table = Table("field", "dtype", "shape", "codec", "frame", "MB", "KB each", "records", title=f"table {name}")
    total = records.tar_bytes()
    for entry in records.schema.fields:
        sizes = rows[f"{entry.name}.size"] if len(records) else None
        size = (pc.sum(sizes).as_py() or 0) if sizes is not None else 0
        present = len(sizes) - sizes.null_count if sizes is not None else 0
        shape = " x ".join(str(size) for size in entry.shape) or "scalar"
        table.add_row(entry.name, entry.dtype, shape, entry.codec, entry.frame, f"{size / 1e6:.2f}",
                      f"{size / max(present, 1) / 1e3:.1f}", f"{present}/{len(records)}")  # fmt: skip
    mean = total / max(len(records), 1) / 1e3
    table.add_row("total with tar", "", "", "", "", f"{total / 1e6:.2f}", f"{mean:.1f}", str(len(records)))
    console.print(table)


def main(arguments: list[str]) -> int:
    """Run the verb."""
    return tyro.cli(info, prog="tessera info", args=arguments)
