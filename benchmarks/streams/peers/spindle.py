"""SPDL: a pipeline of threads over the byte index, a whole batch a task."""

from collections.abc import Iterator
from typing import Any

from spdl.pipeline import PipelineBuilder

from ..byte_index import ByteIndex
from ..sources import Batches, Records
from . import Epochs, Job


def loader(job: Job) -> Epochs:
    """A pipeline an epoch, as its own DataLoader makes it; a global permutation each."""
    records = Records(ByteIndex(job.profile, job.root))
    order = Batches(len(records), job.batch_size, job.seed)

    def batches() -> Iterator[dict[str, Any]]:
        builder = PipelineBuilder().add_source(order).pipe(records.batch, concurrency=job.threads).add_sink(2)
        pipeline = builder.build(num_threads=job.threads)
        with pipeline.auto_stop():
            yield from pipeline

    return batches
