"""The machine's own copy rate: the same bytes from one buffer to another, both larger than the last-level cache."""

import os
import threading
from collections.abc import Iterator
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from .apart import apart
from .measure import Measured
from .processes import processor_seconds

BUFFER = 256 << 20  # bytes of each buffer
SECONDS = 0.5


def copy_rate(bytes_a_record: int, threads: int) -> Measured:
    """Records a second that numpy copies in `threads` threads, in a fresh process on the same cores."""
    (found,), _ = apart(_copies, bytes_a_record, threads)
    return found


def _copies(size: int, threads: int) -> Iterator[Measured]:
    source, target = np.ones(BUFFER, np.uint8), np.zeros(BUFFER, np.uint8)
    share = BUFFER // threads
    parts = [(source[at : at + share], target[at : at + share]) for at in range(0, share * threads, share)]
    _pass(parts, size)
    processor, start, records = processor_seconds(os.getpid()), perf_counter(), 0
    while perf_counter() - start < SECONDS:
        records += _pass(parts, size)
    seconds = perf_counter() - start
    yield Measured(records, records * size, seconds, processor_seconds(os.getpid()) - processor, 0)


def _pass(parts: list[tuple[NDArray, NDArray]], size: int) -> int:
    """Copies every part once, a thread each; returns the records."""
    workers = [threading.Thread(target=_copy, args=(*part, size)) for part in parts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(len(source) // size for source, _ in parts)


def _copy(source: NDArray, target: NDArray, size: int) -> None:
    for at in range(0, len(source) - size + 1, size):
        np.copyto(target[at : at + size], source[at : at + size])
