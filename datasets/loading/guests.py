"""A stream as a guest in the loops of others: a DataLoader's workers, Lightning's epochs."""

from typing import NamedTuple, Protocol

STATE_HINT = "load it into a DataLoader of as many workers, ranks and records a batch; states of streams fit any"


class Worker(NamedTuple):
    """One process of a DataLoader: it takes each `workers`-th step.

    Attributes:
        number: from 0 on.
        workers: how many there are.
        together: records of one step of all ranks, without which a worker's position means nothing.
    """

    number: int
    workers: int
    together: int

    def __str__(self) -> str:
        """For messages."""
        return f"worker {self.number} of {self.workers} of a DataLoader, {self.together} records a step of all ranks"


class Epochs(Protocol):
    """What counts epochs."""

    _epoch: int

    def set_epoch(self, epoch: int) -> None:
        """Begin with this epoch next."""
        ...


class Forward:
    """Takes the numbers of epochs that a trainer tells its samplers, and never goes back.

    Lightning does so before each epoch, and this is how a stream learns that an epoch is over which was cut short
    (`limit_train_batches`), after a resume too. A new trainer begins at 0 again, with a stream that may have come
    further: there it goes on.
    """

    def __init__(self, stream: Epochs) -> None:
        self._stream = stream

    @property
    def sampler(self) -> "Forward":
        """Where Lightning looks for what is told."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Begin with this epoch next, if it is a later one."""
        if epoch > self._stream._epoch:
            self._stream.set_epoch(epoch)
