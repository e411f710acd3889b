"""Two ways to do the same, timed one after the other."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Row = dict[str, Any]
T = TypeVar("T")
U = TypeVar("U")


def race(
    stage: str, frames: int, repeats: int, ours: Callable[[], T], first: Callable[[], U], agree: Callable[[T, U], str]
) -> Row:
    """A row of the table: milliseconds a frame of both ways, of processor and of wall time.

    Args:
        stage: what is done.
        frames: number of frames that it is done for.
        repeats: the quickest of so many runs counts.
        ours: our way.
        first: the plain way.
        agree: says how far their results agree.
    """
    mine, my_cpu, my_wall = _best(ours, repeats)
    theirs, their_cpu, their_wall = _best(first, repeats)
    return {
        "stage": stage, "frames": frames, "plain ms": 1e3 * their_cpu / frames, "ours ms": 1e3 * my_cpu / frames,
        "times faster": their_cpu / my_cpu, "plain wall ms": 1e3 * their_wall / frames,
        "ours wall ms": 1e3 * my_wall / frames, "agreement": agree(mine, theirs),
    }  # fmt: skip


def _best(work: Callable[[], T], repeats: int) -> tuple[T, float, float]:
    """Result, processor seconds and wall seconds of the quickest run."""
    cpu = wall = np.inf
    for _ in range(repeats):
        start, begin = time.process_time(), time.perf_counter()
        result = work()
        cpu, wall = min(cpu, time.process_time() - start), min(wall, time.perf_counter() - begin)
    return result, cpu, wall
