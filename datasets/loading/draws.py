"""What each record of a batch gives along a dimension that is drawn from, or cut into windows."""

from collections.abc import Sequence

import numpy as np

from ..errors import FormatError
from .cuts import LONGEST_POOL, Sample, Spans, Window, pool_spans, strata_spans, window_spans
from .faults import Faults
from .fields import FieldReader
from .picked import Picked, where
from .rows import Spot


def spans_of(
    cut: Sample | Window,
    fixed: int | None,
    bounds: FieldReader | None,
    spots: Sequence[Spot],
    picked: Picked,
    key: int,
    faults: Faults,
) -> list[Spans | None]:
    """For each record, what it gives along the cut's dimension; None where it has nothing there.

    Args:
        cut: the draw, or the window.
        fixed: size of the dimension where it is fixed.
        bounds: reader of the field with the pool's strata, where it has some.
        spots: the records.
        picked: their numbers for draws, and the beginnings of windows.
        key: of this table's and dimension's draws in this epoch.
        faults: gets the records whose strata cannot be read.
    """
    if bounds is None and fixed and isinstance(cut, Sample):
        return list(pool_spans(cut, min(fixed, LONGEST_POOL), key, picked.ids))
    name = f"dim.{cut.dimension}"
    sizes = [fixed if fixed is not None else spot.rows.sizes[name].item(spot.row) for spot in spots]
    if isinstance(cut, Window):
        assert picked.starts is not None
        return list(window_spans(cut.count, picked.starts.tolist(), sizes))
    if bounds is None:
        spans = pool_spans(cut, np.clip(np.array(sizes, np.int64), 1, LONGEST_POOL), key, picked.ids)
        return [piece if size else None for piece, size in zip(spans, sizes, strict=True)]
    return _strata(cut, bounds, spots, picked, key, faults)


def _strata(
    cut: Sample, reader: FieldReader, spots: Sequence[Spot], picked: Picked, key: int, faults: Faults
) -> list[Spans | None]:
    there = [number for number, spot in enumerate(spots) if reader.present(spot)]
    found: list[Spans | None] = [None] * len(spots)
    if not there:
        return found
    bounds = np.zeros((len(there), *reader.shape(spots[there[0]])), reader.dtype)
    flat, width = bounds.reshape(-1), bounds.shape[-1]
    reader.fill([spots[i] for i in there], flat, [i * width for i in range(len(there))], None, faults)
    for number, piece in zip(there, strata_spans(cut, bounds.astype(np.int64), key, picked.ids[there]), strict=True):
        if isinstance(piece, FormatError):
            faults.add(spots[number].slot, FormatError(f"{where(spots[number])}: {piece}"))
        else:
            found[number] = piece
    return found
