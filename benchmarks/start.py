"""What it takes to begin: the first batch of a data set of a million records, a resume in its middle, checksums.

The data set has 1,000 shards of 1,000 records (points, distances and occupancy of 8,192 samples, 2,048 drawn): real
indexes, and tars of the right size whose contents are holes. Each row is a fresh process on two cores, imports not
counted; best of three. `TESSERA_BENCH_SHARDS` makes it smaller. Checksums are verified the first time that a process
reads a block, so they are shown for a first epoch that comes from the disk, for one from the page cache, and for the
second epoch.
"""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from .streams.apart import apart
from .streams.huge import write_huge
from .streams.peers import Job
from .streams.profiles import PROFILES, TABLE
from .streams.shards import write

Row = dict[str, str | float]
MIB = 1 << 20


@dataclass(frozen=True)
class Begun:
    """Seconds of making the stream, loading a state, the first batch from the very beginning, and taking a state."""

    made: float
    loaded: float
    first: float
    state: float


def tables(
    shards: int | None = None,
    rounds: int = 3,
    profiles: tuple[str, ...] = tuple(PROFILES),
    records: int | None = None,
) -> dict[str, list[Row]]:
    """The benchmark's tables, by title.

    Args:
        shards: of 1,000 records each; from the environment, or 1,000.
        rounds: the best of so many runs counts.
        profiles: of which checksums are measured.
        records: of each of them; its own number by default.
    """
    count = shards or int(os.environ.get("TESSERA_BENCH_SHARDS", "1000"))
    with tempfile.TemporaryDirectory() as folder:
        write_huge(Path(folder) / "set", count)
        rows = list(begin(Path(folder) / "set", rounds))
    costs: list[Row] = []
    for name in profiles:
        with tempfile.TemporaryDirectory() as folder:
            write(PROFILES[name], Path(folder) / "set", 0, records)
            costs += checksum_cost(Job("ours", name, Path(folder) / "set", Path(folder), 8, 1), rounds)
    return {f"first batch of {count:,} shards, {count * 1000:,} records": rows, "checksums": costs}


def begin(root: Path, rounds: int) -> Iterator[Row]:
    """A start, and a resume in the middle."""
    for what, share in (("start", 0.0), ("resume in the middle", 0.5)):
        found = [apart(_begin, root, share) for _ in range(rounds)]
        times: list[Begun] = [results[0] for results, _ in found]
        yield {
            "what": what,
            "make ms": 1e3 * min(run.made for run in times),
            "load state ms": 1e3 * min(run.loaded for run in times),
            "first batch ms": 1e3 * min(run.first for run in times),
            "take state ms": 1e3 * min(run.state for run in times),
            "peak MiB": max(peak.total for _, peak in found) / MIB,
        }


def _begin(root: Path, share: float) -> Iterator[Any]:
    import torch

    from ..datasets import Stream

    torch.set_num_threads(1)
    start = perf_counter()
    stream = Stream(root, TABLE, batch_size=8, sample={"samples": 2048}, threads=2)
    made = perf_counter() - start
    position = int(len(stream) * share) * 8
    before = perf_counter()
    if position:
        stream.load_state_dict(stream.state_dict() | {"position": position})
    loaded = perf_counter() - before
    batches = iter(stream)
    next(batches)
    first = perf_counter() - start
    before = perf_counter()
    state = stream.state_dict()
    taken = perf_counter() - before
    if state["position"] != position + 8:
        raise RuntimeError(f"one batch after {position} the state says {state['position']}")
    yield Begun(made, loaded, first, taken)


def checksum_cost(job: Job, rounds: int) -> Iterator[Row]:
    """Seconds of an epoch with checksums and without, interleaved, the best of all rounds."""
    epochs = ("first, from disk", "first, from the page cache", "second")
    times: dict[tuple[str, bool], list[float]] = {(epoch, sums): [] for epoch in epochs for sums in (True, False)}
    for _ in range(rounds):
        for checksums in (True, False):
            cold, _ = apart(_two_epochs, job, checksums, True)[0][0]
            warm, second = apart(_two_epochs, job, checksums, False)[0][0]
            for epoch, seconds in zip(epochs, (cold, warm, second), strict=True):
                times[epoch, checksums].append(seconds)
    for epoch in epochs:
        with_, without = (min(times[epoch, checksums]) for checksums in (True, False))
        yield {
            "profile": job.profile_name,
            "epoch": epoch,
            "with checksums s": with_,
            "without s": without,
            "cost %": 100 * (with_ / without - 1),
        }


def _two_epochs(job: Job, checksums: bool, cold: bool) -> Iterator[Any]:
    import torch

    torch.set_num_threads(1)
    epoch = job.module.loader(job, checksums)
    if cold:
        _leave_page_cache(job.root)
    times = []
    for _ in range(2):
        start = perf_counter()
        for batch in epoch():
            del batch
        times.append(perf_counter() - start)
    yield times


def _leave_page_cache(root: Path) -> None:
    """The tars' pages go, so that the next read comes from the disk."""
    for tar in root.rglob("*.tar"):
        with tar.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
