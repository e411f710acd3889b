"""Compressed fields straight into a batch's memory, by libraries that work without Python's lock.

They are imported when a field needs them: a stream of arrays does without.
"""

import threading
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codecs import CODECS, blosc_library
from ..errors import FormatError
from ..jpeg_cut import Cutter
from .row_decoder import RowDecoder

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_KINDS = {  # (bits a channel, colour type) of arrays that are decoded in place
    ("uint8", ()): (8, 0), ("uint8", (3,)): (8, 2), ("uint8", (4,)): (8, 6),
}  # fmt: skip

JPEG_KINDS = {(): ("Gray",), (3,): ("RGB", "YCbCr")}  # of colour, by what follows height and width

_THREAD = threading.local()
Decode = Callable[[memoryview, NDArray[Any]], None]


def blosc_into(data: memoryview, out: NDArray[Any]) -> None:
    """Unpack a Blosc frame into `out` (C order).

    Raises:
        FormatError: it is damaged, or holds another number of bytes.
    """
    if len(data) < 16:
        raise FormatError("Blosc frame is shorter than its header")
    inside, whole = int.from_bytes(data[4:8], "little"), int.from_bytes(data[12:16], "little")
    if (inside, whole) != (out.nbytes, len(data)):
        raise FormatError(
            f"Blosc frame of {whole} bytes with {inside} inside, its place has {len(data)} and {out.nbytes}"
        )
    if inside:
        try:
            blosc_library().decompress(data, out)
        except RuntimeError as error:
            raise FormatError(f"Blosc frame is damaged: {error}") from error


def jpeg_into(data: memoryview | bytes, out: NDArray[np.uint8], factor: int = 1, whole: tuple[int, ...] = ()) -> None:
    """Decode a JPEG picture into `out` (height, width[, 3]); the pixels are those of libjpeg's own exact method.

    Args:
        data: the picture.
        out: of its size, or that divided by `factor`, rounded up.
        factor: 2, 4 or 8 to decode it so many times smaller: pixel (i, j) stands for [i, i + 1) x [j, j + 1) times it.
        whole: height and width of the picture, where `out` has others.

    Raises:
        FormatError: it is damaged, or of another size.
    """
    import simplejpeg

    try:
        height, width, kind, _ = simplejpeg.decode_jpeg_header(data)
        wanted = whole or out.shape[:2]
        if (height, width) != wanted:
            raise FormatError(f"picture size (height, width) is {(height, width)}, the schema says {wanted}")
        if kind not in JPEG_KINDS.get(out.shape[2:], ()):
            raise FormatError(f"picture's colours are {kind}, the schema says shape {out.shape}")
        colours = "RGB" if out.ndim == 3 else "GRAY"
        least = {"min_height": out.shape[0], "min_width": out.shape[1]} if factor > 1 else {}
        simplejpeg.decode_jpeg(data, colours, fastdct=False, fastupsample=False, buffer=out, **least)
    except (ValueError, KeyError) as error:  # a KeyError for a sampling of colours that it has no name for
        raise FormatError(f"JPEG picture is damaged, or of a kind that nobody reads: {error}") from error


class JpegWindows:
    """Decodes windows of JPEG pictures, where that is less work than decoding them whole; for one thread."""

    def __init__(self) -> None:
        self._cutter, self._room = Cutter(), np.empty(0, np.uint8)

    def decode(self, data: memoryview, out: NDArray[np.uint8], window: Sequence[int]) -> None:
        """Decode the pixels of a window to their places in `out`; its others are left undefined.

        Args:
            data: the picture.
            out: (height, width[, 3]) as large as the whole picture.
            window: first row, first column, rows, columns.

        Raises:
            FormatError: it is damaged, or of another size. Damage outside the window may go unseen.
        """
        cut = self._cutter.cut(data, out.shape, *window)
        if cut is None:
            jpeg_into(data, out)
        elif cut.width == out.shape[1]:
            jpeg_into(cut.data, out[cut.top : cut.top + cut.height])
        else:
            shape = (cut.height, cut.width, *out.shape[2:])
            if self._room.size < prod(shape):
                self._room = np.empty(2 * prod(shape), np.uint8)
            part = self._room[: prod(shape)].reshape(shape)
            jpeg_into(cut.data, part)
            top, left, height, width = window
            rows, columns = slice(top, top + height), slice(left, left + width)
            y, x = top - cut.top, left - cut.left
            out[rows, columns] = part[y : y + height, x : x + width]


def _rows() -> RowDecoder:
    decoder: RowDecoder | None = getattr(_THREAD, "rows", None)
    if decoder is None:
        decoder = _THREAD.rows = RowDecoder()
    return decoder


def png_into(data: memoryview, out: NDArray[Any]) -> None:
    """Decode a PNG picture into `out` (height, width[, channels]), uint8 or uint16.

    Raises:
        FormatError: it is damaged, or of another size.
    """
    from imagecodecs import SpngError, spng_decode

    if bytes(data[:8]) != PNG_MAGIC or len(data) < 29:
        raise FormatError("PNG picture has no PNG header")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if (height, width) != out.shape[:2]:
        raise FormatError(f"picture size (height, width) is {(height, width)}, the schema says {out.shape[:2]}")
    kind = (out.dtype.name, out.shape[2:])
    sixteen = kind == ("uint16", ()) and (data[24], data[25]) == (16, 0)
    if not sixteen and (data[24], data[25]) != PNG_KINDS.get(kind):  # one bit a pixel, palettes: Pillow knows them
        other_into("png")(data, out)
        return
    if _rows().decode(data, out):
        return
    if sixteen:
        other_into("png")(data, out)
        return
    try:
        spng_decode(data, out=out)  # type: ignore[arg-type]  # any buffer will do
    except (SpngError, ValueError) as error:
        raise FormatError(f"PNG picture is damaged: {error}") from error


def other_into(codec: str) -> Decode:
    """Decoding by the codec itself, and a copy."""

    def decode(data: memoryview, out: NDArray[Any]) -> None:
        out[...] = CODECS[codec].decode(data, out.dtype, out.shape)

    return decode


def decoder(codec: str) -> Decode:
    """How a compressed codec is decoded into memory that is already there."""
    return {"blosc": blosc_into, "jpg": jpeg_into, "png": png_into}.get(codec) or other_into(codec)
