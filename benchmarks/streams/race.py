"""All loaders on one profile in interleaved rounds, and the rows of their table."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from .apart import RunError, apart
from .copy_rate import copy_rate
from .measure import Measured, measure
from .peers import PEERS, Job
from .profiles import PROFILES
from .shards import write

Row = dict[str, str | float]
COPY = "copy"
MIB = 1 << 20


@dataclass(frozen=True)
class Cell:
    """What is compared with what: one batch size and one number of threads."""

    batch_size: int
    threads: int


CELLS = tuple(Cell(batch, threads) for batch in (8, 64) for threads in (1, 2))


def race(
    name: str,
    folder: Path,
    peers: Sequence[str],
    rounds: int,
    cells: Sequence[Cell] = CELLS,
    records: int | None = None,
) -> tuple[dict[Cell, list[Row]], list[str]]:
    """Measures all loaders on a profile.

    Args:
        name: the profile's.
        folder: an empty one; the data set and the peers' own formats are written there.
        peers: names of the loaders.
        rounds: times that everything is measured, one loader after the other in each.
        cells: batch sizes and numbers of threads.
        records: fewer than the profile has, for a quick run.

    Returns:
        Rows by cell; and what the checks said, and which runs failed. A loader that fails its check has no row.
    """
    write(PROFILES[name], folder / "set", 0, records)
    blank = Job("", name, folder / "set", folder / "own")
    notes, ready = [], []
    for peer in peers:
        try:
            apart(_prepare, replace(blank, peer=peer))
            ready.append(peer)
        except RunError as error:
            notes.append(f"{name}, {PEERS[peer].title}: could not write its format ({error})")
    runs: dict[tuple[Cell, str], list[Measured]] = {}
    for number in range(rounds):
        for cell in cells:
            copied = copy_rate(PROFILES[name].bytes_a_record, cell.threads)
            runs.setdefault((cell, COPY), []).append(copied)
            for peer in tuple(ready):
                job = replace(blank, peer=peer, batch_size=cell.batch_size, threads=cell.threads)
                check = number == 0 and cell == cells[0]
                try:
                    measured = measure(job, check)
                except RunError as error:
                    notes.append(f"{name}, {PEERS[peer].title}, {cell}: {error}" + (" (left out)" if check else ""))
                    if check:  # what gives other tensors is not compared
                        ready.remove(peer)
                    continue
                runs.setdefault((cell, peer), []).append(measured)
                print(
                    f"{name}, {cell}: {PEERS[peer].title}, {measured.records / measured.seconds:.0f}/s", file=sys.stderr
                )
                notes += [f"{name}, {PEERS[peer].title}: {measured.check}"] if check else []
            print(f"{name}: round {number + 1} of {rounds}, {cell}", file=sys.stderr)
    return {cell: list(_rows(runs, cell, ready)) for cell in cells}, notes


def _prepare(job: Job) -> Iterator[None]:
    """Writes the peer's own format, where it has one."""
    prepare = getattr(job.module, "prepare", None)
    if prepare:
        job.folder.mkdir(parents=True, exist_ok=True)
        prepare(job)
    yield


def _rows(runs: dict[tuple[Cell, str], list[Measured]], cell: Cell, peers: Sequence[str]) -> Iterator[Row]:
    copies = max(run.bytes / run.seconds for run in runs[cell, COPY])
    for peer in (COPY, *peers):
        if (cell, peer) in runs:
            yield row("copy of the same bytes" if peer == COPY else PEERS[peer].title, runs[cell, peer], copies)


def row(title: str, runs: Sequence[Measured], copies: float) -> Row:
    """One line of the table: best and median over the runs; `copies` is the best copy rate in bytes a second."""
    rates = [run.records / run.seconds for run in runs]
    best = max(run.bytes / run.seconds for run in runs)
    figures: dict[str, Any] = {
        "loader": title,
        "best records/s": max(rates),
        "median records/s": median(rates),
        "CPU ms a record": 1e3 * min(run.processor / run.records for run in runs),
        "first batch ms": 1e3 * min(run.first for run in runs),
        "peak MiB": max(run.memory for run in runs) / MIB,
        "without files MiB": max(run.private for run in runs) / MIB,
        "MB/s": best / 1e6,
        "of copy rate": best / copies,
    }
    return figures
