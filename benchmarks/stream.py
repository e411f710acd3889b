"""Batches from shards: tessera's Stream beside every loader that a user could pick, on the same records and cores.

Four data sets (`streams/profiles.py`) are made for the run, 40 to 800 MB each, and stay in the page cache. Every run is
a fresh process on the same two cores: a warm-up epoch, then timed ones, whose loop only counts records. All peers give
the same tensors, which is checked once a profile, in a further epoch. Peers are the optional extra `bench`; those that
are not installed are named and left out. `TESSERA_BENCH_ROUNDS` (3) and `TESSERA_BENCH_PROFILES` (all four, by commas)
shorten a run of some 35 minutes.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..datasets.errors import UsageError
from .streams.peers import PEERS
from .streams.profiles import PROFILES
from .streams.race import CELLS, Cell, Row, race

BARS = {"arrays": 1.5, "human": 1.5, "jpeg": 1.15, "human_pictures": 1.15}  # times the best peer


def tables(
    rounds: int | None = None,
    profiles: Sequence[str] | None = None,
    peers: Sequence[str] | None = None,
    cells: Sequence[Cell] = CELLS,
    records: int | None = None,
) -> dict[str, list[Row]]:
    """The benchmark's tables, by title.

    Args:
        rounds: interleaved rounds; from the environment, or 3.
        profiles: names of data sets; from the environment, or all.
        peers: names of loaders' files; all by default.
        cells: batch sizes and threads.
        records: of each data set; its own number by default.

    Raises:
        UsageError: an unknown profile.
    """
    rounds = rounds or int(os.environ.get("TESSERA_BENCH_ROUNDS", "3"))
    profiles = profiles or os.environ.get("TESSERA_BENCH_PROFILES", ",".join(PROFILES)).split(",")
    for name in profiles:
        if name not in PROFILES:
            raise UsageError(f"no profile {name!r} (profiles: {', '.join(PROFILES)})")
    wanted = [name for name in peers or PEERS if not PEERS[name].missing]
    absent = [f"{PEERS[name].title}: not installed ({', '.join(PEERS[name].missing)}), left out"
              for name in peers or PEERS if PEERS[name].missing]  # fmt: skip
    found: dict[str, list[Row]] = {}
    notes, ratios = list(absent), []
    for name in profiles:
        with tempfile.TemporaryDirectory() as folder:
            by_cell, said = race(name, Path(folder), wanted, rounds, cells, records)
        notes += said
        for cell, rows in by_cell.items():
            found[f"{name}, batches of {cell.batch_size}, threads or workers: {cell.threads}"] = rows
            ratios += verdict(name, cell, rows)
    if ratios:
        found["tessera against the best peer"] = ratios
    if notes:
        found["notes"] = [{"note": note} for note in notes]
    return found


def verdict(name: str, cell: Cell, rows: Sequence[Row]) -> list[Row]:
    """Tessera's line beside the best of the peers in each respect; nothing where there is no peer, or no tessera."""
    title = PEERS["ours"].title
    ours = next((row for row in rows if row["loader"] == title), None)
    peers = [row for row in rows[1:] if row["loader"] != title]
    if ours is None or not peers:
        return []
    best = max(peers, key=lambda row: row["best records/s"])
    webdataset = [row for row in peers if row["loader"] == PEERS["wds"].title]
    return [
        {
            "profile": name,
            "batch": cell.batch_size,
            "threads": cell.threads,
            "best peer": best["loader"],
            "times it, best": _times(ours, best, "best records/s"),
            "times it, median": _times(ours, max(peers, key=lambda row: row["median records/s"]), "median records/s"),
            "bar": BARS[name],
            "times webdataset": _times(ours, webdataset[0], "best records/s") if webdataset else "",
            "of copy rate": ours["of copy rate"],
            "CPU, of the best peer": _times(ours, best, "CPU ms a record"),
            "of the least": _least(ours, peers, "CPU ms a record"),
            "memory, of the best peer": _times(ours, best, "peak MiB"),
            "of the leanest": _least(ours, peers, "peak MiB"),
        }
    ]


def _times(ours: Row, theirs: Row, column: str) -> float:
    return float(ours[column]) / max(float(theirs[column]), 1e-9)


def _least(ours: Row, peers: Sequence[Row], column: str) -> float:
    return float(ours[column]) / max(min(float(row[column]) for row in peers), 1e-9)
