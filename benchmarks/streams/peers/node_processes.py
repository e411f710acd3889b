"""torchdata's nodes over the byte index, processes instead of threads."""

from . import Epochs, Job, node_threads


def loader(job: Job) -> Epochs:
    """Mapping processes behind a sampler."""
    return node_threads.loader(job, "process")
