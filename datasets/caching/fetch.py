"""Chunks fetched from a store, each by one thread; who else wants it waits for that."""

import threading
from collections.abc import Callable, Iterable, Iterator

from ..errors import FormatError
from .folder import CacheFolder, Tar
from .remote import Remote

MOST_REQUEST = 16 << 20  # bytes of one request
Sink = Callable[[int, memoryview], None]  # (offset in the tar, bytes from there on)


class Flight:
    """Adjacent chunks on their way: when `landed`, `data` are theirs, or `error` says why there are none."""

    def __init__(self, tar: Tar, run: range) -> None:
        self.tar, self.run = tar, run
        self.offset = tar.span(run[0])[0]
        self.size = sum(tar.span(run[-1])) - self.offset
        self.landed = threading.Event()
        self.data = memoryview(b"")
        self.error: BaseException | None = None

    def chunk(self, number: int) -> memoryview:
        """Bytes of one chunk."""
        offset, size = self.tar.span(number)
        return self.data[offset - self.offset : offset - self.offset + size]


class Fetcher:
    """Fetches chunks and keeps them; no chunk is on its way twice in one process.

    Args:
        remote: where they come from.
        folder: where they are kept.
    """

    def __init__(self, remote: Remote, folder: CacheFolder) -> None:
        self._remote, self._folder = remote, folder
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, int], Flight] = {}

    def fetch(self, tar: Tar, numbers: Iterable[int], sink: Sink) -> list[int]:
        """Give the bytes of chunks that the folder lacks to `sink`.

        Returns:
            Chunks that the folder has after all; they were not given.

        Raises:
            FormatError: as `Remote.read`.
        """
        own, others, back = self._claim(tar, numbers)
        self._fly(own, sink)
        for number, flight in others:  # waited for last: who waits has nothing left that others wait for
            flight.landed.wait()
            if flight.error is not None:
                raise (
                    type(flight.error)(*flight.error.args)
                    if isinstance(flight.error, FormatError)
                    else FormatError(
                        f"{self._remote.url}/{tar.name}: fetching it was broken off ({flight.error!r}); try again"
                    )
                )
            sink(tar.span(number)[0], flight.chunk(number))
        return back

    def warm(self, tar: Tar, numbers: Iterable[int]) -> None:
        """Fetch chunks that nobody has or fetches yet, where the folder keeps them.

        Raises:
            FormatError: as `Remote.read`.
        """
        if not self._folder.full:
            self._fly(self._claim(tar, numbers)[0], lambda offset, data: None)

    def _claim(self, tar: Tar, numbers: Iterable[int]) -> tuple[list[Flight], list[tuple[int, Flight]], list[int]]:
        """New flights of the caller's, (chunk, flight) of other threads', and chunks that have landed meanwhile."""
        with self._lock:
            wanted = list(numbers)
            others = [(n, self._flights[tar.sha256, n]) for n in wanted if (tar.sha256, n) in self._flights]
            new = [n for n in wanted if (tar.sha256, n) not in self._flights]
            back = [n for n in new if self._folder.has(tar, n)]
            own = [Flight(tar, run) for run in runs(sorted({*new} - {*back}), max(1, MOST_REQUEST // tar.chunk))]
            self._flights |= {(tar.sha256, n): flight for flight in own for n in flight.run}
        return own, others, back

    def _fly(self, flights: list[Flight], sink: Sink) -> None:
        """Fetch, give, keep; every flight lands, whatever happens."""
        try:
            for flight in flights:
                flight.data = memoryview(self._remote.read(flight.tar.name, flight.offset, flight.size))
                sink(flight.offset, flight.data)
                for number in flight.run:
                    self._folder.put(flight.tar, number, flight.chunk(number))
                self._land(flight)
        except BaseException as error:
            for flight in flights:
                if not flight.landed.is_set():
                    flight.error = error
                    self._land(flight)
            raise

    def _land(self, flight: Flight) -> None:
        with self._lock:
            for number in flight.run:
                del self._flights[flight.tar.sha256, number]
        flight.landed.set()


def runs(numbers: list[int], most: int) -> Iterator[range]:
    """Ascending numbers as runs of adjacent ones, each of `most` at most."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1 or at - start == most:
            yield range(numbers[start], numbers[at - 1] + 1)
            start = at
