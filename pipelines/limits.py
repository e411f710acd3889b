"""Limits inside a worker: one compute thread, and a time limit for each unit that also stops native code."""

import faulthandler
import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..datasets.errors import TesseraError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class UnitTimeout(TesseraError):
    """A unit took longer than `--unit-timeout`."""


def one_thread_environment() -> dict[str, str]:
    """Environment under which BLAS and OpenMP start one thread: sums over threads differ between machines."""
    return dict.fromkeys(THREAD_VARIABLES, "1")


def use_one_thread() -> None:
    """Hold numerical libraries that are already loaded, and OpenCV, to one thread."""
    import cv2
    from threadpoolctl import threadpool_limits

    os.environ.update(one_thread_environment())
    threadpool_limits(1)
    cv2.setNumThreads(1)


@contextmanager
def no_collection() -> Iterator[None]:
    """Pause the search for cycles while very many small objects are made that stay: it takes a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def python_time_limit(seconds: float) -> Iterator[None]:
    """Raise UnitTimeout in this thread after `seconds` (0: never).

    For runs in this process: it cannot interrupt native code. Outside the main thread, where signals cannot be
    set, there is no limit.
    """
    if seconds <= 0 or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise UnitTimeout(f"took longer than --unit-timeout {seconds:g}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def process_time_limit(seconds: float, traceback: Path) -> Iterator[None]:
    """End this worker process after `seconds` (0: never), native code included, leaving all threads' tracebacks.

    The interpreter's own watchdog does it, which needs no GIL.
    """
    if seconds <= 0:
        yield
        return
    with traceback.open("w") as stream:
        faulthandler.dump_traceback_later(seconds, exit=True, file=stream)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    traceback.unlink(missing_ok=True)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process at once.

    Ray sends it to the workers of a driver that was killed; its own handler raises SystemExit wherever the work happens
    to be, which would be taken for a fault of the unit at hand, and committed.
    """
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)
