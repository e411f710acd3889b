"""One thread at a time does the light work of a batch, so that threads do not fight over Python's lock.

Lookups and small reads from the page cache take microseconds each. Two threads that do such work at once hand Python's
lock back and forth at each call, and are slower than one. So whoever does it holds a baton; and puts it aside for what
runs without Python's lock and takes longer: decoding, large copies, and every wait for a disk or a store.
"""

import os
import threading
from time import perf_counter
from types import TracebackType

LONG = 1 << 17  # bytes whose copy takes longer than to hand the baton over


class Baton:
    """A lock that its holder may put aside for a while; as a context manager, it is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Take it; whoever has it is waited for."""
        if not self._lock.acquire(blocking=False):
            began = perf_counter()
            self._lock.acquire()
            _HELD.waited = waited() + perf_counter() - began
        _HELD.baton = self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Let it go, where this thread has it: an interrupt may have come while it was to be taken again."""
        if getattr(_HELD, "baton", None) is self:
            _HELD.baton = None
            self._lock.release()


def waited() -> float:
    """Seconds that this thread has waited for batons."""
    seconds: float = getattr(_HELD, "waited", 0.0)
    return seconds


class _Aside:
    """Puts the baton aside that this thread holds, if it holds one."""

    def __enter__(self) -> None:
        baton = getattr(_HELD, "baton", None)
        if baton is not None:
            baton.__exit__(None, None, None)
        _HELD.__dict__.setdefault("put", []).append(baton)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        baton = _HELD.put.pop()
        if baton is not None:
            baton.__enter__()


_HELD = threading.local()
ASIDE = _Aside()
BATON = Baton()  # of this process: Python's lock is one, too
os.register_at_fork(after_in_child=lambda: BATON.__init__())  # type: ignore[misc]  # its holder is not here
