"""Tars and indexes on an object store, read through a bounded cache folder of this machine."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..catalog import CATALOG
from ..entries import ShardEntry
from ..errors import FormatError
from ..loading.files import Piece, one_by_one
from .fetch import MOST_REQUEST, runs
from .folder import Tar
from .parts import CacheOptions, PerProcess

SHA256 = re.compile("[0-9a-f]{64}")
MOST_FORGOTTEN, TRIES = 1 << 16, 3


class CachedFiles:
    """Bytes of a remote data set's tars, and local paths of its indexes; for any number of threads.

    Connections, threads and open files are made when first needed, by each process anew: a copy that was pickled or
    forked works, and so does one that was closed.

    Args:
        url: of the data set's folder.
        folder: the cache folder; its parent must be there.
        options: how it works.
    """

    def __init__(self, url: str, folder: Path, options: CacheOptions | None = None) -> None:
        self.url, self.folder, self._options = url, folder, options or CacheOptions()
        self._process = PerProcess(url, folder, self._options)
        self._tars: dict[str, Tar] = {}
        self._forgotten: dict[tuple[str, int, int], int] = {}

    def catalog(self) -> tuple[Path, str]:
        """Local path of `dataset.json`, fetched anew, and its URL.

        Raises:
            FormatError: it cannot be fetched.
            UsageError: the cache folder cannot be written to, or no library knows such URLs.
        """
        parts = self._process.get()
        data = parts.remote.whole(CATALOG)
        sha256 = hashlib.sha256(data).hexdigest()
        path = parts.folder.whole(sha256, CATALOG) or parts.folder.keep(sha256, CATALOG, data)
        return path, f"{parts.remote.url}/{CATALOG}"

    def index(self, shard: ShardEntry) -> Path:
        """Local path of a shard's index, fetched where it is not there; good for an hour.

        Raises:
            FormatError: it cannot be fetched, or is not the one that the catalog means.
            UsageError: as `catalog`.
        """
        parts, name = self._process.get(), os.path.basename(shard.index)
        where = f"{parts.remote.url}/{shard.index}"
        _check_sha256(shard.index_sha256, where)
        path = parts.folder.whole(shard.index_sha256, name)
        if path is not None:
            return path
        data = parts.remote.whole(shard.index)
        if hashlib.sha256(data).hexdigest() != shard.index_sha256:
            raise FormatError(
                f"{where}: is not the index that {CATALOG} lists; if the data set was built again, open it again, "
                "else copy it there as a whole"
            )
        return parts.folder.keep(shard.index_sha256, name, data)

    def read(self, shard: ShardEntry, offset: int, out: memoryview) -> None:
        """Fill `out` (bytes) with the tar's bytes from `offset`.

        Raises:
            FormatError: the tar is missing or truncated.
            StoreError: the store cannot be reached or refuses; a FormatError, too.
        """
        parts, tar, end = self._process.get(), self._tar(shard), offset + len(out)
        if not 0 <= offset <= end <= tar.bytes:
            raise FormatError(f"{parts.remote.url}/{tar.name}: has no bytes {offset} to {end}, of {tar.bytes}")

        def copy(at: int, data: memoryview) -> None:
            begin, stop = max(at, offset), min(at + len(data), end)
            out[begin - offset : stop - offset] = data[begin - at : stop - at]

        def cached(number: int) -> bool:
            at, size = tar.span(number)
            begin, stop = max(at, offset), min(at + size, end)
            return parts.folder.read(tar, number, begin - at, out[begin - offset : stop - offset])

        numbers = tar.numbers(offset, len(out))
        missing = [number for number in numbers if not cached(number)]
        self._process.counters.add(bytes_read=len(out), hits=len(numbers) - len(missing), misses=len(missing))
        while missing:
            missing = [number for number in parts.fetcher.fetch(tar, missing, copy) if not cached(number)]

    def read_many(self, pieces: Sequence[Piece]) -> dict[int, FormatError]:
        """Fill many pieces; gives the errors of those that cannot be read, by their numbers."""
        return one_by_one(self, enumerate(pieces))

    def prefetch(self, shard: ShardEntry, spans: Sequence[tuple[int, int]]) -> None:
        """Fetch bytes (offset, size) that will be read soon, in the background; returns at once."""
        parts, tar = self._process.get(), self._tar(shard)
        inside = [(offset, size) for offset, size in spans if offset >= 0 and 0 < size <= tar.bytes - offset]
        numbers = {number for offset, size in inside for number in tar.numbers(offset, size)}
        for run in runs(sorted(numbers), MOST_REQUEST // tar.chunk):
            parts.prefetcher.submit(tar, run)

    @property
    def slow(self) -> bool:
        """False: what a batch needs was announced before."""
        return False

    def hint(self, shard: ShardEntry, offset: int, size: int) -> None:
        """Nothing."""

    def forget(self, shard: ShardEntry, offset: int, size: int) -> bool:
        """These bytes are damaged: drop the cached copies.

        Returns:
            Whether another read may give other bytes: the first few times. What is damaged in the store stays so.
        """
        parts, tar = self._process.get(), self._tar(shard)
        for number in tar.numbers(offset, size):
            parts.folder.drop(tar, number)
        if len(self._forgotten) >= MOST_FORGOTTEN:
            self._forgotten.clear()
        key = tar.sha256, offset, size
        self._forgotten[key] = self._forgotten.get(key, 0) + 1
        return self._forgotten[key] <= TRIES

    def counters(self) -> dict[str, int]:
        """Sums of this process; see `cache_counters.Counters`."""
        return self._process.counters.sums()

    def cancel(self) -> None:
        """End waits, before `close`: reads that wait for the store fail at once."""
        self._process.cancel()

    def close(self) -> None:
        """End threads and connections, close files. Whoever reads again has new ones."""
        self._process.close()

    def __reduce__(self) -> tuple[type["CachedFiles"], tuple[str, Path, CacheOptions]]:
        """A copy in another process makes its own connections."""
        return CachedFiles, (self.url, self.folder, self._options)

    def _tar(self, shard: ShardEntry) -> Tar:
        name = str(shard.tar)
        tar = self._tars.get(name)
        if tar is None or tar.sha256 != shard.sha256:
            _check_sha256(shard.sha256, f"{self._process.get().remote.url}/{name}")
            tar = self._tars[name] = Tar(name, shard.sha256, shard.bytes, self._options.chunk)
        return tar


def _check_sha256(text: str, where: str) -> None:
    """Refuse what would be another path in the cache folder: a catalog may come from a stranger."""
    if not SHA256.fullmatch(text):
        raise FormatError(f"{where}: {CATALOG} tells no sha256 of it ({text!r}); it cannot be cached")
