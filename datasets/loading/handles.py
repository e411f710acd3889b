"""Open files, a bounded number of them, read at any offset by any thread."""

import errno
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

FEWEST, MOST = 4, 4096
NO_MORE = (errno.EMFILE, errno.ENFILE)


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


_ALL: list["weakref.ref[Handles]"] = []


class Handles:
    """The files opened last; all of these together keep at most a quarter of what the process may open.

    Reads by `pread` share a file between threads, and with forked processes, without a position in it. Nothing is
    mapped into memory: a file that shrinks under a map kills the process.
    """

    def __init__(self, most: int | None = None) -> None:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if resource else 512
        self._together = min(max(soft // 4, FEWEST), MOST)
        self._most = self._together if most is None else most
        self._open: OrderedDict[str, Handle] = OrderedDict()
        self._lock = threading.Lock()
        _ALL[:] = [x for x in _ALL if x() is not None] + [weakref.ref(self)]

    @property
    def opened(self) -> Mapping[str, Handle]:
        """The files that are open now, by path; whoever reads one holds its object meanwhile."""
        return self._open

    def get(self, path: str) -> Handle:
        """The file at `path`, opened where it is not.

        Raises:
            OSError: it cannot be opened.
        """
        handle = self._open.get(path)
        if handle is not None:
            return handle
        try:
            handle = Handle(path)
        except OSError as error:
            if error.errno not in NO_MORE:
                raise
            self.close()  # others of this process took the rest; ours are opened again when they are wanted
            handle = Handle(path)
        with self._lock:
            self._open[path] = handle
            while len(self._open) > self._most:
                self._open.popitem(last=False)
        everyone = [x for x in (known() for known in tuple(_ALL)) if x is not None]
        while sum(len(x._open) for x in everyone) > self._together:
            max(everyone, key=lambda x: len(x._open))._drop_oldest()
        return handle

    def _drop_oldest(self) -> None:
        with self._lock:
            if self._open:
                self._open.popitem(last=False)

    def drop(self, path: str) -> None:
        """Forget a file; the next `get` opens it anew."""
        with self._lock:
            self._open.pop(path, None)

    def close(self) -> None:
        """Forget all files."""
        with self._lock:
            self._open.clear()
