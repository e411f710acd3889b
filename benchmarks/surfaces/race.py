"""All peers on one mesh, in turns, beside what is true."""

import sys
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from ...datasets.errors import TesseraError
from .meshes import Floats, Mesh
from .peers import Peer, Run
from .truth import Truth

Row = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """What a peer took and how far it was off, on one mesh.

    Attributes:
        count: points that the rates are for.
        asked: points that were asked.
        builds, queries: seconds, by round, of those that were asked.
        cores: processor seconds a second.
        error: largest error of a distance, as a share of the box's diagonal.
        wrong: share of the points on the wrong side.
    """

    count: int
    asked: int
    builds: tuple[float, ...]
    queries: tuple[float, ...]
    cores: float
    error: float
    wrong: float

    def rates(self, build: bool) -> list[float]:
        """Points a second of each round, without the build or with it."""
        seconds = [query * self.count / self.asked for query in self.queries]
        return [self.count / (more + (made if build else 0)) for made, more in zip(self.builds, seconds, strict=True)]


def race(mesh: Mesh, points: Floats, known: Truth, peers: list[Peer], threads: int, rounds: int) -> dict[str, Result]:
    """Each peer's result by title; a peer that fails is told on standard error, and left out."""
    runs: dict[str, list[Run]] = {peer.title: [] for peer in peers}
    for number in range(rounds):
        for peer in peers:
            if peer.title not in runs or (peer.rounds is not None and number >= peer.rounds):
                continue
            try:
                runs[peer.title].append(peer.ask(mesh, points[: peer.points], threads))
            except TesseraError as error:
                print(f"{mesh.name}, {peer.title}: {error}", file=sys.stderr)
                del runs[peer.title]
    return {title: result(mesh, len(points), known, some) for title, some in runs.items()}


def result(mesh: Mesh, count: int, known: Truth, runs: list[Run]) -> Result:
    """One peer's rounds together; distances and sides are those of the last."""
    found = runs[-1].distance
    asked = slice(len(found))
    errors = np.abs(np.abs(found) - known.distance[asked])
    sided = known.sided[asked]
    return Result(
        count, len(found), tuple(run.build for run in runs), tuple(run.query for run in runs),
        median(run.cores for run in runs), float(np.nanmax(errors) / mesh.diagonal),
        float(((found < 0) != known.inside[asked])[sided].mean()),
    )  # fmt: skip


def rows(results: dict[str, Result], threads: int) -> list[Row]:
    """The table of one mesh."""
    return [
        {
            "who": title if one.asked == one.count else f"{title} ({one.asked} points, extrapolated)",
            "build s": min(one.builds), "points/s best": round(max(one.rates(False))),
            "median": round(median(one.rates(False))), "with build best": round(max(one.rates(True))),
            "with build median": round(median(one.rates(True))), "error / diagonal": one.error,
            "wrong signs": one.wrong, "threads": threads, "cores used": round(one.cores, 2),
        }
        for title, one in results.items()
    ]  # fmt: skip
