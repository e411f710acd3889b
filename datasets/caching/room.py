"""How full a cache folder is, known to all processes that share it, and what goes when it is full."""

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

USAGE, EVICTING, PARTIAL = ".usage", ".evicting", ".partial"
HIGH, LOW = 0.95, 0.85  # of the limit: from where on files go, and until where
STALE = 3600.0  # seconds after which a half-written file has no writer any more, and an index no reader
REST = 1.0  # seconds until the next search where the last one found nothing that could go
OURS = re.compile(r"\d+-\d+|[A-Za-z0-9_.-]+\.(?:parquet|json|npz)")  # chunks, indexes, catalogs, assets
CHUNK_NAME = re.compile(r"/\d+-\d+$")
Stamped = tuple[int, int, str]  # nanoseconds of the last use, bytes, path


class Room:
    """Space in a cache folder, handed out so that all processes together stay within the limit.

    The sum of all files is kept in a small file; a lock on it is held for microseconds. Reserved space has a file in
    `.partial` from the start, so that whoever counts the files anew counts it, too: that sum is never too small. Only
    one process at a time looks for files to delete, and nobody waits for it.

    Args:
        root: the folder.
        limit: bytes that all files may have; those of indexes in use may exceed it.
        gone: called with the path of each file that was deleted.

    Raises:
        OSError: the folder cannot be written to.
    """

    def __init__(self, root: Path, limit: int, gone: Callable[[str], None]) -> None:
        self._root, self._limit, self._gone = str(root), limit, gone
        self._rest_until = 0.0
        os.makedirs(f"{self._root}/{PARTIAL}", exist_ok=True)
        if not os.path.exists(f"{self._root}/{USAGE}"):
            self.evict(limit)
        self.add(0)

    def reserve(self, size: int, must: bool = False) -> str | None:
        """Path of a new file in `.partial` to write into; None where there is no room.

        Args:
            size: bytes that it will have.
            must: also beyond the limit.

        Raises:
            OSError: the folder cannot be written to.
        """
        if size > self._limit and not must:
            return None
        if self.used() + size > HIGH * self._limit and time.monotonic() > self._rest_until:
            self.evict(max(0, int(LOW * self._limit) - size))
        path = f"{self._root}/{PARTIAL}/{os.urandom(12).hex()}"
        with self._sum() as handle:
            used = _load(handle)
            if used + size > self._limit and not must:
                return None
            with open(path, "xb") as stream:
                stream.truncate(size)
            _store(handle, used + size)
        return path

    def add(self, size: int) -> None:
        """Bytes that are there now (negative: not any more)."""
        with self._sum() as handle:
            _store(handle, _load(handle) + size)

    def used(self) -> int:
        """Bytes of all files, or somewhat more."""
        with self._sum() as handle:
            return _load(handle)

    def evict(self, target: int, *, wait: bool = False) -> None:
        """Delete what was not used for longest until `target` bytes are left.

        Args:
            target: bytes that may stay.
            wait: for another that is at it; else nothing is done then.
        """
        handle = os.open(f"{self._root}/{EVICTING}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            before = self.used()
            left = self._delete(target)
            with self._sum() as total:
                _store(total, left + _load(total) - before)
            self._rest_until = time.monotonic() + REST if left > target else 0.0
        except BlockingIOError:
            return
        finally:
            _unlock(handle)

    def _delete(self, target: int) -> int:
        """Bytes left. Half-written files are counted first: one that gets its name now is counted twice, not never."""
        now = time.time()
        left, files = 0, []
        for stamp, size, path in _files(f"{self._root}/{PARTIAL}", re.compile("[0-9a-f]+")):
            if now - stamp / 1e9 > STALE:
                _unlink(path)
            else:
                left += size
        for folder in self._folders():
            for entry in _files(folder, OURS):
                left += entry[1]
                if CHUNK_NAME.search(entry[2]) or now - entry[0] / 1e9 > STALE:
                    files.append(entry)
        for _, size, path in sorted(files):
            if left <= target:
                break
            if _unlink(path):
                left -= size
                self._gone(path)
                with suppress(OSError):  # others are in it
                    os.rmdir(os.path.dirname(path))
        return left

    def _folders(self) -> Iterator[str]:
        """Folders of contents; whatever else lies in the cache folder is not ours."""
        for above in _names(self._root, re.compile("[0-9a-f]{2}")):
            yield from _names(above, re.compile("[0-9a-f]{64}"))

    @contextmanager
    def _sum(self) -> Iterator[int]:
        """The file that holds the sum, locked; a lock of its own each time, so that threads and forks exclude too."""
        handle = os.open(f"{self._root}/{USAGE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield handle
        finally:
            _unlock(handle)


def _unlock(handle: int) -> None:
    """Let the lock go, then the file: a process that was forked meanwhile has the file open, and with it the lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        os.close(handle)


def _load(handle: int) -> int:
    return int.from_bytes(os.pread(handle, 8, 0), "little")


def _store(handle: int, number: int) -> None:
    os.pwrite(handle, max(0, number).to_bytes(8, "little"), 0)


def _names(folder: str, pattern: re.Pattern[str]) -> Iterator[str]:
    with suppress(FileNotFoundError, NotADirectoryError):  # another process deleted it
        yield from (f"{folder}/{name}" for name in os.listdir(folder) if pattern.fullmatch(name))


def _files(folder: str, pattern: re.Pattern[str]) -> Iterator[Stamped]:
    """Stamps and sizes of the files whose names fit."""
    for path in _names(folder, pattern):
        with suppress(FileNotFoundError):  # another process deleted it
            state = os.stat(path)
            yield state.st_mtime_ns, state.st_size, path


def _unlink(path: str) -> bool:
    """Whether it was this call that deleted the file."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
