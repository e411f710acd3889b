"""Where the bytes of a data set come from: the interface, and files of this machine."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ..entries import ShardEntry
from ..errors import FormatError
from .handles import Handle, Handles

Spans = Sequence[tuple[int, int]]


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

    def prefetch(self, shard: ShardEntry, spans: Spans) -> None:
        """Bytes (offset, size) that will be read soon; returns at once."""
        ...

    def forget(self, shard: ShardEntry, offset: int, size: int) -> bool:
        """These bytes are damaged: drop what is cached of them. True where another read may give other bytes."""
        ...

    def counters(self) -> dict[str, int]:
        """Numbers of bytes, requests, hits, misses."""
        ...

    def close(self) -> None:
        """Release files and threads."""
        ...


class LocalFiles:
    """Tars and indexes in folders of this machine.

    Args:
        root: folder of the tars.
        indexes: folder of the indexes, where that is another.
    """

    def __init__(self, root: Path, indexes: Path | None = None) -> None:
        self.root, self.indexes = root, indexes or root
        self._handles = Handles()
        self._paths: dict[str, str] = {}

    def index(self, shard: ShardEntry) -> Path:
        """Path of a shard's index."""
        return self.indexes / shard.index

    def read(self, shard: ShardEntry, offset: int, out: memoryview) -> None:
        """Fill `out`; straight from the page cache, with one copy."""
        try:
            handle = self._handles.get(self._path(shard))
            if handle.size != shard.bytes:
                self._refuse(shard, handle)
            found = os.preadv(handle.fd, (out,), offset)
            while 0 < found < len(out):  # a signal, or a file system that gives less
                more = os.preadv(handle.fd, (out[found:],), offset + found)
                found = found + more if more else -1
        except OSError as error:
            raise FormatError(f"{self.root / str(shard.tar)}: cannot be read ({error}){self._hint()}") from error
        if found != len(out):
            end = f"ends before byte {offset + len(out)}, where a field should be"
            raise FormatError(f"{self.root / str(shard.tar)}: {end}{self._hint()}")

    def _path(self, shard: ShardEntry) -> str:
        tar = str(shard.tar)
        path = self._paths.get(tar)
        if path is None:
            path = self._paths[tar] = os.path.join(self.root, tar)
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

    def forget(self, shard: ShardEntry, offset: int, size: int) -> bool:
        """False: there is no other copy."""
        return False

    def counters(self) -> dict[str, int]:
        """None beside those of the stream."""
        return {}

    def close(self) -> None:
        """Close the files."""
        self._handles.close()

    def __reduce__(self) -> tuple[type["LocalFiles"], tuple[Path, Path]]:
        """A copy in another process opens its own files."""
        return LocalFiles, (self.root, self.indexes)
