"""Generators of the records of a batch, and what is drawn from them before anything is decoded."""

import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.random import Generator, Philox

from ..errors import SchemaError
from ..transforms.random_crop import Window

_ZEROS = np.zeros(4, np.uint64)
_THREAD = threading.local()  # generators that wait to be used again: to make one takes eight times as long as to set it


class Crops(Protocol):
    """A transform that cuts a window from pictures."""

    random: bool

    def window(self, height: int, width: int, rng: Generator | None) -> Window:
        """The window of a picture of this size."""
        ...


class Chance:
    """What a thread draws for some records.

    Args:
        keys: (n,) of 64 bits, one a record.
        windows: the first transform, where it cuts pictures that need not be decoded whole.
    """

    def __init__(self, keys: Sequence[int], windows: Crops | None = None) -> None:
        self._keys, self._windows = keys, windows
        self._made: dict[int, Generator] = {}
        self.drawn: dict[int, Window] = {}

    def generator(self, number: int) -> Generator:
        """The generator of a record: Philox with its key, where it was left."""
        generator = self._made.get(number)
        if generator is None:
            kept = _kept()
            generator = self._made[number] = kept.pop() if kept else Generator(Philox(key=0))
            _set(generator, self._keys[number])
        return generator

    def close(self) -> None:
        """Give the generators back: others may set them."""
        _kept().extend(self._made.values())
        self._made = {}

    def window(self, number: int, height: int, width: int) -> tuple[int, int, int, int] | None:
        """The part of a record's pictures that its first transform keeps, drawn once.

        Returns:
            First row, first column, rows, columns; None where there is no window (pictures are too small, or differ in
            size), of which the transform tells when it gets the record.
        """
        assert self._windows is not None
        found = self.drawn.get(number)
        if found is None:
            rng = self.generator(number) if self._windows.random else None
            try:
                found = self.drawn[number] = self._windows.window(height, width, rng)
            except SchemaError:
                return None
        if (found.of_height, found.of_width) != (height, width):
            return None
        return found.y, found.x, found.height, found.width


def _kept() -> list[Generator]:
    kept: list[Generator] = _THREAD.__dict__.setdefault("kept", [])
    return kept


def _set(generator: Generator, key: int) -> None:
    """Make a generator as good as a new one with this key."""
    state: dict[str, Any] = {"counter": _ZEROS, "key": np.array([key, 0], np.uint64)}
    generator.bit_generator.state = {
        "bit_generator": "Philox", "state": state, "buffer": _ZEROS, "buffer_pos": 4, "has_uint32": 0, "uinteger": 0,
    }  # fmt: skip
