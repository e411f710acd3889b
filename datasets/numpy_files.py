"""`.npy` files and members of `.npz` of strangers: no pickle, no size that is not checked first."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from tokenize import TokenError

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError


def npy_array(data: memoryview, dtype: np.dtype, shape: tuple[int | None, ...]) -> NDArray:
    """The array of a whole `.npy` file.

    Args:
        data: the file.
        dtype: element type that it must have.
        shape: shape that it must have, None standing for any length of an axis.

    Returns:
        A new, writable array.

    Raises:
        FormatError: it is no `.npy` file, or of another dtype, shape or size; no memory was taken.
    """
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise FormatError(f".npy version {version} is none that is written here")
        found, fortran, kind = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError, TokenError) as error:
        raise FormatError(f".npy header is damaged ({type(error).__name__}: {error})") from error
    same = len(found) == len(shape) and all(n in (None, m) for n, m in zip(shape, found, strict=True))
    if kind != dtype or fortran or not same:
        raise FormatError(f".npy file holds {kind} {found}, the schema says {dtype} {shape}".replace("None", "n"))
    if min(found, default=0) < 0 or len(data) - stream.tell() != prod(found) * dtype.itemsize:
        raise FormatError(f".npy file of {len(data)} bytes does not hold {found} elements")
    return np.frombuffer(data, dtype, offset=stream.tell()).reshape(found).copy()


def npz_members(data: bytes, names: list[str]) -> dict[str, bytes]:
    """The bytes of `.npy` files in an uncompressed `.npz`, by name; those that it has.

    Raises:
        FormatError: it is no zip archive, is damaged, or a member is compressed: none of ours is, and a small one could
            inflate to any size.
    """
    found = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            there = set(archive.namelist())
            for name in names:
                if f"{name}.npy" in there:
                    member = archive.getinfo(f"{name}.npy")
                    if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(data):
                        raise FormatError(f"{name}.npy is compressed, or larger than its archive; refused")
                    found[name] = archive.read(member)
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise FormatError(f"damaged archive ({type(error).__name__}: {error})") from error
    return found


def npz_numbers(path: Path, names: Sequence[str], most: int) -> dict[str, NDArray]:
    """Arrays of numbers in an `.npz` that a user wrote, compressed or not, by name; those that it has.

    Args:
        path: the file.
        names: of arrays.
        most: bytes that an array may have.

    Raises:
        FormatError: it cannot be read, is no such archive, or an array is larger than that, of no numbers (a pickle is
            never run), or not what its header says; no memory was taken for it.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            there = {member.filename: member for member in archive.infolist()}
            for name in names:
                member = there.get(f"{name}.npy")
                if member is not None:
                    if member.file_size > most:
                        raise FormatError(f"{name} has {member.file_size} bytes, more than {most}; refused")
                    with archive.open(member) as stream:
                        found[name] = _numbers(name, stream.read(most + 1))
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError) as error:
        raise FormatError(f"no npz of plain arrays ({type(error).__name__}: {str(error)[:100]})") from error
    return found


def _numbers(name: str, data: bytes) -> NDArray:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(stream)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError, TokenError) as error:
        raise FormatError(f"{name}: .npy header is damaged ({type(error).__name__}: {str(error)[:100]})") from error
    if kind.kind not in "fiu" or min(shape, default=0) < 0 or len(data) - stream.tell() != prod(shape) * kind.itemsize:
        raise FormatError(f"{name}: {kind} {shape} in {len(data)} bytes: not an array of numbers, or cut short")
    return np.frombuffer(data, kind, offset=stream.tell()).reshape(shape, order="F" if fortran else "C").copy()
