"""The values of a scan, ordered by kind of member: which record has one, and of what size."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import FormatError
from .scan import Scan


@dataclass(frozen=True)
class Column:
    """One kind of member in one scan.

    Attributes:
        at: (records,) row of its value among the scan's entries, -1 where a record lacks it.
        shape: (values, axes) sizes of those first axes that all of them have.
    """

    at: NDArray[np.int64]
    shape: NDArray[np.int64]

    def sizes(self, axis: int) -> NDArray[np.int64]:
        """(records,) sizes along an axis, -1 where a record lacks it."""
        sizes = np.full(len(self.at), -1, np.int64)
        sizes[self.at >= 0] = self.shape[:, axis]
        return sizes


def columns(scan: Scan) -> dict[str, Column]:
    """The columns of a scan by raw name; values that are left out are not among them.

    Raises:
        FormatError: a record has two values of one name (as no scan of ours says).
    """
    kept = np.flatnonzero(pc.not_equal(scan.entries["codec"], "").to_numpy(zero_copy_only=False))
    raw = scan.entries["raw"].take(pa.array(kept)).dictionary_encode()
    codes = raw.indices.to_numpy(zero_copy_only=False)
    lengths = scan.entries["shape"].value_lengths().to_numpy(zero_copy_only=False)
    flat = scan.entries["shape"].flatten().to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    found = {}
    for code, name in enumerate(raw.dictionary.to_pylist()):
        rows = kept[codes == code]
        at = np.full(len(scan.records), -1, np.int64)
        at[scan.of[rows]] = rows
        if (at >= 0).sum() != len(rows):
            raise FormatError(f"a record has {name!r} twice")
        shape = flat[(ends[rows] - lengths[rows])[:, None] + np.arange(lengths[rows].min())]
        found[name] = Column(at, shape)
    return found
