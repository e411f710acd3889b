"""Records of a group's earlier shards: copied, bytes unchanged, for units that need no work."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..datasets.catalog import index_paths
from ..datasets.errors import FormatError
from ..datasets.index import ShardFacts, read_facts, read_rows, shift_offsets
from ..datasets.shard import ShardWriter, shard_stem
from ..datasets.verify import file_sha256
from .recipe import Reject


@dataclass
class Copied:
    """What was copied of one unit."""

    records: int = 0
    rejects: list[Reject] = field(default_factory=list)


def group_indexes(out: Path, split: str, table: str, group: int) -> list[Path]:
    """Indexes of one group's shards, in order of their parts."""
    stem = shard_stem(table, group, 0)
    return [path for path in index_paths(out, split, table) if path.stem == stem or path.stem.startswith(f"{stem}-")]


def whole_group(out: Path, split: str, table: str, group: int) -> list[ShardFacts]:
    """Facts of a committed group's shards; empty where a part is missing, damaged or of another size."""
    folder, facts = out / split, []
    try:
        path = folder / f"{shard_stem(table, group, 0)}.parquet"
        if path.exists():
            facts = [read_facts(path)]
            for part in range(1, facts[0].parts):
                facts.append(read_facts(folder / f"{shard_stem(table, group, part)}.parquet"))
        sizes_fit = all(x.tar is None or (folder / x.tar).stat().st_size == x.tar_bytes for x in facts)
    except (FormatError, OSError):
        return []
    return facts if sizes_fit else []


def intact(out: Path, split: str, tables: list[str], group: int) -> bool:
    """Whether the group's tars still have the content that their indexes name; reads them once."""
    for table in tables:
        facts = whole_group(out, split, table, group)
        if not facts or any(x.tar and file_sha256(out / split / x.tar) != x.tar_sha256 for x in facts):
            return False
    return True


def copy_records(out: Path, split: str, group: int, unit: str, writers: Mapping[str, ShardWriter]) -> Copied:
    """Append a unit's records from the group's committed shards to the writers of its tables.

    The caller has made sure that the shards are `intact`.
    """
    copied = Copied()
    for table, writer in writers.items():
        for facts in whole_group(out, split, table, group):
            if facts.part == 0 and not copied.rejects:
                copied.rejects = [Reject(**reject) for reject in facts.rejects if reject["unit"] == unit]
            if facts.tar is None or all(source.unit != unit or not source.records for source in facts.sources):
                continue
            index = out / split / f"{shard_stem(table, group, facts.part)}.parquet"
            with (out / split / facts.tar).open("rb") as tar:
                for row in read_rows(index).to_pylist():
                    if row["unit"] == unit:
                        start, size = row["record.offset"], row["record.size"]
                        tar.seek(start)
                        shift_offsets(writer.schema, row, -start)
                        writer.append(row, tar.read(size))
                        copied.records += 1
    return copied
