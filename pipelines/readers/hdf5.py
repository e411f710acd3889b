"""The one dataset of an HDF5 file held in memory: inflated by libdeflate, nothing trusted before it is checked."""

from collections.abc import Sequence
from math import prod

import cv2
import deflate
import numpy as np
from numpy.typing import NDArray

from .hdf5_structure import REPACK, Stored, Structure

DEFLATE, SHUFFLE = 1, 2
MAX_INFLATION = 1032  # a deflate stream yields at most 258 bytes from 2 bits (RFC 1951)
LARGEST = 1 << 30  # bytes of an array, unless the caller says otherwise
SMALL, MOST_KNOWN = 256, 64  # bytes of a deflated chunk that may come again; how many of them are kept
OTHER_FILE = "is it the file that its name says?"
MERGEABLE = {1: np.uint8, 2: np.uint16, 4: np.int32}  # element types that cv2.merge moves bit by bit

Block = bytes | bytearray | memoryview


def decode_hdf5(
    data: bytes,
    *,
    source: str,
    shapes: Sequence[tuple[int | None, ...]] | None,
    dtypes: Sequence[np.dtype | str],
    most: int = LARGEST,
) -> NDArray:
    """The array stored as `dataset` in the bytes of a whole HDF5 file.

    Args:
        data: the file.
        source: what the file is called in messages, e.g. its path.
        shapes: shapes that are allowed, None standing for any length of an axis; None allows every shape.
        dtypes: element types that are allowed, in either byte order.
        most: bytes that the array may have.

    Returns:
        A new C-contiguous array of the stored shape, in the machine's byte order.

    Raises:
        RawDataError: the bytes are no HDF5 file, are truncated or damaged, or hold anything but one plain dataset
            (contiguous or chunked, deflate and shuffle at most) of an allowed shape and dtype. Shape, dtype and sizes
            are checked before memory is taken: no array is larger than `most`, or than the file could inflate to.
    """
    file = Structure(data, source)
    stored = file.dataset()
    if prod(stored.shape) * stored.dtype.itemsize > most:
        raise file.refuse(f"holds {stored.shape} elements of {stored.dtype}, more than {most} bytes", OTHER_FILE)
    _check_kind(file, stored, shapes, dtypes)
    array = _contiguous(file, stored) if stored.chunk is None else _chunked(file, stored, stored.chunk)
    return array.astype(stored.dtype.newbyteorder("="), copy=False)


def _check_kind(
    file: Structure,
    stored: Stored,
    shapes: Sequence[tuple[int | None, ...]] | None,
    dtypes: Sequence[np.dtype | str],
) -> None:
    """Refuses what the caller did not ask for, and filters that are not ours."""
    allowed = [np.dtype(choice).newbyteorder("=") for choice in dtypes]
    if stored.dtype.newbyteorder("=") not in allowed:
        raise file.refuse(f"holds {stored.dtype}, expected {' or '.join(map(str, allowed))}", OTHER_FILE)

    def fits(wanted: tuple[int | None, ...]) -> bool:
        same_rank = len(wanted) == len(stored.shape)
        return same_rank and all(n in (None, m) for n, m in zip(wanted, stored.shape, strict=True))

    if not stored.shape or 0 in stored.shape or not (shapes is None or any(map(fits, shapes))):
        names = "elements" if shapes is None else " or ".join(map(str, shapes)).replace("None", "n")
        raise file.refuse(f"has the shape {stored.shape}, expected {names}", OTHER_FILE)
    codes = [code for code, _ in stored.filters]
    plain = codes in ([], [DEFLATE], [SHUFFLE], [SHUFFLE, DEFLATE]) and not (codes and stored.chunk is None)
    if not plain or any(code == SHUFFLE and values != (stored.dtype.itemsize,) for code, values in stored.filters):
        raise file.refuse(f"is packed by HDF5 filters {codes}, expected deflate (and shuffle)", REPACK)


def _contiguous(file: Structure, stored: Stored) -> NDArray:
    """A copy of elements that lie in one piece."""
    nbytes = prod(stored.shape) * stored.dtype.itemsize
    if stored.nbytes != nbytes or stored.start + nbytes > len(file.data):
        raise file.refuse(f"does not hold the {nbytes} bytes of its dataset")
    return np.frombuffer(file.data, stored.dtype, prod(stored.shape), stored.start).reshape(stored.shape).copy()


def _chunked(file: Structure, stored: Stored, chunk: tuple[int, ...]) -> NDArray:
    """The elements of a chunked dataset, one row of the chunk grid after the other, so that its tiles stay in cache."""
    grid = tuple(-(-length // step) for length, step in zip(stored.shape, chunk, strict=True))
    table = _chunk_table(file, stored, chunk, grid).reshape(grid[0], -1, 3)
    array = np.empty(stored.shape, stored.dtype)
    known: dict[tuple[int, bytes], Block] = {}
    for row, chunks in enumerate(table.tolist()):
        blocks = [_block(file, stored, prod(chunk) * stored.dtype.itemsize, known, *entry) for entry in chunks]
        tiles = np.frombuffer(b"".join(blocks), stored.dtype).reshape(grid[1:] + chunk)
        _place(tiles, array[row * chunk[0] : (row + 1) * chunk[0]])
    return array


def _chunk_table(file: Structure, stored: Stored, chunk: tuple[int, ...], grid: tuple[int, ...]) -> NDArray[np.int64]:
    """Start, size and filter mask of every chunk, (count, 3), in row-major order of the grid.

    Raises:
        RawDataError: a chunk is missing, doubled, out of order, out of the grid or the file, shares bytes with
            another, or could not hold its elements even at deflate's best.
    """
    count, nbytes = prod(grid), prod(chunk) * stored.dtype.itemsize
    entry = np.dtype([("size", "<u4"), ("mask", "<u4"), ("cell", "<u8", len(chunk)), ("zero", "<u8"), ("child", "<u8")])
    if count * entry.itemsize > len(file.data) or nbytes > MAX_INFLATION * len(file.data):
        raise file.refuse(f"cannot hold its {count} chunks of {nbytes} bytes")
    rows = file.leaves(stored.start, 1, entry, count)
    cells, rest = np.divmod(rows["cell"], np.array(chunk, np.uint64))
    if len(rows) < count or rest.any() or (cells >= np.array(grid, np.uint64)).any():
        raise file.refuse(f"holds {len(rows)} of {count} chunks, or misplaces some")
    if (np.ravel_multi_index(tuple(cells.astype(np.int64).T), grid) != np.arange(count)).any():
        raise file.refuse("holds a chunk twice or out of order")  # the tree is ordered by position
    starts, sizes = rows["child"], rows["size"].astype(np.uint64)
    along = np.argsort(starts)
    ends = np.minimum(starts[along], len(file.data)) + sizes[along]
    if ends[-1] > len(file.data) or (ends[:-1] > starts[along[1:]]).any():
        raise file.refuse("has chunks that overlap or lie beyond its end")
    if (sizes * MAX_INFLATION < nbytes).any():
        raise file.refuse(f"has chunks too small for {nbytes} bytes of elements")
    return np.stack([starts, sizes, rows["mask"]], axis=1).astype(np.int64)


def _block(
    file: Structure,
    stored: Stored,
    nbytes: int,
    known: dict[tuple[int, bytes], Block],
    start: int,
    size: int,
    mask: int,
) -> Block:
    """The `nbytes` of one chunk; `known` keeps those of small ones.

    Chunks of one repeated value (background, flat walls, one object) deflate to the same few bytes, and inflating a
    long run is slow: each is done once.
    """
    if size > SMALL:
        return _inflated(file, stored, nbytes, start, size, mask)
    key = (mask, file.data[start : start + size])
    block = known.get(key)
    if block is None:
        block = _inflated(file, stored, nbytes, start, size, mask)
        if len(known) < MOST_KNOWN:
            known[key] = block
    return block


def _inflated(file: Structure, stored: Stored, nbytes: int, start: int, size: int, mask: int) -> Block:
    """The `nbytes` of one chunk; a set bit of the mask says that a filter was skipped when it was written."""
    block: Block = memoryview(file.data)[start : start + size]
    used = [code for place, (code, _) in enumerate(stored.filters) if not mask >> place & 1]
    if DEFLATE in used:
        try:
            block = deflate.zlib_decompress(block, nbytes)
        except deflate.DeflateError as error:
            raise file.refuse(f"has a damaged chunk at byte {start}") from error
    if len(block) != nbytes:
        raise file.refuse(f"has a chunk of {len(block)} bytes at byte {start}, expected {nbytes}")
    if SHUFFLE in used:
        block = np.frombuffer(block, np.uint8).reshape(stored.dtype.itemsize, -1).T.tobytes()
    return block


def _place(tiles: NDArray, target: NDArray) -> None:
    """Writes one row of the chunk grid, (grid[1:] + chunk), where it belongs; padding of border chunks is cut off.

    Chunks of one channel are laid out as planes and merged: five times faster than writing every third element.
    """
    rank = target.ndim
    if rank == 3 and tiles.shape[-1] == 1 and 2 <= target.shape[2] <= 4 and target.itemsize in MERGEABLE:
        planes = tiles.transpose(1, 2, 0, 3, 4).reshape(target.shape[2], tiles.shape[2], -1)
        planes = np.ascontiguousarray(planes[:, : target.shape[0], : target.shape[1]])
        bits = MERGEABLE[target.itemsize]
        cv2.merge(list(planes.view(bits)), target.view(bits))
        return
    pairs = [(axis, rank + axis) for axis in range(rank - 1)]
    whole = tiles.transpose([rank - 1, *(axis for pair in pairs for axis in pair)])
    steps = [grid * step for grid, step in zip(tiles.shape[: rank - 1], tiles.shape[rank:], strict=True)]
    target[...] = whole.reshape(tiles.shape[rank - 1], *steps)[tuple(map(slice, target.shape))]
