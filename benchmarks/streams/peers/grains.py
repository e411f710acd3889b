"""grain: a random-access source over the byte index, global shuffle, threads."""

from collections.abc import Iterator
from typing import Any

import grain

from ..byte_index import ByteIndex
from ..deliver import stacked
from ..sources import Records
from . import Epochs, Job


def loader(job: Job) -> Epochs:
    """Reading threads that batch what they read; each epoch has its own permutation."""
    records = Records(ByteIndex(job.profile, job.root))
    options = grain.ReadOptions(num_threads=job.threads, prefetch_buffer_size=2 * job.threads)
    epoch = iter(range(1 << 30))

    def batches() -> Iterator[dict[str, Any]]:
        data = grain.MapDataset.source(records).shuffle(seed=job.seed + next(epoch))  # type: ignore[arg-type]
        batched = data.batch(job.batch_size, drop_remainder=True, batch_fn=stacked)
        return iter(batched.to_iter_dataset(options))

    return batches
