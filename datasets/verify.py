"""Check of every checksum of a data set, and of what its files say of each other."""

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from .catalog import Catalog
from .entries import BASE, ShardEntry, index_paths
from .errors import FormatError
from .index import arrow_schema, check_keys, read_facts, read_keys, read_rows
from .members import BLOCK, LABELS
from .names import KEY, NAME
from .regular import regular
from .schema import Schema

CHUNK = 1 << 22


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces.

    Raises:
        FormatError: it is no regular file (a device would never end).
    """
    digest = hashlib.sha256()
    with regular(path, None).open("rb") as stream:
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
    for label in catalog.sidecars:
        yield from _verify_sidecar(root, catalog, label, wanted)
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
    if not rows.schema.equals(arrow_schema(catalog.tables[shard.table])):
        return [*problems, f"index: its columns are not those of table {shard.table} in dataset.json"]
    check_keys(rows, index)
    keys = rows["key"].to_pylist()
    double = seen[shard.table].intersection(keys)
    if double or len(set(keys)) != len(keys):
        problems.append(f"keys appear twice: {', '.join(sorted(double)[:3]) or 'within the shard'}")
    seen[shard.table].update(keys)
    _collect_references(catalog.tables[shard.table], rows, wanted)
    return problems + (_verify_tar(root / str(shard.tar), shard, keys) if shard.tar else [])


def _collect_references(schema: Schema, rows: pa.Table, wanted: dict[str, set[str]]) -> None:
    for reference in schema.references:
        for value in rows[reference.name].to_pylist():
            if value:
                wanted.setdefault(reference.table, set()).update([value] if isinstance(value, str) else value)


def _verify_sidecar(
    root: Path, catalog: Catalog, label: str, wanted: dict[str, set[str]]
) -> Iterator[tuple[str, list[str]]]:
    """Check the shards of a label that was added: their checksums, and that they belong to the shards beside them."""
    sidecar = catalog.sidecars[label]
    bases = {(x.split, x.table, x.group, x.part): x for x in catalog.shards}
    for shard in sidecar.shards:
        base = bases.get((shard.split, shard.table, shard.group, shard.part))
        try:
            yield shard.index, _verify_beside(root, shard, base, sidecar.tables[shard.table], wanted)
        except (FormatError, OSError, KeyError, tarfile.TarError) as error:
            yield shard.index, [str(error)]


def _verify_beside(
    root: Path, shard: ShardEntry, base: ShardEntry | None, schema: Schema, wanted: dict[str, set[str]]
) -> list[str]:
    if base is None:
        return ["there is no shard that it belongs to"]
    problems = []
    if file_sha256(root / shard.index) != shard.index_sha256:
        problems.append("index: sha256 differs from dataset.json")
    if read_facts(root / shard.index).made_from.get(BASE) != base.sha256:
        problems.append(f"was made for another {base.tar}")
    rows = read_rows(root / shard.index)
    if not rows.schema.equals(arrow_schema(schema)):
        return [*problems, "index: its columns are not those of the label in dataset.json"]
    check_keys(rows, root / shard.index)
    keys = rows["key"].to_pylist()
    if keys != read_keys(root / base.index):
        problems.append(f"other records than {base.index}")
    _collect_references(schema, rows, wanted)
    return problems + (_verify_tar(root / str(shard.tar), shard, keys) if shard.tar else [])


def _verify_tar(path: Path, shard: ShardEntry, keys: list[str]) -> list[str]:
    if not path.exists():
        return ["tar is missing"]
    if path.stat().st_size != shard.bytes:
        return [f"tar: {path.stat().st_size} bytes, its index says {shard.bytes}"]
    if file_sha256(path) != shard.sha256:
        return ["tar: sha256 differs from its index"]
    found = list(dict.fromkeys(name.split(".", 1)[0] for name in member_names(path)))
    return [] if found == keys else [f"tar and index hold different records (see members such as *.{LABELS})"]


def member_names(path: Path) -> Iterator[str]:
    """Names of the members of a shard's tar, header by header.

    Python's own reader would follow what is no shard's: longer names, links, sizes below zero, without end.

    Raises:
        FormatError: a member is none of a record's: no ordinary file, or of a name that could leave a folder.
        tarfile.TarError: a damaged header.
    """
    with path.open("rb") as stream:
        while (header := stream.read(BLOCK)).strip(b"\0"):
            member = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
            key, _, rest = member.name.partition(".")
            field, _, suffix = rest.partition(".")
            plain = member.type == tarfile.REGTYPE and KEY.fullmatch(key) and NAME.fullmatch(field)
            if not plain or member.size < 0 or not suffix.isalnum():
                raise FormatError(f"{path}: member {member.name!r} is no record's; do not unpack it")
            yield member.name
            stream.seek(member.size + -member.size % BLOCK, 1)


def _asset(root: Path, name: str, sha256: str) -> str:
    if not (root / name).is_file():
        return "missing"
    return "" if file_sha256(root / name) == sha256 else "sha256 differs from dataset.json"


def _verify_whole(root: Path, catalog: Catalog, seen: dict[str, set[str]], wanted: dict[str, set[str]]) -> list[str]:
    problems = [] if catalog.state == "complete" else ["state is building: run the same `tessera shards` command again"]
    for name, sidecar in catalog.sidecars.items():
        count = sum(x.table in sidecar.tables for x in catalog.shards)
        if sidecar.state != "complete" or len(sidecar.shards) != count:
            done = f"{len(sidecar.shards)} of {count} shards have it"
            problems.append(f"label {name} is building, {done}: run the same `tessera add-label` command again")
    listed = {x.index for x in (*catalog.shards, *(x for sidecar in catalog.sidecars.values() for x in sidecar.shards))}
    problems += [
        f"asset {name}: {trouble}" for name, sha in catalog.assets.items() if (trouble := _asset(root, name, sha))
    ]
    for split in catalog.groups:
        for table in catalog.tables:
            added = [label for label, sidecar in catalog.sidecars.items() if table in sidecar.tables]
            paths = [path for label in ("", *added) for path in index_paths(root, split, table, label)]
            names = [path.relative_to(root).as_posix() for path in paths]
            problems += [f"{name} is not in dataset.json" for name in names if name not in listed]
            tars = {path.with_suffix(".tar").name for path in paths}
            stems = {path.name: path.stem.partition(".") for path in (root / split).glob(f"{table}-*.tar")}
            found = {name for name, (_, dot, label) in stems.items() if not dot or label in added}
            problems += [f"{split}/{name} has no index: it was never committed" for name in sorted(found - tars)]
    for table, keys in wanted.items():
        lost = sorted(keys - seen.get(table, set()))
        if lost:
            problems.append(f"{len(lost)} references point to no record of table {table}, first {lost[0]}")
    return problems
