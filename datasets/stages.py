"""Seconds by stage: read, each label, encode, write."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stages(dict[str, float]):
    """Seconds by stage name; `with stages("read"): ...` adds to one."""

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time spent inside to `name`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.perf_counter() - start

    def merge(self, other: dict[str, float]) -> None:
        """Add another's seconds."""
        for name, seconds in other.items():
            self[name] = self.get(name, 0.0) + seconds
