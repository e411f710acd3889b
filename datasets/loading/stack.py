"""Transforms of single records between a batch's arrays and a batch's arrays."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from .buffers import Memory
from .chance import Chance
from .packing import COMPANIONS, OFFSETS, behind_list, companion_of, row_bounds

Arrays = dict[str, Any]
Records = Sequence[Mapping[str, Any]]


def apply_to_records(
    transforms: Sequence[Callable[..., Mapping[str, Any]]],
    arrays: Arrays,
    names: Sequence[str],
    chance: Chance,
    buffers: Memory,
) -> Arrays:
    """Apply transforms to each record of a batch.

    Args:
        transforms: called in order with a record's arrays (fields that it lacks are left out), and with a generator
            where their attribute `random` is true.
        arrays: of the batch.
        names: keys of the records, for messages.
        chance: the records' generators, and windows that were drawn already.
        buffers: where large arrays come from.

    Fields that a transform gives one shape (its attribute `fixed` names them) are not packed any more.

    Returns:
        Arrays of the batch, those that were not replaced as they are.

    Raises:
        SchemaError: records come out with different fields or shapes; the message names two.
    """
    before = _records(arrays, len(names))
    made = [_transformed(transforms, *each, chance) for each in zip(before, names, range(len(names)), strict=True)]
    fixed = {name for transform in transforms for name in getattr(transform, "fixed", ())}
    out = {name: arrays[name] for name in arrays if _of_list(name, arrays)}
    lacked = [name for name in arrays if companion_of(name, arrays) is None and not any(name in x for x in before)]
    for field in dict.fromkeys([*(field for record in made for field in record), *lacked]):
        kept = {x: arrays[x] for x in (field, *(field + suffix for suffix in COMPANIONS)) if x in arrays}
        if field in fixed and f"{field}.shapes" in kept:  # pictures of any size, cropped to one
            kept = {f"{field}.present": kept[f"{field}.present"]} if f"{field}.present" in kept else {}
            out |= _stacked(field, made, names, kept, buffers)
        elif field in arrays and all(new.get(field) is old.get(field) for new, old in zip(made, before, strict=True)):
            out |= kept
        elif field in arrays and behind_list(arrays, field):
            out |= kept | {field: _same_rows(field, made, before, names)}
        else:
            out |= _stacked(field, made, names, kept, buffers)
    return out


def _of_list(name: str, arrays: Arrays) -> bool:
    """Whether an array says which rows of a list of references belong to which record; that stays as it is."""
    base = companion_of(name, arrays)
    return base is not None and (base not in arrays or (name.endswith(OFFSETS) and isinstance(arrays[base], list)))


def _records(arrays: Arrays, count: int) -> list[Arrays]:
    """The arrays of each record, views of the batch's."""
    records: list[Arrays] = [{} for _ in range(count)]
    for name, array in arrays.items():
        if companion_of(name, arrays) is not None:
            continue
        bounds = row_bounds(arrays, name, count)
        present, shapes = arrays.get(f"{name}.present"), arrays.get(f"{name}.shapes")
        if behind_list(arrays, name):  # rows of all its records, and those tell of themselves
            present = shapes = None
        for number, record in enumerate(records):
            if present is not None and not present[number]:
                continue
            value = array[number] if bounds is None else array[bounds[number] : bounds[number + 1]]
            record[name] = value if shapes is None else value.reshape(shapes[number])
    return records


def _transformed(
    transforms: Sequence[Callable[..., Mapping[str, Any]]], record: Arrays, name: str, number: int, chance: Chance
) -> Mapping[str, Any]:
    made: Mapping[str, Any] = record
    window = chance.drawn.get(number)
    for transform in transforms:
        try:
            if window is not None:  # the first's, and its pictures hold nothing else
                made, window = transform(made, None, window), None
            elif getattr(transform, "random", False):
                made = transform(made, chance.generator(number))
            else:
                made = transform(made)
            if not isinstance(made, Mapping):
                raise SchemaError(f"it gave {type(made).__name__}; a transform gives a dict")
        except Exception as error:
            error.add_note(f"in transform {getattr(transform, 'name', transform)!r} of record {name!r}")
            raise
    return {field: _array(field, value, name) for field, value in made.items()}


def _array(field: str, value: Any, name: str) -> Any:
    """A transform's value as an array: numbers become one, JSON values stay.

    Raises:
        SchemaError: a value that no batch of arrays holds.
    """
    if isinstance(value, bool | int | float):
        return np.asarray(value)
    kind = value.dtype.kind if isinstance(value, np.ndarray | np.generic) else ""
    foreign = type(value).__module__.partition(".")[0] == "torch"
    if foreign or kind in ("U", "S", "O", "V"):
        what = "a torch tensor" if foreign else f"an array of {value.dtype}"
        raise SchemaError(f"transforms: {field!r} of record {name!r} is {what}; give a numpy array of numbers")
    return value


def _stacked(field: str, made: Records, names: Sequence[str], kept: Arrays, buffers: Memory) -> Arrays:
    """One field of all records, in one array; packed where the batch's own was."""
    values: list[Any] = [record.get(field) for record in made]
    there = [number for number, value in enumerate(values) if value is not None]
    out: Arrays = {}
    if len(there) < len(values) or f"{field}.present" in kept:
        out[f"{field}.present"] = np.array([value is not None for value in values])
    if not any(isinstance(values[number], np.ndarray | np.generic) for number in there):
        return {field: values} | (out if f"{field}.present" in kept else {})
    first = values[there[0]]
    packed, free = field + OFFSETS in kept and first.ndim > 0, f"{field}.shapes" in kept
    for number in there:
        value = values[number]
        same = value.ndim == first.ndim and (free or value.shape[packed:] == first.shape[packed:])
        if not same or value.dtype != first.dtype:
            ours, theirs = f"{value.dtype} {value.shape}", f"{first.dtype} {first.shape}"
            other = f"{names[number]!r} has {ours}, record {names[there[0]]!r} has {theirs}"
            raise SchemaError(f"transforms: {field!r} of record {other}; one batch needs one shape")
    if packed:
        return out | _packed(field, values, first, free=free)
    array = buffers.array((len(values), *first.shape), first.dtype)
    for number, value in enumerate(values):
        array[number] = 0 if value is None else value
    return out | {field: array}


def _packed(field: str, values: Sequence[Any], first: NDArray[Any], *, free: bool) -> Arrays:
    """Values of different sizes one behind the other; those of several free dimensions flat, with their shapes."""
    none = np.zeros((0,) * first.ndim if free else (0, *first.shape[1:]), first.dtype)
    pieces = [none if value is None else value for value in values]
    out: Arrays = {f"{field}.shapes": np.array([piece.shape for piece in pieces], np.int64)} if free else {}
    pieces = [piece.reshape(-1) for piece in pieces] if free else pieces
    return out | {field: np.concatenate(pieces), field + OFFSETS: np.cumsum([0, *map(len, pieces)])}


def _same_rows(field: str, made: Records, before: Records, names: Sequence[str]) -> Any:
    """Rows of a list of references, whose number stays.

    Raises:
        SchemaError: a transform changes how many there are; with the field and the record.
    """
    values = [record.get(field, ()) for record in made]
    for value, old, name in zip(values, before, names, strict=True):
        if len(value) != len(old[field]):
            raise SchemaError(f"transforms: {field!r} of record {name!r} has another number of rows than before")
    return [row for value in values for row in value] if isinstance(values[0], list) else np.concatenate(values)
