"""Which rank this process is, of how many, and its share of the machine."""

import os

import torch

from ..errors import UsageError

MOST_THREADS = 16  # by default; Python's lock lets no more do useful work


def rank_and_size(
    rank: int | None, world_size: int | None, inherited: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Rank and number of ranks: those given, else those of torch.distributed, else of the environment, else 0 of 1.

    Args:
        rank: this process, where the user says so.
        world_size: number of processes, likewise.
        inherited: both, of the process that started this one (a DataLoader's worker has no torch.distributed).

    Raises:
        UsageError: only one of the two is given, or the rank is not below the number of ranks; or the environment has a
            number of ranks and no rank.
    """
    if (rank is None) != (world_size is None):
        raise UsageError("rank and world_size go together: give both or neither")
    if rank is None or world_size is None:
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            rank, world_size = distributed.get_rank(), distributed.get_world_size()
        elif inherited is not None:
            rank, world_size = inherited
        else:
            world_size = _from_environment("WORLD_SIZE", 1)
            if world_size > 1 and not os.environ.get("RANK", "").strip():
                hint = "start torch.distributed before the stream is read, or give rank and world_size"
                raise UsageError(f"WORLD_SIZE is {world_size}, and which rank this process is is not said: {hint}")
            rank = _from_environment("RANK", 0)
    if not 0 <= rank < world_size:
        raise UsageError(f"rank {rank} of {world_size}: ranks are 0 to {world_size - 1}")
    return rank, world_size


def default_threads() -> int:
    """One a core, shared out between the ranks of this machine."""
    cores = len(os.sched_getaffinity(0)) // max(1, _from_environment("LOCAL_WORLD_SIZE", 1))
    return min(max(cores, 1), MOST_THREADS)


def _from_environment(name: str, usual: int) -> int:
    text = os.environ.get(name, "").strip()
    if not text:
        return usual
    if not text.isdecimal():
        raise UsageError(f"environment: {name} is {text!r}, no number")
    return int(text)
