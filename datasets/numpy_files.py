"""`.npy` files and members of `.npz` from tars of strangers: no pickle, no size that is not checked first."""

import io
import struct
import zipfile
import zlib
from math import prod
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
