"""What the threads of a stream did: seconds and bytes by field."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Meter:
    """Sums of seconds and bytes by name; each thread adds to sums of its own."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._all: list[tuple[dict[str, float], dict[str, int]]] = []

    def _mine(self) -> tuple[dict[str, float], dict[str, int]]:
        mine = getattr(self._local, "sums", None)
        if mine is None:
            mine = self._local.sums = ({}, {})
            self._all.append(mine)
        return mine

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Add the seconds of a block to `name`."""
        began = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - began)

    def add(self, name: str, seconds: float, size: int = 0) -> None:
        """Add seconds and bytes to `name`."""
        times, sizes = self._mine()
        times[name] = times.get(name, 0.0) + seconds
        sizes[name] = sizes.get(name, 0) + size

    def seconds(self) -> dict[str, float]:
        """Seconds by name, over all threads."""
        return _summed([times for times, _ in list(self._all)])

    def sizes(self) -> dict[str, int]:
        """Bytes by name, over all threads."""
        return {name: int(size) for name, size in _summed([sizes for _, sizes in list(self._all)]).items()}


def _summed(parts: list[dict]) -> dict:  # type: ignore[type-arg]
    total: dict = {}  # type: ignore[type-arg]
    for part in parts:
        for name, value in list(part.items()):
            total[name] = total.get(name, 0) + value
    return total
