"""The loop that is measured: a batch is asked for, a step is done with it."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from .model import Model

WAIT_BAR, RATIO_BAR = 0.02, 0.95
Row = dict[str, Any]


@dataclass
class Times:
    """Steps of one way to feed them.

    Attributes:
        seconds: of each step, the wait for its batch included.
        waits: of these, seconds until the batch was there, on the network's device.
        whole: seconds of all steps together, until the device had done them.
    """

    seconds: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    whole: float = 0.0

    @property
    def rate(self) -> float:
        """Steps a second."""
        return len(self.seconds) / self.whole

    @property
    def wait_share(self) -> float:
        """Share of the time in which the loop waited for batches."""
        return sum(self.waits) / self.whole


def measure(model: Model, batches: Iterator[dict[str, Any]], warm: int, steps: int, times: Times) -> None:
    """Add steps to `times`, after some that are not counted."""
    for _ in range(warm):
        model.step(model.moved(next(batches)))
    model.wait()
    start = last = time.perf_counter()
    for _ in range(steps):
        batch = model.moved(next(batches))
        there = time.perf_counter()
        model.step(batch)
        del batch
        now = time.perf_counter()
        times.seconds.append(now - last)
        times.waits.append(there - last)
        last = now
    model.wait()
    times.whole += time.perf_counter() - start


def row(name: str, times: Times, limit: Times, threads: str, decoding: str, barred: bool) -> Row:
    """A line of the table.

    Args:
        name: where batches are from.
        times: measured.
        limit: the same with a batch that lies in memory.
        threads: of torch's arithmetic.
        decoding: threads or processes that make batches.
        barred: whether the bar of the wait is meant for it; that of the limit is for GPUs, beside which cores are free.
    """
    made: Row = {"batches": name, "torch threads": threads, "made by": decoding, "steps": len(times.seconds)}
    made |= {"mean ms": 1000 * mean(times.seconds), "median ms": 1000 * median(times.seconds)}
    made |= waiting(times.wait_share, barred) | {"steps/s": times.rate}
    ratio = times.rate / limit.rate
    made |= {"of the limit": ratio, "by medians": median(limit.seconds) / median(times.seconds)}
    return made


def waiting(share: float, barred: bool) -> Row:
    """Columns of the wait and its bar."""
    return {"wait %": 100 * share, "wait bar": f"<= {100 * WAIT_BAR:.0f} %" if barred else "",
            "wait met": _met(share <= WAIT_BAR, barred)}  # fmt: skip


def _met(met: bool, barred: bool) -> str:
    return ("yes" if met else "no") if barred else ""


def cycle(make: Any) -> Generator[dict[str, Any], None, None]:
    """Batches of a stream, a DataLoader or a list, epoch after epoch."""
    while True:
        yield from make
