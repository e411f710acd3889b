"""Transforms of single records between a batch's arrays and a batch's arrays."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from .buffers import Buffers
from .packing import COMPANIONS, OFFSETS, companion_of, row_bounds

Arrays = dict[str, Any]
Records = Sequence[Mapping[str, Any]]


def apply_to_records(
    transforms: Sequence[Callable[..., Mapping[str, Any]]],
    arrays: Arrays,
    names: Sequence[str],
    keys: Sequence[int],
    buffers: Buffers,
) -> Arrays:
    """Apply transforms to each record of a batch.

    Args:
        transforms: called in order with a record's arrays (fields that it lacks are left out), and with a generator
            where their attribute `random` is true.
        arrays: of the batch.
        names: keys of the records, for messages.
        keys: (n,) seeds of the records' generators, 64 bits each.
        buffers: where large arrays come from.

    Returns:
        Arrays of the batch, those that were not replaced as they are.

    Raises:
        SchemaError: records come out with different fields or shapes; the message names two.
    """
    before = _records(arrays, len(names))
    made = [_transformed(transforms, *each) for each in zip(before, names, keys, strict=True)]
    out = {name: value for name, value in arrays.items() if companion_of(name, arrays) not in (None, *arrays)}
    for field in dict.fromkeys(field for record in made for field in record):
        if field in arrays and all(new.get(field) is old.get(field) for new, old in zip(made, before, strict=True)):
            out |= {x: arrays[x] for x in (field, *(field + suffix for suffix in COMPANIONS)) if x in arrays}
            continue
        bounds = row_bounds(arrays, field, len(names)) if field in arrays else None
        own, flat = field + OFFSETS in arrays, f"{field}.shapes" in arrays
        out |= _stacked(field, made, names, "flat" if flat else "rows" if bounds is not None else "", buffers)
        if bounds is not None and not own:  # the rows of a list of references
            _same_rows(field, made, bounds, names)
            del out[field + OFFSETS]
        if f"{field}.present" in arrays:  # an optional field, whether or not a record of this batch lacks it
            out.setdefault(f"{field}.present", arrays[f"{field}.present"])
    return out


def _records(arrays: Arrays, count: int) -> list[Arrays]:
    """The arrays of each record, views of the batch's."""
    records: list[Arrays] = [{} for _ in range(count)]
    for name, array in arrays.items():
        if companion_of(name, arrays) is not None:
            continue
        bounds = row_bounds(arrays, name, count)
        present, shapes = arrays.get(f"{name}.present"), arrays.get(f"{name}.shapes")
        for number, record in enumerate(records):
            if bounds is not None:
                value = array[bounds[number] : bounds[number + 1]]
                record[name] = value if shapes is None else value.reshape(shapes[number])
            elif present is None or present[number]:
                record[name] = array[number]
    return records


def _transformed(
    transforms: Sequence[Callable[..., Mapping[str, Any]]], record: Arrays, name: str, key: int
) -> Mapping[str, Any]:
    made: Mapping[str, Any] = record
    generator = None
    for transform in transforms:
        try:
            if getattr(transform, "random", False):
                generator = generator or np.random.Generator(np.random.Philox(key=key))
                made = transform(made, generator)
            else:
                made = transform(made)
        except Exception as error:
            error.add_note(f"in transform {getattr(transform, 'name', transform)!r} of record {name!r}")
            raise
    return made


def _stacked(field: str, made: Records, names: Sequence[str], packing: str, buffers: Buffers) -> Arrays:
    """One field of all records, in one array.

    `packing` says how it was before the transforms: "" one shape for all records, "rows" packed along its first axis,
    "flat" packed as a whole; the latter becomes one array where all shapes are the same now.
    """
    values = [record.get(field) for record in made]
    found = [(number, value) for number, value in enumerate(values) if value is not None]
    first = found[0][1]
    if not isinstance(first, np.ndarray | np.generic):
        return {field: values}
    if packing == "flat" and len({value.shape for _, value in found}) == 1:
        packing = ""
    _check_shapes(field, found, names, packing)
    out: Arrays = {}
    if len(found) < len(values):
        present = np.zeros(len(values), bool)
        present[[number for number, _ in found]] = True
        out[f"{field}.present"] = present
    if packing:
        flat = packing == "flat"
        nothing = np.zeros(0 if flat else (0, *first.shape[1:]), first.dtype)
        pieces = [nothing if x is None else x.reshape(-1) if flat else x for x in values]
        if flat:
            shapes = [(0,) * first.ndim if x is None else x.shape for x in values]
            out[f"{field}.shapes"] = np.array(shapes, np.int64)
        return out | {field: np.concatenate(pieces), field + OFFSETS: np.cumsum([0, *map(len, pieces)])}
    array = buffers.array((len(values), *first.shape), first.dtype)
    for number, value in enumerate(values):
        array[number] = 0 if value is None else value
    return out | {field: array}


def _check_shapes(field: str, found: Sequence[tuple[int, Any]], names: Sequence[str], packing: str) -> None:
    """Refuse arrays that do not go into one batch.

    Raises:
        SchemaError: with two records and what they have.
    """
    at, first = found[0]
    for number, value in found:
        fits = {
            "": value.shape == first.shape, "rows": value.shape[1:] == first.shape[1:],
            "flat": value.ndim == first.ndim,
        }  # fmt: skip
        if not fits[packing] or value.dtype != first.dtype:
            ours, theirs = f"{value.dtype} {value.shape}", f"{first.dtype} {first.shape}"
            other = f"{names[number]!r} has {ours}, record {names[at]!r} has {theirs}"
            raise SchemaError(f"transforms: {field!r} of record {other}; one batch needs one shape")


def _same_rows(field: str, made: Records, bounds: NDArray[np.int64], names: Sequence[str]) -> None:
    """Refuse a transform that changes how many rows a list of references gives.

    Raises:
        SchemaError: with the field and the record.
    """
    for record, rows, name in zip(made, np.diff(bounds), names, strict=True):
        if len(record.get(field, ())) != rows:
            raise SchemaError(f"transforms: {field!r} of record {name!r} has another number of rows than before")
