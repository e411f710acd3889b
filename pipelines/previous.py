"""Records of a group's earlier shards: copied, bytes unchanged, for units that need no work."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from ..datasets.entries import BASE
from ..datasets.errors import FormatError
from ..datasets.index import ShardFacts, read_facts, read_rows, shift_offsets
from ..datasets.shard import ShardWriter, shard_stem
from ..datasets.verify import file_sha256
from .recipe import Reject


def whole_group(out: Path, split: str, table: str, group: int, label: str = "") -> list[ShardFacts]:
    """Facts of a committed group's shards; empty where a part is missing, damaged or of another size.

    With a label: of the shards that hold it beside those of the group.
    """
    folder, facts = out / split, []
    try:
        path = folder / f"{shard_stem(table, group, 0, label)}.parquet"
        if path.exists():
            facts = [read_facts(path)]
            for part in range(1, facts[0].parts):
                facts.append(read_facts(folder / f"{shard_stem(table, group, part, label)}.parquet"))
        sizes_fit = all(x.tar is None or (folder / x.tar).stat().st_size == x.tar_bytes for x in facts)
    except (FormatError, OSError):
        return []
    return facts if sizes_fit else []


def intact(out: Path, split: str, tables: list[str], group: int, label: str = "") -> bool:
    """Whether the group's tars still have the content that their indexes name; reads them once."""
    for table in tables:
        facts = whole_group(out, split, table, group, label)
        if not facts or any(x.tar and file_sha256(out / split / x.tar) != x.tar_sha256 for x in facts):
            return False
    return True


def belongs(out: Path, split: str, tables: list[str], group: int, label: str) -> bool:
    """Whether the shards of an added label were made for the shards that lie beside them."""
    for table in tables:
        ours = [facts.made_from.get(BASE) for facts in whole_group(out, split, table, group, label)]
        if not ours or ours != [facts.tar_sha256 for facts in whole_group(out, split, table, group)]:
            return False
    return True


class Previous:
    """Records of a group's committed shards, which the caller has found `intact`; indexes are read once."""

    def __init__(self, out: Path, split: str, group: int, tables: list[str], label: str = "") -> None:
        self.rejects: dict[str, list[Reject]] = {}
        self._rows: dict[tuple[str, str], list[tuple[Path, dict[str, Any]]]] = {}
        for table in tables:
            for facts in whole_group(out, split, table, group, label):
                if table == tables[0]:
                    for reject in facts.rejects:
                        self.rejects.setdefault(reject["unit"], []).append(Reject(**reject))
                if facts.tar is not None:
                    index = out / split / f"{shard_stem(table, group, facts.part, label)}.parquet"
                    for row in read_rows(index).to_pylist():
                        self._rows.setdefault((table, row["unit"]), []).append((out / split / facts.tar, row))

    def keys(self, table: str, unit: str) -> list[str]:
        """Keys of a unit's records in one table."""
        return [row["key"] for _, row in self._rows.get((table, unit), ())]

    def copy(self, unit: str, writers: Mapping[str, ShardWriter]) -> int:
        """Append a unit's records to the writers of their tables, bytes unchanged; returns how many."""
        copied = 0
        with ExitStack() as stack:
            tars: dict[Path, BinaryIO] = {}
            for table, writer in writers.items():
                for path, row in self._rows.pop((table, unit), ()):
                    if path not in tars:
                        tars[path] = stack.enter_context(path.open("rb"))
                    tars[path].seek(row["record.offset"])
                    shift_offsets(writer.schema, row, -row["record.offset"])
                    writer.append(row, tars[path].read(row["record.size"]))
                    copied += 1
        return copied
