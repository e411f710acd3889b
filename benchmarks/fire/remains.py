"""What a run left behind: partial files under final names, files that differ, records lost or doubled."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from ...datasets.catalog import CATALOG, Catalog
from ...datasets.errors import TesseraError
from ...datasets.index import read_facts
from ...datasets.table import Dataset
from ...datasets.verify import file_sha256, verify
from ...pipelines.rejects import read_rejects


def tree_hashes(out: Path) -> dict[str, str]:
    """SHA-256 of every file of a data set outside `runs/`, hidden and temporary ones included."""
    paths = (path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] != "runs")
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def partial_files(out: Path) -> list[str]:
    """Files that are not whole under a final name, and promises that are not kept, at any moment of a run's life.

    An index needs its tar, of the size and hash that it names; a tar without index is not committed and must not be
    listed; catalog and rejects can be read; what calls itself complete passes every check.
    """
    found = [path.relative_to(out).as_posix() for path in sorted(out.glob("*/*.parquet")) if not _kept(path)]
    try:
        read_rejects(out)
        if (out / CATALOG).exists():
            catalog = Catalog.read(out)
            found += [shard.index for shard in catalog.shards if not (out / shard.index).exists()]
            if catalog.state == "complete":
                found += [f"{name}: {problem}" for name, problems in verify(out) for problem in problems]
    except TesseraError as error:
        found.append(str(error))
    return found + [path.name for path in out.glob("runs/notes/*.json") if not _is_json(path)]


def _kept(index: Path) -> bool:
    """Whether an index is whole and its tar is what it says."""
    try:
        facts = read_facts(index)
        if facts.tar is None:
            return True
        tar = index.with_name(facts.tar)
        return tar.stat().st_size == facts.tar_bytes and file_sha256(tar) == facts.tar_sha256
    except (TesseraError, OSError):
        return False


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def lost_and_doubled(out: Path, planned: Mapping[str, set[str]]) -> tuple[int, int, int]:
    """How many records are missing, how many are there twice or were not planned, and what `verify` finds.

    Args:
        out: a finished data set.
        planned: keys that must be there, by table.
    """
    lost = doubled = 0
    dataset = Dataset(out)
    for table, wanted in planned.items():
        found = Counter(dataset.table(table).keys())
        lost += len(wanted - found.keys())
        doubled += sum(found.values()) - len(wanted & found.keys())
    return lost, doubled, sum(len(problems) for _, problems in verify(out))
