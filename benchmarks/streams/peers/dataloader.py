"""torch's DataLoader over a byte index of the tars: whole records are read, and decoded by numpy and Pillow."""

from torch.utils.data import DataLoader

from ..byte_index import ByteIndex
from ..deliver import stacked
from ..sources import Records
from . import Epochs, Job


def loader(job: Job) -> Epochs:
    """Worker processes; a global permutation each epoch."""
    records = Records(ByteIndex(job.profile, job.root))
    batches: DataLoader = DataLoader(
        records,  # type: ignore[arg-type]
        job.batch_size,
        shuffle=True,
        num_workers=job.threads,
        collate_fn=stacked,
        drop_last=True,
        persistent_workers=True,
    )
    return lambda: iter(batches)
