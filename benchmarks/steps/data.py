"""Shards that steps are fed from, and the reference's files of the same views."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...datasets.catalog import Catalog
from ...datasets.table import Dataset
from ..items.reference_files import write_reference_files


def make_shards(raw: Path, out: Path, subjects: str, views: int) -> Path:
    """Run the recipe in a process of its own, so that none of its threads are in the one that trains."""
    command = [sys.executable, "-m", "tessera", "shards", "thuman2", "--raw", raw, "--out", out, "--only", subjects,
               "--views", views, "--workers", 0]  # fmt: skip
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n{done.stdout[-2000:]}")
    return out


def split_of(catalog: Catalog) -> str:
    """The split with the most views."""
    return max(catalog.splits, key=lambda split: catalog.splits[split].get("views", 0))


def repeated(data: Path, out: Path, records: int) -> Path:
    """The data set with its views again and again, by links, until an epoch has at least so many of them.

    A real epoch has thousands of steps; that of a small data set has so few that its first batch, for which any loader
    is waited for, would be all that is measured.
    """
    catalog = Catalog.read(data)
    split = split_of(catalog)
    views = [shard for shard in catalog.shards if shard.table == "views" and shard.split == split]
    there = sum(shard.records for shard in views)
    times = max(1, -(-records // there))
    others = [shard for shard in catalog.shards if shard.table != "views"]
    shards = [replace(shard, group=len(views) * turn + number) for turn in range(times)
              for number, shard in enumerate(views)]  # fmt: skip
    named = [replace(x, part=0, index=f"{split}/views-{x.group:06d}.parquet", tar=f"{split}/views-{x.group:06d}.tar")
             for x in shards]  # fmt: skip
    for new, old in [*zip(named, views * times, strict=True), *((x, x) for x in others)]:
        _link(data, out, {new.index: old.index, new.tar: old.tar})
    _link(data, out, {name: name for name in catalog.assets})
    counts = {**catalog.splits, split: {**catalog.splits[split], "views": times * there}}
    groups = {**catalog.groups, split: max(len(named), catalog.groups[split])}
    (out / "dataset.json").write_bytes(
        replace(catalog, shards=(*others, *named), splits=counts, groups=groups).to_bytes()
    )
    return out


def _link(data: Path, out: Path, links: Mapping[str | None, str | None]) -> None:
    for link, target in links.items():
        if link and target:
            (out / link).parent.mkdir(parents=True, exist_ok=True)
            (out / link).symlink_to((data / target).resolve())


def view_keys(data: Path, split: str) -> list[str]:
    """Keys of the views of a split."""
    return sorted(Dataset(data).table("views", split).keys())


def reference_files(data: Path, out: Path) -> Path:
    """What the reference's data set reads beside the scans."""
    write_reference_files(Dataset(data), out)
    return out
