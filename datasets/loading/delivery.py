"""One field of a batch's records, as the array or the packed arrays that a user sees."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codecs import LARGE
from ..errors import FormatError
from ..regular import LARGEST
from .buffers import Memory
from .cuts import Spans, Window
from .faults import Faults
from .fields import FieldReader, PictureWindow
from .picked import Arrays, Picked, where
from .rows import Spot


def deliver(
    field: FieldReader,
    name: str,
    spots: Sequence[Spot],
    picked: Picked,
    cut: list[Spans | None] | None,
    tools: tuple[Memory, Faults],
    out: Arrays,
    *,
    optional: bool,
) -> int:
    """One field of all records into the arrays of a batch.

    Args:
        field: reads it.
        name: what it is called in the batch.
        spots: the records.
        picked: where they go.
        cut: for each record, its part along the first axis; None for all of it.
        tools: where large arrays come from, and what gets the records that fail.
        out: gets the array, and what tells of it (`.present`, `.offsets`, `.shapes`).
        optional: whether records may lack it.

    Returns:
        Bytes that were read.

    Raises:
        FormatError: the batch would take memory that no data stand for.
    """
    (buffers, faults), at = tools, picked.at
    there = field.there(spots)
    if optional:  # whatever this batch holds: all batches have the same names
        present = np.zeros(picked.total, bool)
        present[[at[i] for i in there]] = True
        out[f"{name}.present"] = present
    elif len(there) < len(spots):
        for spot in (spot for spot in spots if not field.present(spot)):
            faults.add(spot.slot, FormatError(f"{where(spot)} lacks field {name}"))
        return 0
    if field.listed:
        out[name] = [None] * picked.total
        for place, value in zip(at, field.values(spots, faults), strict=True):
            out[name][place] = value
        return sum(spots[i].rows.places[field.entry.name].size.item(spots[i].row) for i in there)
    empty = [i for i in there if cut is not None and cut[i] is None]
    if empty:
        for spot in (spots[i] for i in empty):
            faults.add(spot.slot, FormatError(f"{where(spot)}: its pool {name!r} is empty"))
        return 0
    chosen = spots if len(there) == len(spots) else [spots[i] for i in there]
    if _refused(field, chosen, name, picked.total, faults):
        return 0
    pieces = None if cut is None else [cut[i] or [] for i in there]
    places = [at[i] for i in there]
    windows = None
    if field.windowed and picked.chance is not None:
        windows = [picked.chance.window(spot.slot, *field.shape(spot)[:2]) for spot in chosen]
    if field.free and (cut is None or field.free != field.entry.shape[:1]):
        return _packed(field, name, chosen, places, picked.total, (pieces, windows), tools, out)
    shape = (field.cut.count, *field.sides[1:]) if field.cut else field.sides
    array = buffers.array((picked.total, *shape), field.dtype)
    if len(there) < picked.total:
        array[sorted(set(range(picked.total)).difference(places))] = 0
    out[name] = array
    each = array[0].size if len(array) else 0
    size = field.fill(chosen, array.reshape(-1), [place * each for place in places], pieces, faults, windows)
    if isinstance(field.cut, Window) and pieces:
        _extend(array, places, [piece[0][1] for piece in pieces])
    return size


def _refused(field: FieldReader, spots: Sequence[Spot], name: str, total: int, faults: Faults) -> bool:
    """Whether there are records whose shape is that of no such bytes: an index may say anything."""
    size = total * prod(field.sides) * field.dtype.itemsize
    if not field.free and size <= LARGE:  # seen when they are read
        return False
    found = [(spot.slot, error) for spot in spots if (error := field.refused(spot)) is not None]
    for slot, error in found:
        faults.add(slot, error)
    if not spots and total and size // total > LARGEST:
        raise FormatError(f"field {name} of {size // total} bytes, which no record has; refused")
    return bool(found)


def _packed(
    field: FieldReader,
    name: str,
    spots: Sequence[Spot],
    places: Sequence[int],
    total: int,
    parts: tuple[Sequence[Spans] | None, Sequence[PictureWindow | None] | None],
    tools: tuple[Memory, Faults],
    out: Arrays,
) -> int:
    """A field whose size differs from record to record: values one behind the other, and offsets."""
    (buffers, faults), (pieces, windows) = tools, parts
    shapes = np.zeros((total, len(field.sides)), np.int64)
    for place, spot in zip(places, spots, strict=True):
        shapes[place] = field.shape(spot)
    if pieces is not None:
        shapes[list(places), 0] = [sum(count for _, count in piece) for piece in pieces]
    rowed = field.free == (str(field.entry.shape[0]),) and field.entry.shape.count(field.free[0]) == 1
    lengths = shapes[:, 0] if rowed else shapes.prod(1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    array = buffers.array((int(offsets[-1]), *(field.sides[1:] if rowed else ())), field.dtype)
    each = int(np.prod(field.sides[1:])) if rowed else 1
    out |= {name: array, f"{name}.offsets": offsets}
    if not rowed:
        out[f"{name}.shapes"] = shapes
    return field.fill(spots, array.reshape(-1), (offsets[list(places)] * each).tolist(), pieces, faults, windows)


def _extend(array: NDArray[Any], places: Sequence[int], lengths: Sequence[int]) -> None:
    """Repeat the last element of windows that reach behind their sequence's end."""
    for place, length in zip(places, lengths, strict=True):
        if length < array.shape[1]:
            array[place, length:] = array[place, length - 1]
