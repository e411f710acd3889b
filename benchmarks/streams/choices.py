"""Every way to store a field: its storage or none, and each codec with its settings, by size and decoding time."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean
from time import perf_counter
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray
from PIL import Image

from ...datasets import Field
from ...datasets.codecs import CODECS
from ...datasets.loading.decoders import decoder
from ...datasets.png_rows import LEVEL, encode_rows

LEVELS = (1, 5, 9)
SHUFFLES = {"no shuffle": blosc.NOSHUFFLE, "byte shuffle": blosc.SHUFFLE, "bit shuffle": blosc.BITSHUFFLE}
QUALITIES = (85, 90, 95)
PNG_LEVELS = (6, 9)
REPEATS = 3
Encode = Callable[[NDArray], bytes]


@dataclass(frozen=True)
class Choice:
    """A codec with its settings: its name in the table, the bytes of an array, and the codec that decodes them."""

    name: str
    encode: Encode
    codec: str


def choices(array: NDArray) -> Iterator[Choice]:
    """What can hold arrays like this one."""
    yield Choice("npy", lambda value: value.tobytes(), "npy")
    for name in ("lz4", "zstd"):
        for level in LEVELS:
            for shuffle, number in SHUFFLES.items():
                yield Choice(f"blosc {name} {level}, {shuffle}", blosc.Blosc(name, level, number).encode, "blosc")
    colours = array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3
    if colours or (array.ndim == 2 and array.dtype in (np.uint8, np.uint16)):
        for level in PNG_LEVELS:
            yield Choice(f"png {level}, one filter", partial(encode_rows, level=level), "png")
        yield Choice("png 6 of Pillow", _saved("PNG", compress_level=6), "png")
    if colours:
        for quality in QUALITIES:
            yield Choice(f"jpg {quality} (lossy)", partial(_jpeg, quality), "jpg")


def rows(entry: Field, arrays: Sequence[NDArray]) -> Iterator[dict[str, Any]]:
    """A row for each choice.

    Args:
        entry: the field.
        arrays: its values in some records, as decoded.

    Returns:
        Field and storage; codec; KB a record and share of the plain array; best milliseconds to decode a record into
        memory that is there, and to bring it from its storage to the field's dtype; whether it is the schema's choice.
    """
    plain = mean(array.nbytes for array in arrays)
    for storage in (entry.storage, None) if entry.storage else (None,):
        stored = [np.ascontiguousarray(storage.pack(array) if storage else array) for array in arrays]
        unpack = 0.0
        if storage:
            unpack = _best([partial(storage.unpack, array, np.dtype(entry.dtype)) for array in stored])
        for choice in choices(stored[0]):
            encoded = [bytes(choice.encode(array)) for array in stored]
            size = mean(map(len, encoded))
            yield {
                "field": entry.name,
                "storage": str(storage.to_json()["kind"]) if storage else f"{entry.dtype}, as it is",
                "codec": choice.name,
                "KB a record": size / 1e3,
                "of plain": size / plain,
                "decode ms": _decoding(choice.codec, encoded, stored),
                "unpack ms": unpack,
                "in the schema": "yes" if choice.name == _chosen(entry) and storage == entry.storage else "",
            }


def _chosen(entry: Field) -> str:
    """Name of the choice that the schema has made."""
    level, quality = entry.options.get("level", 5), entry.options.get("quality", 95)
    png = f"png {entry.options.get('level', LEVEL)}, one filter"
    names = {"blosc": f"blosc zstd {level}, byte shuffle", "jpg": f"jpg {quality} (lossy)", "png": png}
    return names.get(entry.codec, "npy")


def _decoding(codec: str, encoded: Sequence[bytes], stored: Sequence[NDArray]) -> float:
    decode = decoder(codec) if codec != "npy" else _copy
    pairs = [(memoryview(data), np.empty_like(array)) for data, array in zip(encoded, stored, strict=True)]
    milliseconds = _best([partial(decode, data, out) for data, out in pairs])
    same = all(out.tobytes() == array.tobytes() for (_, out), array in zip(pairs, stored, strict=True))  # NaN and all
    if codec != "jpg" and not same:
        raise RuntimeError(f"{codec}: what was decoded is not what was encoded")
    return milliseconds


def _copy(data: memoryview, out: NDArray) -> None:
    out[...] = CODECS["npy"].decode(data, out.dtype, out.shape)


def _best(calls: Sequence[Callable[[], Any]]) -> float:
    """Milliseconds of a call, the mean over the calls of the best of some times."""
    times = [[_milliseconds(call) for _ in range(REPEATS)] for call in calls]
    return mean(map(min, times))


def _milliseconds(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return (perf_counter() - start) * 1e3


def _jpeg(quality: int, array: NDArray) -> bytes:
    return CODECS["jpg"].encode(array, {"quality": quality})[0]


def _saved(kind: str, **options: int) -> Encode:
    def encode(array: NDArray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(array).save(stream, kind, **options)
        return stream.getvalue()

    return encode
