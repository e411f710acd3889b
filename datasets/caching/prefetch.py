"""Threads that fetch what will be read soon."""

import queue
import threading
import time
from collections.abc import Callable

from ..errors import FormatError
from .folder import Tar

Work = Callable[[Tar, range], None]
MOST_WAITING = 4096  # runs of chunks; what is asked for beyond is fetched when it is read
PATIENCE = 40.0  # seconds until threads whose requests hang are left behind


class Prefetcher:
    """A queue of runs of chunks, and the threads that work it off; they start with the first one.

    Args:
        work: fetches a run.
        threads: how many; 0 switches prefetching off.
    """

    def __init__(self, work: Work, threads: int) -> None:
        self._work, self._most = work, threads
        self._queue: queue.SimpleQueue[tuple[Tar, range] | None] = queue.SimpleQueue()  # safe in finalisers
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._closed = False

    def submit(self, tar: Tar, run: range) -> None:
        """Fetch a run some time, unless too much waits already; returns at once."""
        if self._closed or not self._most or self._queue.qsize() >= MOST_WAITING:
            return
        if not self._threads:
            self._start()
        self._queue.put((tar, run))

    def stop(self) -> None:
        """Let the threads end; nothing is waited for."""
        with self._lock:
            self._closed = True
            while not self._queue.empty():
                try:
                    self._queue.get_nowait()
                except queue.Empty:  # a thread was faster
                    break
            for _ in self._threads:
                self._queue.put(None)

    def join(self) -> None:
        """Wait until the threads have ended, after `stop`."""
        end = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _start(self) -> None:
        with self._lock:
            if self._threads or self._closed:
                return
            arguments = self._queue, self._work  # not `self`: threads that nobody stops would keep it for ever
            names = (f"tessera-prefetch-{number}" for number in range(self._most))
            self._threads = [threading.Thread(target=_serve, args=arguments, name=x, daemon=True) for x in names]
            for thread in self._threads:
                thread.start()


def _serve(waiting: "queue.SimpleQueue[tuple[Tar, range] | None]", work: Work) -> None:
    while (item := waiting.get()) is not None:
        try:
            work(*item)
        except FormatError:  # whoever reads these bytes meets it again, and can say which record it was
            continue
