"""How the arrays of a batch belong to its records, where some give several rows and some none.

A batch's array has one row a record; or it is packed: `X.offsets` says where each record's part of `X` begins and ends.
Behind a list of references, `R.offsets` says which rows of all arrays `R.*` belong to which record.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .buffers import Memory

LIST = "a list"
Parts = list[tuple[list[int], dict[str, Any]]]
OFFSETS = ".offsets"
COMPANIONS = (".present", ".shapes", OFFSETS)


def companion_of(name: str, arrays: dict[str, Any]) -> str | None:
    """The name that an array tells something of: `image` for `image.present`; None where it is one of its own."""
    for suffix in COMPANIONS:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return None


def row_bounds(arrays: dict[str, Any], name: str, records: int) -> NDArray[np.int64] | None:
    """(records + 1,) which rows of an array belong to each record of the batch; None where row i is record i's.

    Rows of `X.offsets` stand for the lengths between them. Of a list, such as the keys of a list of references, each
    row is one value.
    """
    base = companion_of(name, arrays)
    bounds: NDArray[np.int64] | None = None
    above = _above(name if base is None else base)
    itself = [name] if base is None and not isinstance(arrays[name], list) else []
    for owner in [*above, *itself]:
        offsets = arrays.get(owner + OFFSETS)
        if offsets is not None:
            bounds = offsets if bounds is None else offsets[bounds]
    return bounds


def behind_list(arrays: dict[str, Any], name: str) -> bool:
    """Whether a field is one of the records that a list of references names."""
    return any(owner + OFFSETS in arrays for owner in _above(name))


def _above(name: str) -> list[str]:
    """The references that a path goes over."""
    path = name.split(".")
    return [".".join(path[:depth]) for depth in range(1, len(path))]


def merged(parts: Parts, records: int, memory: Memory | None = None) -> dict[str, Any]:
    """One batch of several parts' records.

    Args:
        parts: (slots, arrays): which records of the batch each part gives, and its arrays; all have the same names.
        records: of the batch.
        memory: where large arrays come from; fresh memory by default.

    Returns:
        The arrays of the batch, rows in the order of the slots.

    Raises:
        ValueError: arrays differ in dtype or shape; the arguments are the name and the two.
    """
    if len(parts) == 1 and parts[0][0] == list(range(records)):
        return parts[0][1]
    return {name: _merge(name, parts, records, memory) for name in parts[0][1]}


def _merge(name: str, parts: Parts, records: int, memory: Memory | None) -> Any:
    first = _kind(parts[0][1][name])
    lengths = name.endswith(OFFSETS)
    found: list[Any] = [()] * records
    for slots, arrays in parts:
        array, bounds = arrays[name], row_bounds(arrays, name, len(slots))
        if _kind(array) != first:
            raise ValueError(name, first, _kind(array))
        array = np.diff(array) if lengths else array
        for number, slot in enumerate(slots):
            low, high = (number, number + 1) if bounds is None else bounds[number : number + 2]
            found[slot] = array[low:high]
    if first == LIST:
        return [value for piece in found for value in piece]
    rows = sum(map(len, found))
    whole = None if memory is None or lengths else memory.array((rows, *found[0].shape[1:]), found[0].dtype)
    whole = np.concatenate(found, out=whole)
    return np.concatenate([[0], np.cumsum(whole)]) if lengths else whole


def _kind(array: Any) -> str:
    """What rows must have in common to stand behind each other."""
    return LIST if isinstance(array, list) else f"{array.dtype} {array.shape[1:]}"
