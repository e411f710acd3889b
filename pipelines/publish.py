"""From the mirror of an OUT to its object store: a group's shards, in the order in which they are committed."""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from ..datasets.index import ShardFacts
from ..datasets.shard import shard_stem
from .out_store import OutError, OutStore
from .rawfiles import file_state
from .store_lock import check_held

AT_ONCE = 8  # small files


def publish_group(url: str, out: Path, run: str, shards: Sequence[ShardFacts], label: str) -> None:
    """Put the shards of a group that was just committed in the mirror.

    Old indexes go first and new ones come last, so that an index in the store has its tar beside it. The tars in the
    mirror lose their content.

    Args:
        url: of OUT.
        out: its mirror.
        run: the run's id, which must hold OUT.
        shards: facts of all tables' shards.
        label: name of the label that they hold, where that was added; else empty.

    Raises:
        OutError: the store cannot be written to, or another run has taken over.
    """
    store = OutStore(url)
    for table in dict.fromkeys(facts.table for facts in shards):
        check_held(store, run)
        _publish_table(store, out, run, [facts for facts in shards if facts.table == table], label)


def _publish_table(store: OutStore, out: Path, run: str, shards: Sequence[ShardFacts], label: str) -> None:
    first = shards[0]
    stem = f"{first.split}/{shard_stem(first.table, first.group, 0)}"
    ours = re.compile(rf"{stem}(-\d+)?{re.escape(f'.{label}') if label else ''}\.(parquet|tar)")
    old = [name for name in store.list(stem) if ours.fullmatch(name)]
    tars = [f"{first.split}/{facts.tar}" for facts in shards if facts.tar]
    indexes = [f"{first.split}/{shard_stem(x.table, x.group, x.part, label)}.parquet" for x in shards]
    for name in sorted(set(old).difference(tars), key=lambda name: (name.endswith(".tar"), name)):
        store.delete(name)
    for name in tars:
        store.put(name, out / name)
    check_held(store, run)  # that took a while
    for name in indexes:
        store.put(name, out / name)
    settle(store, out, [*tars, *indexes], stem)


def send(store: OutStore, out: Path, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Put small files of one folder of the mirror, several at once; returns size and stamp of their objects."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda name: store.put(name, out / name), names):
            pass
    return settle(store, out, names, names[0] if len(names) == 1 else f"{PurePosixPath(names[0]).parent}/")


def settle(store: OutStore, out: Path, names: Sequence[str], beginning: str) -> dict[str, tuple[int, int]]:
    """Give files of the mirror the stamps of their objects as times, by which they are known to be the same.

    Tars become hollow. The store is asked for the objects whose names begin as said.

    Raises:
        OutError: an object is not there, or of another size.
    """
    found = store.list(beginning)
    for name in names:
        path = out / name
        if found.get(name, (-1, 0))[0] != file_state(path)[0]:
            raise OutError(f"--out {store.url}: {name} was changed by another writer; run the same command again")
        size, mtime = found[name]
        if path.suffix == ".tar":
            hollow(path, size, mtime)
        else:
            os.utime(path, ns=(mtime, mtime))
    return {name: found[name] for name in names}


def hollow(path: Path, size: int, mtime_ns: int) -> None:
    """Make a file of this size and time without content, which needs no room on the disk."""
    with path.open("wb") as stream:
        stream.truncate(size)
    os.utime(path, ns=(mtime_ns, mtime_ns))
