"""tessera's Stream over the same tars."""

from ....datasets import Stream
from ....datasets.transforms.random_crop import RandomCrop
from ..profiles import TABLE
from . import Epochs, Job


def loader(job: Job, checksums: bool = True) -> Epochs:
    """Decoding threads; a global permutation each epoch; slices and crops are drawn anew each epoch."""
    profile = job.profile
    stream = Stream(
        job.root,
        TABLE,
        batch_size=job.batch_size,
        seed=job.seed,
        last="drop",
        sample={profile.sliced[0]: profile.take} if profile.sliced else None,
        transforms=[RandomCrop(profile.crop)] if profile.crop else [],
        threads=job.threads,
        checksums=checksums,
    )
    return lambda: iter(stream)
