"""Optional fields of records that all lack them, in the shape and dtype that transforms give them elsewhere.

Transforms see what a record has. Where no record of a few has a field, nobody has changed it; but all batches are to be
alike, so a record that has the field is looked at once.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .picked import Arrays

PRESENT, OFFSETS, SHAPES = ".present", ".offsets", ".shapes"


@dataclass(frozen=True)
class Like:
    """What a field is like after the transforms: the shape of an element, its dtype, whether values are packed."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    packed: bool


class Blanks:
    """Gives fields that are lacking the shape of others.

    Args:
        candidates: items that may have a field, at best; a few of them are read.
        read: reads and transforms one item; None where it cannot be read.
    """

    def __init__(self, candidates: Callable[[str], Iterable[int]], read: Callable[[int], Arrays | None]) -> None:
        self._candidates, self._read = candidates, read
        self._known: dict[str, Like | None] = {}

    def fill(self, arrays: Arrays) -> None:
        """Replace the zeros of fields that no record has."""
        for mark in [name for name in arrays if name.endswith(PRESENT)]:
            name = mark.removesuffix(PRESENT)
            if name in arrays and not arrays[mark].any():
                like = self._like(name)
                if like is not None and not (like.packed or _is(like, name, arrays)):
                    arrays[name] = np.zeros((len(arrays[mark]), *like.shape), like.dtype)
                    arrays.pop(name + OFFSETS, None)
                    arrays.pop(name + SHAPES, None)

    def _like(self, name: str) -> Like | None:
        if name not in self._known:
            found = (_found(name, self._read(item)) for item in self._candidates(name))
            self._known[name] = next((like for like in found if like is not None), None)
        return self._known[name]


def _is(like: Like, name: str, arrays: Arrays) -> bool:
    value = arrays[name]  # a list where a field of any shape was to be brought to one
    alike = isinstance(value, np.ndarray) and (value.shape[1:], value.dtype) == (like.shape, like.dtype)
    return alike and name + OFFSETS not in arrays


def _found(name: str, arrays: Arrays | None) -> Like | None:
    if arrays is None or not arrays.get(name + PRESENT, np.zeros(1)).any():
        return None
    value = arrays[name]
    return Like(value.shape[1:], value.dtype, name + OFFSETS in arrays) if isinstance(value, np.ndarray) else None
