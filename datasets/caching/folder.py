"""Files of a cache folder: chunks of tars named by the tar's sha256, and whole small files."""

import errno
import hashlib
import os
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..loading.handles import Handles
from .counters import Counters
from .room import Room

STAMP = 20.0  # seconds in which uses of a chunk are one use: fewer writes, and a coarser order of eviction
OPEN = 256  # open files: what another process evicts stays on the disk while it is open here
MOST_STAMPS = 1 << 14
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Tar:
    """A tar in chunks: its path in the data set, the sha256 that names its chunks, its bytes and those of a chunk."""

    name: str
    sha256: str
    bytes: int
    chunk: int

    def span(self, number: int) -> tuple[int, int]:
        """(offset, size) of a chunk."""
        offset = number * self.chunk
        return offset, min(self.chunk, self.bytes - offset)

    def numbers(self, offset: int, size: int) -> range:
        """Chunks that hold these bytes."""
        return range(offset // self.chunk, -(-(offset + size) // self.chunk)) if size else range(0)

    def relative(self, number: int) -> str:
        """Path of a chunk in the cache folder; the size in it keeps folders of several chunk sizes apart."""
        offset, size = self.span(number)
        return f"{self.sha256[:2]}/{self.sha256}/{offset}-{size}"


class CacheFolder:
    """A cache folder, as one process uses it; others may use it at the same time.

    A file that is not as it should be, or vanishes, is one that is not there. What cannot be written is not kept.

    Args:
        root: the folder, which must be there.
        limit: bytes that its files may have.
        counters: where `evicted` and `uncached` are added.

    Raises:
        UsageError: it cannot be written to.
    """

    def __init__(self, root: Path, limit: int, counters: Counters) -> None:
        self.root, self.full = root, False  # full: what was last to be kept could not be
        self._base, self._counters, self._warned = str(root), counters, False
        self._handles, self._stamps = Handles(OPEN), dict[str, float]()
        try:
            root.mkdir(exist_ok=True)
            self._room = Room(root, limit, self._gone)
        except OSError as error:
            raise UsageError(f"cache_dir {root}: {error.strerror}; name a folder that can be written to") from error

    def read(self, tar: Tar, number: int, skip: int, out: memoryview) -> bool:
        """Fill `out` with a chunk's bytes from its byte `skip` on; False where the chunk is not there."""
        path = f"{self._base}/{tar.relative(number)}"
        try:
            handle = self._handles.get(path)
            if handle.size == tar.span(number)[1]:
                self._stamp(path, handle.fd)
                if os.preadv(handle.fd, (out,), skip) == len(out):
                    return True
        except OSError:  # most often: no such file; whatever it is, the store still has the bytes
            return False
        self._discard(path)
        return False

    def has(self, tar: Tar, number: int) -> bool:
        """Whether a chunk is there as a whole."""
        try:
            return os.stat(f"{self._base}/{tar.relative(number)}").st_size == tar.span(number)[1]
        except OSError:
            return False

    def put(self, tar: Tar, number: int, data: memoryview) -> None:
        """Keep a chunk, where there is room."""
        try:
            kept = self._write(tar.relative(number), data, must=False)
        except OSError as error:
            kept = False
            if not self._warned:
                self._warned = True
                warnings.warn(f"cache_dir {self.root}: {error.strerror}; reading on without keeping", stacklevel=2)
        self.full = not kept
        if not kept:
            self._counters.add(uncached=1)

    def drop(self, tar: Tar, number: int) -> None:
        """Delete a chunk that is damaged."""
        self._discard(f"{self._base}/{tar.relative(number)}")

    def whole(self, sha256: str, name: str) -> Path | None:
        """Path of a small file of this content, checked; None where it is not there. It stays for an hour at least."""
        path = self.root / sha256[:2] / sha256 / name
        try:
            os.utime(path)
            if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                return path
        except OSError:  # most often: no such file
            return None
        self._discard(str(path))
        return None

    def keep(self, sha256: str, name: str, data: bytes) -> Path:
        """Keep a small file whatever room there is; its path. Where the disk is full, chunks make room for it.

        Raises:
            UsageError: the disk is full of other things, or the folder cannot be written to any more.
        """
        relative = f"{sha256[:2]}/{sha256}/{name}"
        for left in (0.9, 0.5, 0.0, None):  # of what is there
            try:
                self._write(relative, memoryview(data), must=True)
                break
            except OSError as error:
                if left is None or error.errno not in FULL:
                    hint = "it must hold the indexes, make room"
                    raise UsageError(f"cache_dir {self.root}: {error.strerror}; {hint}") from error
            self._room.evict(int(left * self._room.used()), wait=True)
        return self.root / relative

    def close(self) -> None:
        """Close the files; without a lock, which a fork may have left held."""
        self._handles = Handles(OPEN)

    def _write(self, relative: str, data: memoryview, must: bool) -> bool:
        """Write under another name, then rename: whole or not at all."""
        temporary, final = self._room.reserve(len(data), must), f"{self._base}/{relative}"
        if temporary is None:
            return False
        try:
            with open(temporary, "r+b", buffering=0) as stream:
                written = 0
                while written < len(data):
                    written += stream.write(data[written:]) or 0
            os.makedirs(os.path.dirname(final), exist_ok=True)
            os.replace(temporary, final)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            self._room.add(-len(data))
            raise
        return True

    def _stamp(self, path: str, handle: int) -> None:
        """Note that a chunk is in use; let go of one that was deleted."""
        now = time.monotonic()
        if now - self._stamps.get(path, -STAMP) < STAMP:
            return
        if len(self._stamps) >= MOST_STAMPS:
            self._stamps.clear()
        self._stamps[path] = now
        if not os.fstat(handle).st_nlink:
            self._handles.drop(path)
            return
        with suppress(PermissionError):  # a file of another user's
            os.utime(handle)

    def _discard(self, path: str) -> None:
        self._forget(path)
        with suppress(OSError):  # another was faster, or it cannot be: what is read next replaces it
            size = os.stat(path).st_size
            os.unlink(path)
            self._room.add(-size)

    def _gone(self, path: str) -> None:
        self._forget(path)
        self._counters.add(evicted=1)

    def _forget(self, path: str) -> None:
        self._handles.drop(path)
        self._stamps.pop(path, None)
