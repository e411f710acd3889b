"""Batches made ahead by threads, given in order."""

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic, perf_counter
from typing import Generic, TypeVar

from ..errors import UsageError
from .baton import ASIDE, waited

Batch = TypeVar("Batch")
LOOK, CROWDED, REST = 8, 0.3, 0.2  # batches; share of their time spent waiting for the baton; seconds
NICER = 10  # of 19: with 5 it still waits, with 19 batches come late (docs/training_rates.md)
PATIENCE = 2.0  # seconds that threads get to end what they have begun
_RUNNING: "weakref.WeakSet[Pump]" = weakref.WeakSet()


class Pump(Generic[Batch]):
    """Makes batches 0 to count - 1 in threads; iterate over it once, and close it.

    At most `depth` batches are made or being made before they are asked for. An error of a batch is raised where the
    batch would have come.

    Args:
        make: makes a batch; called by several threads at once.
        count: number of batches.
        threads: 0 makes each batch in the thread that asks for it.
        depth: batches ahead.
        cancel: ends what threads wait for, where they have not come back some seconds after `close`.
        give_way: whether the threads leave the cores to the thread that asks, where both want one.
    """

    def __init__(
        self,
        make: Callable[[int], Batch],
        count: int,
        threads: int,
        depth: int,
        cancel: Callable[[], None] = lambda: None,
        give_way: bool = False,
    ) -> None:
        self._give_way = give_way
        self._make, self._count, self._depth, self._cancel = make, count, depth, cancel
        self._made: dict[int, Batch | BaseException] = {}
        self._next, self._asked, self._closed = 0, 0, False
        self._changed = threading.Condition()
        self._pid = os.getpid()
        self.waited = 0.0
        self._end = threading.Event()
        names = [f"tessera-stream-{number}" for number in range(min(threads, count))]
        works = [self._work, *([self._work_if_room] * (len(names) - 1))]
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True) for work, name in zip(works, names, strict=False)
        ]

    def __iter__(self) -> Iterator[Batch]:
        """The batches, in order; `waited` grows by the seconds that this took of the caller's time.

        The threads begin here: whoever may close the pump knows it by then.
        """
        with self._changed:
            for thread in [] if self._closed else self._threads:
                _RUNNING.add(self)
                thread.start()
        for number in range(self._count):
            began = perf_counter()
            if self._closed:
                raise UsageError("the stream was closed while it was read")
            batch = self._take(number) if self._threads else self._make(number)
            self.waited += perf_counter() - began
            if isinstance(batch, BaseException):
                raise batch
            yield batch
            del batch  # or its memory would be in use while the next is waited for

    def close(self) -> bool:
        """Stop the threads and wait for them; what they made is dropped. Whether their waits had to be cancelled."""
        cancelled = False
        if self._pid == os.getpid():  # after a fork there are no threads, and one of them may have held the lock
            with self._changed:
                self._closed = True
                self._changed.notify_all()
            self._end.set()
            own = threading.current_thread() in self._threads  # it found a dropped iterator while collecting garbage
            with ASIDE:  # which may happen to any thread at any time, and those that are waited for may want the baton
                cancelled = self._join([] if own else self._threads)
        self._made.clear()
        _RUNNING.discard(self)
        return cancelled

    def _join(self, threads: list[threading.Thread]) -> bool:
        end = monotonic() + PATIENCE
        threads = [thread for thread in threads if thread.ident is not None]  # those that were begun
        for thread in threads:
            thread.join(max(0.0, end - monotonic()))
        late = self._cancel is not None and any(thread.is_alive() for thread in threads)
        if late and self._cancel is not None:
            self._cancel()
        for thread in threads:
            thread.join()
        return late

    def _take(self, number: int) -> Batch | BaseException:
        if self._pid != os.getpid():
            raise UsageError("an iterator over a stream does not survive a fork; begin a new one in the new process")
        with self._changed:
            while number not in self._made:
                if self._closed:
                    raise UsageError("the stream was closed while it was read")
                self._changed.wait()
            self._asked = number + 1
            self._changed.notify_all()
            return self._made.pop(number)

    def _work(self) -> None:
        if self._give_way:
            _be_nice()
        while self._one():
            pass

    def _work_if_room(self) -> None:
        """The same; but a thread that mostly waits for the others' baton rests a while, or it would slow them down."""
        if self._give_way:
            _be_nice()
        going = True
        while going:
            began, before = perf_counter(), waited()
            for _ in range(LOOK):
                going = going and self._one()
            if waited() - before > CROWDED * (perf_counter() - began):
                self._end.wait(REST)

    def _one(self) -> bool:
        """Make the next batch; False where there is none."""
        with self._changed:
            while not self._closed and self._next < self._count and self._next >= self._asked + self._depth:
                self._changed.wait()
            if self._closed or self._next >= self._count:
                return False
            number = self._next
            self._next += 1
        made: Batch | BaseException
        try:
            made = self._make(number)
        except BaseException as error:  # whatever it is, it is raised where the batch is asked for
            made = error
        with self._changed:
            self._made[number] = made
            self._changed.notify_all()
        return True


def _be_nice() -> None:
    """Let the thread that trains go first where both want a core; Linux has priorities of single threads.

    Otherwise it may wait for the end of another's time slice, some milliseconds, at each step: decoding is ahead of it
    by whole batches, and has time. Other programs on the machine go first, too.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may forbid it: then nobody gives way
            os.nice(NICER)


@atexit.register
def _close_all() -> None:
    """Threads that still run while the interpreter is taken down may crash it."""
    for pump in list(_RUNNING):
        pump.close()
