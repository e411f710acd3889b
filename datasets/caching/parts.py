"""What one process has of a cache: connections, threads, open files; no fork survives them, and no pickle."""

import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from .counters import Counters
from .fetch import MOST_REQUEST, Fetcher
from .folder import CacheFolder
from .prefetch import Prefetcher
from .remote import WAITS, Remote

CHUNK = 1 << 20
CACHE_BYTES = 64 << 30
THREADS = 8


@dataclass(frozen=True)
class CacheOptions:
    """How a cache works.

    Attributes:
        limit: bytes that all files in the folder may have, of all data sets and processes.
        chunk: bytes that are fetched and kept as one file.
        waits: seconds before each further attempt where the connection fails.
        threads: of prefetching in each process; 0 switches it off.
    """

    limit: int = CACHE_BYTES
    chunk: int = CHUNK
    waits: tuple[float, ...] = WAITS
    threads: int = THREADS

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if self.limit < 0 or self.threads < 0 or not 0 < self.chunk <= MOST_REQUEST:
            raise UsageError(f"cache of {self.limit} bytes in chunks of {self.chunk}, {self.threads} threads: no cache")


class Parts:
    """The parts of a cache, which work together.

    Raises:
        UsageError: the folder cannot be written to, or no library knows such URLs.
    """

    def __init__(self, url: str, folder: Path, options: CacheOptions, counters: Counters) -> None:
        self.remote = Remote(url, counters, options.waits)
        self.folder = CacheFolder(folder, options.limit, counters)
        self.fetcher = Fetcher(self.remote, self.folder)
        self.prefetcher = Prefetcher(self.fetcher.warm, options.threads)

    def close(self) -> None:
        """End threads and connections, close files."""
        self.prefetcher.stop()
        self.remote.cancel()
        self.prefetcher.join()
        self.folder.close()
        self.remote.close()


class PerProcess:
    """Parts that are made when first needed, again after `close`, and anew by a forked process.

    Args:
        url: of the data set's folder.
        folder: the cache folder.
        options: how it works.
    """

    def __init__(self, url: str, folder: Path, options: CacheOptions) -> None:
        self._made_from = url, folder, options
        self.renew()
        _living.add(self)

    def renew(self) -> None:
        """Begin anew, with counters at 0."""
        self._lock = threading.Lock()
        self._parts: Parts | None = None
        self.counters = Counters()

    def get(self) -> Parts:
        """The parts of this process.

        Raises:
            UsageError: as `Parts`.
        """
        parts = self._parts
        if parts is None:
            with self._lock:
                parts = self._parts = self._parts or Parts(*self._made_from, self.counters)
        return parts

    def cancel(self) -> None:
        """End what waits for the store; `close` follows."""
        parts = self._parts
        if parts is not None:
            parts.remote.cancel()

    def close(self) -> None:
        """Release everything; the counters stay."""
        with self._lock:
            parts, self._parts = self._parts, None
        if parts is not None:
            parts.close()

    def inherit(self) -> None:
        """In a forked child: locks may be held by threads that are not here, and connections are the parent's."""
        if self._parts is not None:
            self._parts.folder.close()
            _inherited.append(self._parts)
        self.renew()

    def __del__(self) -> None:
        """Let the threads end where nobody closed it; nothing is waited for."""
        parts = getattr(self, "_parts", None)
        if parts is not None:
            parts.prefetcher.stop()


_living: "weakref.WeakSet[PerProcess]" = weakref.WeakSet()
_inherited: list[Parts] = []  # for ever: to collect them would close connections through the parent's event loop


def _after_fork() -> None:
    for process in list(_living):
        process.inherit()


os.register_at_fork(after_in_child=_after_fork)
