"""Scalars of the index in a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

TYPES = {"int64": np.int64, "float64": np.float64, "bool": np.bool_}


def column_values(name: str, kind: str, values: list[Any], at: Sequence[int], total: int) -> dict[str, Any]:
    """A column of the batch's records.

    Args:
        name: of the column in the batch.
        kind: `string`, `int64`, `float64` or `bool`.
        values: one a record, None where it has none.
        at: place of each in the batch.
        total: rows of the batch.

    Returns:
        `name`: a list of texts (None where there is none) or a (total,) array; float64 has NaN where there is no
        value, int64 and bool have 0 there. Numbers come with `name.present` (total,) bool.
    """
    if kind == "string":
        texts: list[Any] = [None] * total
        for place, value in zip(at, values, strict=True):
            texts[place] = value
        return {name: texts}
    present = np.zeros(total, bool)
    array = np.full(total, np.nan) if kind == "float64" else np.zeros(total, TYPES[kind])
    for place, value in zip(at, values, strict=True):
        if value is not None:
            array[place], present[place] = value, True
    return {name: array, f"{name}.present": present}
