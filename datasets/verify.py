"""Check of every checksum of a data set, and of what its files say of each other."""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

from .catalog import Catalog, ShardEntry, index_paths
from .errors import FormatError
from .index import read_facts, read_rows
from .members import LABELS

CHUNK = 1 << 22


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces.

    Raises:
        FormatError: it is no regular file (a device would never end).
    """
    if path.exists() and not path.is_file():
        raise FormatError(f"{path}: not a regular file; refused")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def verify(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Check a data set shard by shard.

    Yields:
        (index path relative to `root`, problems found in that shard), then ("dataset.json", problems of the whole).

    Raises:
        FormatError: there is no data set at `root`, or it is newer than this code.
    """
    catalog = Catalog.read(root)
    seen: dict[str, set[str]] = {table: set() for table in catalog.tables}
    wanted: dict[str, set[str]] = {table: set() for table in catalog.tables}
    for shard in catalog.shards:
        try:
            problems = _verify_shard(root, catalog, shard, seen, wanted)
        except (FormatError, OSError, tarfile.TarError) as error:
            problems = [str(error)]
        yield shard.index, problems
    yield "dataset.json", _verify_whole(root, catalog, seen, wanted)


def _verify_shard(
    root: Path, catalog: Catalog, shard: ShardEntry, seen: dict[str, set[str]], wanted: dict[str, set[str]]
) -> list[str]:
    index = root / shard.index
    problems = []
    if file_sha256(index) != shard.index_sha256:
        problems.append("index: sha256 differs from dataset.json")
    facts = read_facts(index)
    rows = read_rows(index)
    if not rows.num_rows == shard.records == sum(source.records for source in facts.sources):
        problems.append(f"index: {rows.num_rows} rows, its metadata or dataset.json say otherwise")
    keys = rows["key"].to_pylist()
    double = seen[shard.table].intersection(keys)
    if double or len(set(keys)) != len(keys):
        problems.append(f"keys appear twice: {', '.join(sorted(double)[:3]) or 'within the shard'}")
    seen[shard.table].update(keys)
    for reference in catalog.tables[shard.table].references:
        for value in rows[reference.name].to_pylist():
            if value:
                wanted.setdefault(reference.table, set()).update([value] if isinstance(value, str) else value)
    return problems + (_verify_tar(root / str(shard.tar), shard, keys) if shard.tar else [])


def _verify_tar(path: Path, shard: ShardEntry, keys: list[str]) -> list[str]:
    if not path.exists():
        return ["tar is missing"]
    if path.stat().st_size != shard.bytes:
        return [f"tar: {path.stat().st_size} bytes, its index says {shard.bytes}"]
    if file_sha256(path) != shard.sha256:
        return ["tar: sha256 differs from its index"]
    with tarfile.open(path, "r:") as archive:
        found = list(dict.fromkeys(member.name.split(".", 1)[0] for member in archive))
    return [] if found == keys else [f"tar and index hold different records (see members such as *.{LABELS})"]


def _asset(root: Path, name: str, sha256: str) -> str:
    if not (root / name).exists():
        return "missing"
    return "" if file_sha256(root / name) == sha256 else "sha256 differs from dataset.json"


def _verify_whole(root: Path, catalog: Catalog, seen: dict[str, set[str]], wanted: dict[str, set[str]]) -> list[str]:
    problems = [] if catalog.state == "complete" else ["state is building: run the same `tessera shards` command again"]
    listed = {shard.index for shard in catalog.shards}
    problems += [
        f"asset {name}: {trouble}" for name, sha in catalog.assets.items() if (trouble := _asset(root, name, sha))
    ]
    for split in catalog.groups:
        for table in catalog.tables:
            paths = index_paths(root, split, table)
            names = [path.relative_to(root).as_posix() for path in paths]
            problems += [f"{name} is not in dataset.json" for name in names if name not in listed]
            tars = {path.with_suffix(".tar").name for path in paths}
            found = {path.name for path in (root / split).glob(f"{table}-*.tar") if "." not in path.stem}
            problems += [f"{split}/{name} has no index: it was never committed" for name in sorted(found - tars)]
    for table, keys in wanted.items():
        lost = sorted(keys - seen.get(table, set()))
        if lost:
            problems.append(f"{len(lost)} references point to no record of table {table}, first {lost[0]}")
    return problems
