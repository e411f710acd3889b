"""Codecs: arrays to the bytes of a tar member and back, without running code or trusting sizes in headers.

Libraries are imported when a field needs them: they take time and memory, and most data sets need few of them.
"""

import io
import json
import math
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError
from .jpeg_cut import interval_of
from .png_rows import LEVEL, encode_rows

if TYPE_CHECKING:
    from PIL import Image

LARGE = 64 << 20  # bytes; a frame may be all zeros up to here
MOST_INFLATION = 512  # beyond, a frame that shrank more than this is an attack, not data
_JSON = json.JSONDecoder()
INTEGER = re.compile(rb"\s*[+-]?\d{1,19}\s*")


@cache
def blosc_library() -> Any:
    """Blosc, without threads of its own: decoding is threaded by records, never inside one."""
    from numcodecs import blosc

    blosc.use_threads = False
    return blosc


class Codec(Protocol):
    """One way to write an array. Offsets are those of the array data in the encoded bytes.

    `dtypes` names the dtypes that it holds; empty where it holds all of them.
    """

    suffix: str
    dtypes: tuple[str, ...]

    def encode(self, value: Any, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """Bytes of the member, and where the array data begins in them."""
        ...

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
        """The array of `dtype` and `shape` from the array data.

        Raises:
            FormatError: the data are not of that dtype and shape.
        """
        ...


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise FormatError(f"{what} is {found}, the schema says {wanted}")


def _bytes_of(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    if not all(isinstance(size, int) and size >= 0 for size in shape):
        raise FormatError(f"shape {shape} is none; the index is damaged")
    return math.prod(shape) * dtype.itemsize


class Npy:
    """Uncompressed `.npy`: read without a copy through a memory map."""

    suffix = "npy"
    dtypes: tuple[str, ...] = ()

    def encode(self, value: NDArray, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """Version-1.0 `.npy` in C order; the header fills 64-byte blocks, so the data are aligned in the tar."""
        stream = io.BytesIO()
        np.lib.format.write_array(stream, np.asarray(value, order="C"), version=(1, 0), allow_pickle=False)
        return stream.getvalue(), stream.tell() - value.nbytes

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
        """A read-only view of `data`."""
        _expect(len(data), _bytes_of(dtype, shape), "array size in bytes")
        return np.frombuffer(data, dtype).reshape(shape)


class Blosc:
    """Byte-shuffled zstd by Blosc 1: raw array bytes inside, dtype and shape from the schema."""

    suffix = "blosc"
    dtypes: tuple[str, ...] = ()

    def encode(self, value: NDArray, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """One Blosc frame; `level` (default 5) is Blosc's."""
        array, blosc = np.asarray(value, order="C"), blosc_library()
        return blosc.Blosc("zstd", options.get("level", 5), blosc.SHUFFLE).encode(array), 0

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
        """A new array; the size in the frame's header is compared before memory is taken."""
        wanted = _bytes_of(dtype, shape)
        if wanted > max(LARGE, MOST_INFLATION * len(data)):
            raise FormatError(f"Blosc frame of {len(data)} bytes would inflate to {wanted}: refused")
        if len(data) < 16:
            raise FormatError("Blosc frame is shorter than its header")
        _expect(int.from_bytes(data[4:8], "little"), wanted, "decompressed size in bytes")
        _expect(int.from_bytes(data[12:16], "little"), len(data), "Blosc frame size in bytes")
        array = np.empty(shape, dtype)
        if wanted:
            try:
                blosc_library().decompress(bytes(data), array)
            except RuntimeError as error:
                raise FormatError(f"Blosc frame is damaged: {error}") from error
        return array


class _Picture:
    format: str
    read: tuple[str, ...] = ()  # formats that are read, where those are more

    def _pixels(self, picture: "Image.Image") -> "Image.Image":
        return picture

    def _save(self, picture: "Image.Image", stream: io.BytesIO, options: Mapping[str, Any]) -> None:
        picture.save(stream, self.format, **options)

    def encode(self, value: NDArray, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """The picture file; the array data are the whole file."""
        from PIL import Image

        stream = io.BytesIO()
        self._save(Image.fromarray(value), stream, options)
        return stream.getvalue(), 0

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
        """Pixels (height, width[, channels]); the size in the file's header is compared before memory is taken."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(data), formats=self.read or [self.format]) as picture:
                _expect((picture.height, picture.width), tuple(shape[:2]), "picture size (height, width)")
                array = np.array(self._pixels(picture))  # writable, as torch wants it
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise FormatError(f"{self.format} picture is damaged: {error}") from error
        _expect(array.shape, tuple(shape), "picture shape")
        return array.astype(dtype, copy=False)


class Jpeg(_Picture):
    """JPEG of uint8 pictures: `quality` (default 95), chroma not subsampled.

    Restart markers let windows be decoded alone (jpeg_cut.py); each takes some four bytes.
    """

    suffix, format = "jpg", "JPEG"
    dtypes: tuple[str, ...] = ("uint8",)

    def _save(self, picture: "Image.Image", stream: io.BytesIO, options: Mapping[str, Any]) -> None:
        quality, interval = options.get("quality", 95), interval_of(picture.width)
        picture.save(stream, "JPEG", quality=quality, subsampling=0, restart_marker_blocks=interval)


class Png(_Picture):
    """PNG of uint8 (2-D, or 2 to 4 channels), bool or uint16 (2-D) pictures, lossless.

    Written such that they are quick to decode (png_rows.py).
    """

    suffix, format = "png", "PNG"
    dtypes: tuple[str, ...] = ("uint8", "uint16", "bool")

    def encode(self, value: NDArray, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """The picture file; `level` (default 9) is libdeflate's.

        Raises:
            ValueError: pictures that are not read back as they are, or another option.
        """
        if set(options) - {"level"}:
            raise ValueError(f"options {', '.join(options)}: a PNG has only level")
        if value.dtype == np.bool_:
            return super().encode(value, {})
        if value.dtype == np.uint16 and value.ndim != 2:
            raise ValueError(f"16 bits a pixel are read back in two dimensions only, not {value.shape}; use blosc")
        return encode_rows(value, options.get("level", LEVEL)), 0


class Rgb(_Picture):
    """Colours (height, width, 3) of any JPEG or PNG: grey, CMYK and palettes converted, transparency dropped.

    For pictures of strangers that are not all of one kind; written as PNG.
    """

    suffix, format, read = "png", "PNG", ("JPEG", "PNG")
    dtypes: tuple[str, ...] = ("uint8",)

    def _pixels(self, picture: "Image.Image") -> "Image.Image":
        return picture.convert("RGB")


class Json:
    """Any JSON value, keys sorted."""

    suffix = "json"
    dtypes: tuple[str, ...] = ("json",)

    def encode(self, value: Any, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """UTF-8 JSON; NaN and infinity are refused because JSON has none."""
        return json.dumps(value, sort_keys=True, allow_nan=False, separators=(",", ":")).encode(), 0

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> Any:
        """The value."""
        try:
            text = str(data, "utf-8")
            value, end = _JSON.raw_decode(text)
            if end == len(text):
                return value
        except (ValueError, RecursionError):  # told, or read as the UTF-16 or with the spaces that it is, below
            pass
        try:
            return json.loads(bytes(data))
        except (ValueError, RecursionError) as error:
            raise FormatError(f"JSON is damaged: {error}") from error


class Text:
    """UTF-8 text."""

    suffix = "txt"
    dtypes: tuple[str, ...] = ("json",)

    def encode(self, value: str, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """The text."""
        if not isinstance(value, str):
            raise TypeError(f"{type(value).__name__} is no text")
        return value.encode(), 0

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> str:
        """The text."""
        try:
            return str(data, "utf-8")
        except UnicodeDecodeError as error:
            raise FormatError(f"text is not UTF-8: {error}") from error


class Cls:
    """One integer of 64 bits as decimal text, WebDataset's `.cls`."""

    suffix = "cls"
    dtypes: tuple[str, ...] = ("int64",)

    def encode(self, value: NDArray, options: Mapping[str, Any]) -> tuple[bytes, int]:
        """The digits."""
        return str(int(np.asarray(value).item())).encode(), 0

    def decode(self, data: memoryview, dtype: np.dtype, shape: tuple[int, ...]) -> NDArray:
        """The number, shape ()."""
        _expect((dtype, shape), (np.dtype(np.int64), ()), "class number's dtype and shape")
        if not INTEGER.fullmatch(data):
            raise FormatError(f"{bytes(data[:20])!r} is no integer")
        try:
            return np.array(int(bytes(data)), np.int64)
        except OverflowError as error:
            raise FormatError(f"{bytes(data)!r} does not fit 64 bits") from error


# `npz` is no codec of its own: its fields are `.npy` arrays in the record's one `labels.npz` (see members.py).
CODECS: dict[str, Codec] = {
    "npy": Npy(), "npz": Npy(), "blosc": Blosc(), "jpg": Jpeg(), "png": Png(), "json": Json(),
    "rgb": Rgb(), "text": Text(), "cls": Cls(),
}  # fmt: skip
