"""What a member of a strangers' tar holds: an array, a picture, a number, a text, several arrays, or nothing known."""

from collections.abc import Callable
from typing import NamedTuple

from ..codecs import INTEGER
from ..errors import FormatError
from ..members import LABELS
from ..plain import printable
from .arrays import npy, npz
from .pictures import picture

LONGEST = 200  # characters of an ending
INT64 = 1 << 63
PICKLES = ("pyd", "pkl", "pickle", "pth", "pt", "ckpt", "joblib")


class Entry(NamedTuple):
    """One value of a record.

    Attributes:
        raw: the member's ending in lower case (`image.jpg`), and behind a slash the name of an array in an archive.
        codec: name of the codec, "" where it is left out.
        dtype: numpy's name, or "json".
        shape: sizes.
        offset: of the array data in the member's bytes.
        size: bytes of them.
        why: why it is left out.
    """

    raw: str
    codec: str = ""
    dtype: str = ""
    shape: tuple[int, ...] = ()
    offset: int = 0
    size: int = 0
    why: str = ""


def entries_of(ending: str, data: memoryview) -> list[Entry]:
    """What a member holds.

    Args:
        ending: what stands behind the first dot of its base name, in lower case.
        data: its bytes.
    """
    raw = printable(ending)[:LONGEST]
    kind = raw.rpartition(".")[2]
    if kind in PICKLES:
        return [Entry(raw, why="a pickle, which could run code: never read")]
    if kind == "blosc":
        return [Entry(raw, why="a Blosc frame, which does not say its dtype; dataset.json would")]
    if kind not in READERS:
        return [Entry(raw, why="of a kind that is not read")]
    try:
        return READERS[kind](raw, data)
    except FormatError as error:
        return [Entry(raw, why=str(error))]


def _npy(raw: str, data: memoryview) -> list[Entry]:
    return [Entry(raw, "npy", *npy(data))]


def _npz(raw: str, data: memoryview) -> list[Entry]:
    """Arrays of an archive; a name that is there twice counts once, as for numpy, whose last one wins."""
    found: dict[str, Entry] = {}
    for name, start, size in npz(data):
        stem, _, kind = name.rpartition(".")
        inner = f"{raw}/{printable(stem if kind == 'npy' else name)[:LONGEST]}"
        if start < 0:
            found[inner] = Entry(inner, why="compressed; numpy.savez writes archives that are read in place")
        elif kind != "npy" or not stem:
            found[inner] = Entry(inner, why="in an archive, but no .npy file")
        else:
            try:
                array = npy(data[start : start + size])
            except FormatError as error:
                found[inner] = Entry(inner, why=str(error))
            else:
                codec = "npz" if raw == LABELS else "npy"
                found[inner] = Entry(inner, codec, array.dtype, array.shape, start + array.offset, array.size)
    return list(found.values())


def _picture(raw: str, data: memoryview) -> list[Entry]:
    return [Entry(raw, *picture(data), 0, len(data))]


def _json(raw: str, data: memoryview) -> list[Entry]:
    return [Entry(raw, "json", "json", (), 0, len(data))]


def _text(raw: str, data: memoryview) -> list[Entry]:
    return [Entry(raw, "text", "json", (), 0, len(data))]


def _cls(raw: str, data: memoryview) -> list[Entry]:
    text = bytes(data[:64])
    if len(data) > 64 or not INTEGER.fullmatch(text) or not -INT64 <= int(text) < INT64:
        raise FormatError("no integer of 64 bits")
    return [Entry(raw, "cls", "int64", (), 0, len(data))]


READERS: dict[str, Callable[[str, memoryview], list[Entry]]] = {
    "npy": _npy, "npz": _npz, "jpg": _picture, "jpeg": _picture, "png": _picture, "json": _json, "jsn": _json,
    "txt": _text, "text": _text, "transcript": _text, "cls": _cls, "cls2": _cls, "index": _cls, "inx": _cls, "id": _cls,
}  # fmt: skip
