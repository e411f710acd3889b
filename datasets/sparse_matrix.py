"""Matrices in compressed columns or rows, as files of body models have them: inert arrays, dense on demand."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError

MOST_DENSE = 1 << 30  # bytes of a matrix that is made dense


@dataclass(frozen=True, eq=False)
class SparseMatrix:
    """A sparse matrix; made by `sparse_matrix`, which checks it.

    Attributes:
        layout: `csc` (compressed columns) or `csr` (compressed rows).
        shape: rows and columns.
        data: (N,) values.
        indices: (N,) row (csc) or column (csr) of each value.
        indptr: (columns + 1,) or (rows + 1,) where the values of each column or row begin.
    """

    layout: str
    shape: tuple[int, int]
    data: NDArray
    indices: NDArray
    indptr: NDArray

    def dense(self, most: int = MOST_DENSE) -> NDArray:
        """The matrix as an ordinary array (rows, columns); values in the same place are added.

        Raises:
            FormatError: it would have more than `most` bytes.
        """
        rows, columns = self.shape
        if rows * columns * self.data.itemsize > most:
            raise FormatError(f"a sparse matrix {self.shape} would be dense in more than {most} bytes; refused")
        array = np.zeros(self.shape, self.data.dtype)
        outer = np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))
        inner = self.indices.astype(np.int64)
        np.add.at(array, (inner, outer) if self.layout == "csc" else (outer, inner), self.data)
        return array


def sparse_matrix(layout: str, shape: Any, data: Any, indices: Any, indptr: Any) -> SparseMatrix:
    """A sparse matrix, once its sizes were found to agree and its indices to lie in it.

    Args:
        layout: `csc` or `csr`.
        shape: rows and columns; no memory is taken for them.
        data: (N,) values.
        indices: (N,) integers.
        indptr: integers, one more than columns (csc) or rows (csr).

    Raises:
        FormatError: they make no matrix.
    """
    if type(shape) is not tuple or len(shape) != 2 or not all(isinstance(n, int | np.integer) for n in shape):
        raise FormatError(f"a sparse matrix of the shape {str(shape)[:80]}")
    rows, columns = (int(n) for n in shape)
    if not all(isinstance(part, np.ndarray) and part.ndim == 1 for part in (data, indices, indptr)):
        raise FormatError("a sparse matrix whose parts are no rows of numbers")
    if data.dtype.kind not in "biufc" or indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        raise FormatError("a sparse matrix of other kinds than numbers")
    outer, inner = (columns, rows) if layout == "csc" else (rows, columns)
    whole = len(data) == len(indices) and len(indptr) == outer + 1 and inner >= 0
    if not whole or indptr[0] != 0 or indptr[-1] != len(data) or (indptr[1:] < indptr[:-1]).any():
        raise FormatError(f"a sparse matrix {(rows, columns)} with parts whose sizes do not agree")
    if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < inner:
        raise FormatError(f"a sparse matrix {(rows, columns)} with an index outside of it")
    return SparseMatrix(layout, (rows, columns), data, indices, indptr)
