"""torch's DataLoader over a byte index of the tars: whole records are read, and decoded by numpy and Pillow."""

from collections.abc import Callable
from typing import Any

from torch.utils.data import DataLoader

from ..byte_index import ByteIndex
from ..deliver import stacked
from ..sources import Records
from . import Epochs, Job


def loader(job: Job) -> Epochs:
    """Worker processes; a global permutation each epoch."""
    return workers(Records(ByteIndex(job.profile, job.root)), stacked, job)


def workers(records: Any, collate: Callable[[Any], Any], job: Job) -> Epochs:
    """A DataLoader as fast as its settings make it: its workers stay, and make the batches."""
    batches: DataLoader = DataLoader(
        records,
        job.batch_size,
        shuffle=True,
        num_workers=job.threads,
        collate_fn=collate,
        drop_last=True,
        persistent_workers=True,
    )
    return lambda: iter(batches)
