"""Numbers that several threads add to: what a cache did."""

import threading

NAMES = ("bytes_read", "bytes_fetched", "requests", "retries", "hits", "misses", "evicted", "uncached")


class Counters:
    """Sums by name.

    Names: `bytes_read` given to readers, `bytes_fetched` from the store by `requests` (attempts; `retries` of them
    further ones), `hits` and `misses` of reads on the cache in chunks, chunks `evicted` by this process, and chunks
    that the folder had no room for (`uncached`).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums = dict.fromkeys(NAMES, 0)

    def add(self, **numbers: int) -> None:
        """Add to some."""
        with self._lock:
            for name, number in numbers.items():
                self._sums[name] += number

    def sums(self) -> dict[str, int]:
        """All of them."""
        with self._lock:
            return dict(self._sums)
