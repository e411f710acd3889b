"""What streams and mixtures have in common: epochs, state, threads, tensors, statistics."""

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from ..errors import StoreError, UsageError
from .arguments import check_transforms, whole_number
from .buffers import Buffers, Memory
from .guests import STATE_HINT, Forward, Worker
from .meter import Meter
from .pump import Pump
from .ranks import default_threads, rank_and_size
from .skipped import LOG, Skipped
from .state import STATE_VERSION, check_state
from .stats import StreamStats
from .steps import Steps
from .tensors import Batch, Tensors
from .verdict import Diagnosis, diagnose

FIELDS = 16  # of one size in a batch, whose buffers are kept
Last = Literal["pad", "drop"]
BatchTransform = Callable[[Batch], Batch]


class Loader(IterableDataset):
    """Batches of an epoch in order, made by threads; where it stands is a few numbers.

    Args:
        batch_size: records a batch.
        last: whether the last batch is filled with flagged repeats, or left out where it is not full.
        batch_transforms: applied to each batch, in order; on the device where that is a GPU.
        rank: this process among `world_size`; taken from torch.distributed or the environment where not given.
        world_size: number of processes that share the epoch.
        threads: threads that decode; by default one a core, shared out between the ranks of a machine. 0: none.
        prefetch: batches made ahead; by default one more than threads.
        device: where batches go, None for main memory.
        pin_memory: whether batches are put into pinned memory; by default where a GPU was chosen.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        last: Last,
        batch_transforms: Sequence[BatchTransform],
        rank: int | None,
        world_size: int | None,
        threads: int | None,
        prefetch: int | None,
        device: str | torch.device | None,
        pin_memory: bool | None,
    ) -> None:
        batch_size = whole_number("batch_size", batch_size, 1)
        if last not in ("pad", "drop"):
            raise UsageError(f"last {last!r}: the last batch is 'pad' or 'drop'")
        threads = None if threads is None else whole_number("threads", threads, 0)
        prefetch = None if prefetch is None else whole_number("prefetch", prefetch, 1)
        if rank is not None or world_size is not None:
            rank_and_size(rank, world_size)
        self.batch_size, self.last = batch_size, last
        self._rank, self._world_size = rank, world_size
        self.threads = default_threads() if threads is None else threads
        self.prefetch = self.threads + 1 if prefetch is None else prefetch
        self._batch_transforms = tuple(check_transforms(batch_transforms, "batch_transforms"))
        self._tensors = Tensors(device, pin_memory)
        self._epoch, self._position, self._resume = 0, 0, False
        self._jumps = 0  # how often it was told where to go: iterators that have not begun follow
        self._worker: Worker | None = None
        self._inherited: tuple[int, int] | None = None
        self._pid = os.getpid()
        self._skipped = Skipped()
        self._pumps: set[Pump[Any]] = set()
        self._buffers = Buffers(FIELDS * (self.prefetch + self.threads + 2))
        self.reset_stats()

    _arguments: dict[str, Any]  # of the constructor

    @abstractmethod
    def epoch_records(self) -> int:
        """Records of an epoch, of all ranks together, repeats not counted."""

    @abstractmethod
    def _read(self, epoch: int, positions: NDArray[np.int64], repeat: NDArray[np.bool_]) -> dict[str, Any]:
        """Arrays of the records at some positions of an epoch."""

    @abstractmethod
    def _identity(self) -> dict[str, Any]:
        """What must be the same for a state to fit."""

    @abstractmethod
    def close(self) -> None:
        """Stop threads and release files; the stream can be iterated again, which opens them anew."""

    @abstractmethod
    def _cancel(self) -> None:
        """End waits for a store, those to come included, until `_release`."""

    @abstractmethod
    def _release(self) -> None:
        """Release files; they are opened anew when they are wanted."""

    @property
    @abstractmethod
    def waits_for_store(self) -> bool:
        """Whether bytes come from a store, which is told what will be read soon."""

    def _ahead(self, epoch: int, positions: NDArray[np.int64]) -> None:
        """Positions that will be read soon."""

    def __len__(self) -> int:
        """Number of steps of a whole epoch, the same for each rank."""
        return len(self._steps(0))

    def __iter__(self) -> Iterator[Batch]:
        """Batches to the end of the epoch.

        From where a loaded state stands; otherwise from an epoch's beginning: an epoch that was broken off is over.
        """
        self._settle()
        return self._batches(self._begin(), self._jumps)

    def _begin(self) -> tuple[int, int]:
        """Epoch and position where an iteration begins."""
        if self._position and not self._resume:
            self._epoch, self._position = self._epoch + 1, 0
        return self._epoch, self._position

    @property
    def batch_sampler(self) -> Forward:
        """What Lightning tells each epoch's number (with `sampler` itself, it takes an object for a DataLoader)."""
        return Forward(self)

    def set_epoch(self, epoch: int) -> None:
        """Begin with this epoch next; where the stream stands in it already (a loaded state), it stays.

        Raises:
            UsageError: it is no number of an epoch.
        """
        epoch = whole_number("epoch", epoch, 0)
        if epoch != self._epoch or not self._resume:
            self._epoch, self._position, self._resume = epoch, 0, False
            self._jumps += 1

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands: behind the batch that was given last."""
        state = {"version": STATE_VERSION, "epoch": self._epoch, "position": self._position, **self._identity()}
        return state | ({"worker": list(self._worker)} if self._worker and self._position else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a stream stood, with any number of ranks and threads and any batch size.

        Raises:
            UsageError: the state is of another version, data set, order or seed; the message says what differs.
        """
        check_state(state, self._identity(), self.epoch_records())
        self._epoch, self._position, self._resume = state["epoch"], state["position"], True
        self._worker = Worker(*state["worker"]) if "worker" in state else None
        self._jumps += 1

    def stats(self) -> StreamStats:
        """What was measured since the stream was made."""
        self._settle()
        return StreamStats(
            steps=self._given, records=self._records, wait_seconds=self._waited, busy_seconds=self._busy,
            bytes_read=sum(self._meter.sizes().values()), decode_seconds=self._meter.seconds(),
            skipped=sum(x.times for x in self._skips()), cache=self._cache_counters(),
            skipped_errors=tuple(text for x in self._skips() for text in x.errors),
            first_batch_seconds=self._first,
        )  # fmt: skip

    def diagnose(self, step: Callable[[Batch], Any], steps: int = 50) -> Diagnosis:
        """Measure a training step with this stream's batches, and with batches that lie in memory already.

        Args:
            step: what is done with a batch.
            steps: steps that are measured each way.

        Returns:
            Both times, and what a loader that costs nothing would gain. Where the stream stands is not changed.
        """
        place = self._place()
        try:
            return diagnose(self, step, steps)
        finally:
            self._epoch, self._position, self._resume, self._worker = place

    def reset_stats(self) -> None:
        """Begin to measure anew."""
        self._meter = Meter()
        self._given, self._records = 0, 0
        self._waited, self._busy, self._first = 0.0, 0.0, 0.0

    def _skips(self) -> list[Skipped]:
        return [self._skipped]

    def _cache_counters(self) -> dict[str, int]:
        return {}

    def _ranks(self) -> tuple[int, int]:
        return rank_and_size(self._rank, self._world_size, self._inherited)

    def _steps(self, start: int) -> Steps:
        rank, world_size = self._ranks()
        return Steps(self.epoch_records(), start, self.batch_size, rank, world_size, self.last == "pad")

    def _mine(self, steps: Steps) -> tuple[range, int]:
        """Steps that this process takes, and how many processes of a DataLoader take turns."""
        info = get_worker_info()
        here = None if info is None else Worker(info.id, info.num_workers, steps.together)
        own = self._worker if steps.start else None  # its state says where this process goes on itself
        if own is not None and own != here:
            raise UsageError(f"stream state: it is that of {own}, this is {here or 'no such worker'}; {STATE_HINT}")
        self._worker = here
        if here is None:
            return range(len(steps)), 1
        return range(0 if own else here.number, len(steps), here.workers), here.workers

    def _batches(self, place: tuple[int, int], jumps: int) -> Iterator[Batch]:
        began = perf_counter()
        epoch, start = place if jumps == self._jumps else self._begin()
        steps = self._steps(start)
        if not start and not len(steps):
            few = f"an epoch has {steps.records} records, one step of all ranks takes {steps.together}"
            LOG.warning("an epoch without a step: %s; make batches smaller, or use last='pad'", few)
        mine, turns = self._mine(steps)

        def make(number: int) -> Batch:
            self._announce(epoch, steps, mine, number)
            arrays = self._read(epoch, *steps.positions(mine[number]))
            batch = self._tensors.wrap(arrays)
            return batch if self._tensors.on_gpu else self._transformed(batch)

        on_cpu = not self._tensors.pinned()  # with a GPU, the thread that trains leaves the cores to the others
        pump: Pump[Batch] = Pump(make, len(mine), self.threads, self.prefetch, self._cancel, give_way=on_cpu)
        self._pumps.add(pump)
        try:
            back, waited = began, 0.0
            for number, batch in enumerate(pump):
                if self._tensors.on_gpu:
                    batch = self._transformed(self._tensors.place(batch))
                now = perf_counter()
                if number == 0:
                    self._first = now - began
                self._busy += max(0.0, now - back - (pump.waited - waited))
                self._waited, waited, back = self._waited + pump.waited - waited, pump.waited, now
                self._given, self._records = self._given + 1, self._records + self.batch_size
                behind = steps.after(mine[number] + turns - 1)
                last = number == len(mine) - 1
                self._stand(*(self._end(epoch) if last else (epoch, behind)))
                yield batch
                del batch
            self._busy += perf_counter() - back if len(mine) else 0.0  # what was done with the last one
            if not len(mine):
                self._stand(*self._end(epoch))
        finally:
            if pump.close():
                self._release()
            self._pumps.discard(pump)

    def _stand(self, epoch: int, position: int) -> None:
        self._epoch, self._position, self._resume = epoch, position, False

    def _end(self, epoch: int) -> tuple[int, int]:
        """Where the stream stands after an epoch: before the next.

        A worker of a DataLoader stays at the end: the others may not have come so far, and a state of them all leads
        back into this epoch.
        """
        return (epoch, self.epoch_records()) if self._worker else (epoch + 1, 0)

    def _announce(self, epoch: int, steps: Steps, mine: range, number: int) -> None:
        """Say what will be read soon: at first all batches up to `prefetch` ahead, then one more with each."""
        if not self.waits_for_store:
            return
        with suppress(StoreError):  # told where the records are due; until then it is not asked again and again
            for more in range(self.prefetch + 1) if number == 0 else [self.prefetch]:
                if number + more < len(mine):
                    self._ahead(epoch, steps.positions(mine[number + more])[0])

    def _memory(self) -> Memory:
        return self._tensors.buffers(self._buffers)

    def _transformed(self, batch: Batch) -> Batch:
        began = perf_counter()
        for transform in self._batch_transforms:
            name = getattr(transform, "__name__", type(transform).__name__)
            try:
                batch = transform(batch)
            except Exception as error:
                error.add_note(f"in batch transform {name!r}")
                raise
            if not isinstance(batch, dict):
                raise UsageError(f"batch transform {name!r} gave {type(batch).__name__}; it must give a dict")
        if self._batch_transforms:
            self._meter.add("batch_transforms", perf_counter() - began)
        return batch

    def _stop(self) -> None:
        for pump in list(self._pumps):
            pump.close()
        self._pumps.clear()

    def __enter__(self) -> Self:
        """The stream itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process is made from the arguments, and stands where this one stands."""
        known = self._ranks() if torch.distributed.is_available() and torch.distributed.is_initialized() else None
        return _remade, (type(self), self._arguments, self._place(), known or self._inherited)

    def _place(self) -> tuple[int, int, bool, Worker | None]:
        return self._epoch, self._position, self._resume, self._worker

    def _settle(self) -> None:
        """In the process that a fork made, begin anew."""
        if self._pid != os.getpid():
            self._renew()

    def _renew(self) -> None:
        """After a fork: files, locks and threads of the parent are of no use here."""
        place, inherited, jumps = self._place(), self._inherited, self._jumps
        self.__init__(**self._arguments)  # type: ignore[misc]
        self._inherited, self._jumps = inherited, jumps
        self._epoch, self._position, self._resume, self._worker = place


def _remade(
    kind: type[Loader],
    arguments: dict[str, Any],
    place: tuple[int, int, bool, Worker | None],
    ranks: tuple[int, int] | None,
) -> Loader:
    loader = kind(**arguments)
    loader._epoch, loader._position, loader._resume, loader._worker = place
    loader._inherited = ranks
    return loader
