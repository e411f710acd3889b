"""One measured run of one loader: a warm-up epoch, then timed ones."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from .apart import apart
from .peers import Job
from .processes import processor_seconds

SECONDS = 0.7  # whole epochs are timed until these have passed


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        records: records of the timed epochs: the second, and more where that is too short to be timed.
        bytes: bytes of their tensors.
        seconds: of the timed epochs, from asking for the first of them to the last batch.
        processor: user and system seconds of all its processes meanwhile.
        first: seconds from making the loader to its first batch; imports are not counted.
        memory: peak bytes (PSS) of all its processes, from their start to the end of the timed epochs.
        private: the same without pages of files (libraries, page cache).
        check: what `checks.py` says of its batches, where it was asked.
    """

    records: int
    bytes: int
    seconds: float
    processor: float
    first: float
    memory: int = 0
    private: int = 0
    check: str = ""


def measure(job: Job, check: bool = False) -> Measured:
    """Runs the job in a fresh process.

    Args:
        job: what to measure.
        check: compare a third epoch's batches with what they must be.

    Raises:
        RunError: the run failed or hung.
    """
    (found, *said), peak = apart(_epochs, job, check)
    return replace(found, memory=peak.total, private=peak.private, check=said[0] if said else "")


def _epochs(job: Job, check: bool) -> Iterator[Any]:
    """The run itself; the timed loop touches nothing, it counts."""
    import torch

    torch.set_num_threads(1)
    open_loader = job.module.loader
    start = perf_counter()
    epoch = open_loader(job)
    batches = epoch()
    sizes = [_size(job, next(batches))]
    first = perf_counter() - start
    sizes += [_size(job, batch) for batch in batches]
    processor, start, count = processor_seconds(os.getpid()), perf_counter(), 0
    while (seconds := perf_counter() - start) < SECONDS:
        before = count
        for batch in epoch():
            count += len(batch["key"])
            del batch  # as a training step's end does
        if count == before:
            raise RuntimeError("an epoch was empty")
    bytes_a_record = sum(size for _, size in sizes) / sum(number for number, _ in sizes)
    used = processor_seconds(os.getpid()) - processor
    yield Measured(count, round(bytes_a_record * count), seconds, used, first)
    if check:
        from .checks import compare

        yield compare(job, epoch())


def _size(job: Job, batch: dict[str, Any]) -> tuple[int, int]:
    """Records of a batch, and bytes of its fields' tensors."""
    return len(batch["key"]), sum(batch[item.name].nbytes for item in job.profile.items if item.dtype != "json")
