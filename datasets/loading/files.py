"""Where the bytes of a data set come from: the interface, and files of this machine."""

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from ..entries import ShardEntry
from ..errors import FormatError, StoreError
from .baton import ASIDE
from .handles import Handle, Handles

Spans = Sequence[tuple[int, int]]
Piece = tuple[ShardEntry, int, memoryview]  # a tar, an offset in it, and the place for the bytes from there on
NOWAIT = getattr(os, "RWF_NOWAIT", 0)  # Linux only
WILL_NEED = getattr(os, "POSIX_FADV_WILLNEED", None)  # not on macOS and Windows
HINTS = 1000  # that follow a read which had to wait


class Files(Protocol):
    """Bytes of tars and paths of indexes, for any number of threads at once."""

    def index(self, shard: ShardEntry) -> Path:
        """Local path of a shard's index."""
        ...

    def read(self, shard: ShardEntry, offset: int, out: memoryview) -> None:
        """Fill `out` with the tar's bytes from `offset`.

        Raises:
            FormatError: the tar is missing or too short, or cannot be read; the message names it.
        """
        ...

    def read_many(self, pieces: Sequence[Piece]) -> dict[int, FormatError]:
        """Fill many pieces; gives the errors of those that cannot be read, by their numbers.

        A store that is down is the last error: what would follow it is not read.
        """
        ...

    def prefetch(self, shard: ShardEntry, spans: Spans) -> None:
        """Bytes (offset, size) that will be read soon; returns at once."""
        ...

    @property
    def slow(self) -> bool:
        """Whether hints are of use."""
        ...

    def hint(self, shard: ShardEntry, offset: int, size: int) -> None:
        """The same of bytes that are about to be read one piece after the other: a disk may begin with all of them."""
        ...

    def forget(self, shard: ShardEntry, offset: int, size: int) -> bool:
        """These bytes are damaged: drop what is cached of them. True where another read may give other bytes."""
        ...

    def counters(self) -> dict[str, int]:
        """Numbers of bytes, requests, hits, misses."""
        ...

    def cancel(self) -> None:
        """End waits, before `close`: reads that wait for a store fail."""
        ...

    def close(self) -> None:
        """Release files and threads."""
        ...


class LocalFiles:
    """Tars and indexes in folders of this machine. A read puts the thread's baton aside only where it must wait.

    Args:
        root: folder of the tars.
        indexes: folder of the indexes, where that is another.
    """

    def __init__(self, root: Path, indexes: Path | None = None) -> None:
        self.root, self.indexes = root, indexes or root
        self._handles = Handles()
        self._paths: dict[str | None, str] = {}
        self._waits = 0

    def index(self, shard: ShardEntry) -> Path:
        """Path of a shard's index."""
        return self.indexes / shard.index

    def read(self, shard: ShardEntry, offset: int, out: memoryview) -> None:
        """Fill `out`; straight from the page cache, with one copy."""
        try:
            handle = self._handles.get(self._paths.get(shard.tar) or self._path(shard))
            if handle.size != shard.bytes:
                self._refuse(shard, handle)
            found = _cached(handle.fd, out, offset)
            if found < len(out):
                self._waits = HINTS
                with ASIDE:  # for a disk
                    found = _all(handle.fd, out, offset, found)
        except OSError as error:
            raise FormatError(f"{self.root / str(shard.tar)}: cannot be read ({error}){self._hint()}") from error
        if found != len(out):
            end = f"ends before byte {offset + len(out)}, where a field should be"
            raise FormatError(f"{self.root / str(shard.tar)}: {end}{self._hint()}")

    def read_many(self, pieces: Sequence[Piece]) -> dict[int, FormatError]:
        """Fill many pieces, most of them small: what goes without trouble takes one call of the system each."""
        left = []
        opened, paths, preadv = self._handles.opened, self._paths, os.preadv
        for number, (shard, offset, out) in enumerate(pieces) if NOWAIT else ():
            handle = opened.get(paths.get(shard.tar, ""))
            if handle is not None and handle.size == shard.bytes:
                try:
                    if preadv(handle.fd, (out,), offset, NOWAIT) == len(out):
                        continue
                except OSError:  # told, or overcome, by the read that follows
                    pass
            left.append((number, (shard, offset, out)))
        return one_by_one(self, left if NOWAIT else enumerate(pieces))

    def _path(self, shard: ShardEntry) -> str:
        path = self._paths[shard.tar] = os.path.join(self.root, str(shard.tar))
        return path

    def _refuse(self, shard: ShardEntry, handle: Handle) -> None:
        self._handles.drop(self._path(shard))
        if not stat.S_ISREG(os.fstat(handle.fd).st_mode):
            raise FormatError(f"{self._path(shard)}: not a regular file; refused")
        sizes = f"{handle.size} bytes, its index says {shard.bytes}"
        raise FormatError(f"{self._path(shard)}: {sizes}; truncated or of another build{self._hint()}")

    def _hint(self) -> str:
        return f"; run `tessera verify {self.root}`"

    def prefetch(self, shard: ShardEntry, spans: Spans) -> None:
        """Nothing: the operating system reads ahead, and threads wait for the disk beside each other."""

    @property
    def slow(self) -> bool:
        """Whether reads had to wait for the disk lately."""
        return self._waits > 0

    def hint(self, shard: ShardEntry, offset: int, size: int) -> None:
        """Let the system begin to read."""
        if self._waits > 0 and size > 0 and WILL_NEED is not None:  # 0 bytes would be all to the file's end
            self._waits -= 1
            handle = self._handles.opened.get(self._paths.get(shard.tar, ""))
            if handle is not None:
                os.posix_fadvise(handle.fd, offset, size, WILL_NEED)

    def forget(self, shard: ShardEntry, offset: int, size: int) -> bool:
        """False: there is no other copy."""
        return False

    def counters(self) -> dict[str, int]:
        """None beside those of the stream."""
        return {}

    def cancel(self) -> None:
        """Nothing waits for long here."""

    def close(self) -> None:
        """Close the files."""
        self._handles.close()

    def __reduce__(self) -> tuple[type["LocalFiles"], tuple[Path, Path]]:
        """A copy in another process opens its own files."""
        return LocalFiles, (self.root, self.indexes)


def one_by_one(files: Files, pieces: Iterable[tuple[int, Piece]]) -> dict[int, FormatError]:
    """Fill pieces by `files.read`; gives the errors of those that cannot be read, by their numbers."""
    wrong: dict[int, FormatError] = {}
    for number, (shard, offset, out) in pieces:
        try:
            files.read(shard, offset, out)
        except StoreError as error:  # it was waited for long enough: once is enough for all of them
            return wrong | {number: error}
        except FormatError as error:
            wrong[number] = error
    return wrong


def _cached(fd: int, out: memoryview, offset: int) -> int:
    """Read what lies in the page cache already, without a wait; returns the bytes, 0 where that is not known."""
    if not NOWAIT:
        return 0
    try:
        return os.preadv(fd, (out,), offset, NOWAIT)
    except OSError:  # not there, or a file system that cannot tell: what is wrong is told by the read that waits
        return 0


def _all(fd: int, out: memoryview, offset: int, found: int) -> int:
    """Read the rest of `out`, of which `found` bytes are there; returns all bytes that the file has."""
    while found < len(out):
        more = os.preadv(fd, (out[found:],), offset + found)
        if not more:
            break
        found += more
    return found
