"""torchdata's nodes over the byte index: a sampler of whole batches, threads that read them."""

from typing import Literal

from torchdata.nodes import Loader, ParallelMapper, Prefetcher, SamplerWrapper

from ..byte_index import ByteIndex
from ..sources import Batches, Records
from . import Epochs, Job


def loader(job: Job, method: Literal["thread", "process"] = "thread") -> Epochs:
    """Mapping threads (or processes) behind a sampler; snapshots seldom, as they cost a step's time each."""
    records = Records(ByteIndex(job.profile, job.root))
    sampler = SamplerWrapper(Batches(len(records), job.batch_size, job.seed))  # type: ignore[arg-type]
    seldom = 1 << 20
    mapped: ParallelMapper = ParallelMapper(
        sampler, records.batch, job.threads, in_order=True, method=method, snapshot_frequency=seldom
    )
    batches: Loader = Loader(Prefetcher(mapped, prefetch_factor=2, snapshot_frequency=seldom))
    return lambda: iter(batches)
