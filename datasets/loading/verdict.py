"""Is it the loader or the model, and what would a faster loader gain? Measured by giving the same batches again."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UsageError
from .tensors import Batch

if TYPE_CHECKING:
    from .loader import Loader

KEPT = 4  # batches that are given again and again
NOTICED, MUCH = 0.02, 0.5  # a smaller gain is called none; a larger one makes the loader the limit


@dataclass(frozen=True)
class Diagnosis:
    """A step measured both ways.

    Attributes:
        live_ms: milliseconds a step with the stream's batches.
        replay_ms: the same with batches that lie in memory.
        wait_ms: milliseconds of a live step for which the loop waited.
        costly: the field that takes most of the loader's time.
        costly_share: its share of that time.
    """

    live_ms: float
    replay_ms: float
    wait_ms: float
    costly: str
    costly_share: float

    @property
    def gain(self) -> float:
        """How many more steps a second a loader that costs nothing would allow: 0.5 is half as many again."""
        return max(0.0, self.live_ms / self.replay_ms - 1)

    @property
    def limit(self) -> str:
        """`loader` where a faster one gives half as many steps again, `both` where it is noticed, else `model`."""
        return "loader" if self.gain > MUCH else "both" if self.gain > NOTICED else "model"

    def __str__(self) -> str:
        """One line."""
        times = f"{self.live_ms:.2f} ms a step, {self.replay_ms:.2f} ms with batches from memory"
        field = f"; {self.costly!r} takes {self.costly_share:.0%} of the loader's time" if self.costly else ""
        both = "the loader slows the model" if self.limit == "both" else f"the {self.limit} is the limit"
        return f"{both}: {times}, so a faster loader gains at most {self.gain:.0%}{field}"


def diagnose(loader: "Loader", step: Callable[[Batch], Any], steps: int) -> Diagnosis:
    """Measure `step` with a stream's batches and with batches that are kept; see `Loader.diagnose`."""
    if not len(loader):
        raise UsageError("an epoch has no step: make batches smaller, or use last='pad'")
    with closing(_endless(loader)) as batches:  # before the second half: its threads would take time from that
        kept = [next(batches) for _ in range(KEPT)]
        for batch in kept:
            step(batch)
        for _ in range(loader.prefetch + loader.threads):  # what was made while the step was tried first
            step(next(batches))
        loader.reset_stats()
        live = _seconds(step, batches, steps)
        stats = loader.stats()
    replay = _seconds(step, (kept[number % KEPT] for number in range(steps)), steps)
    name, share = stats.costly()
    return Diagnosis(1e3 * live / steps, 1e3 * replay / steps, stats.wait_ms, name, share)


def _endless(loader: "Loader") -> Any:
    def batches() -> Iterator[Batch]:
        while True:
            yield from loader

    return batches()


def _seconds(step: Callable[[Batch], Any], batches: Iterator[Batch], steps: int) -> float:
    _synchronise()
    began = perf_counter()
    for _ in range(steps):
        step(next(batches))
    _synchronise()
    return perf_counter() - began


def _synchronise() -> None:
    """Wait for a GPU that is in use; one that is not stays untouched."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
