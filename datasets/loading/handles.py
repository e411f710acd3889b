"""Open files, a bounded number of them, read at any offset by any thread."""

import os
import threading
from collections import OrderedDict
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

FEWEST, MOST = 64, 4096


class Handle:
    """One open file; it is closed when nobody holds the object any more, so never under a reader."""

    __slots__ = ("fd", "size")

    def __init__(self, path: str | Path) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe in a tar's place does not hang
        self.size = os.fstat(self.fd).st_size

    def __del__(self) -> None:
        """Close the file."""
        if self.fd >= 0:
            os.close(self.fd)


class Handles:
    """The files opened last; more than a quarter of what the process may open are never kept.

    Reads by `pread` share a file between threads, and with forked processes, without a position in it. Nothing is
    mapped into memory: a file that shrinks under a map kills the process.
    """

    def __init__(self, most: int | None = None) -> None:
        if most is None:
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else 512
            most = min(max(soft // 4, FEWEST), MOST)
        self._most = most
        self._open: OrderedDict[str, Handle] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> Handle:
        """The file at `path`, opened where it is not.

        Raises:
            OSError: it cannot be opened.
        """
        handle = self._open.get(path)
        if handle is not None:
            return handle
        handle = Handle(path)
        with self._lock:
            self._open[path] = handle
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        return handle

    def drop(self, path: str) -> None:
        """Forget a file; the next `get` opens it anew."""
        with self._lock:
            self._open.pop(path, None)

    def close(self) -> None:
        """Forget all files."""
        with self._lock:
            self._open.clear()
