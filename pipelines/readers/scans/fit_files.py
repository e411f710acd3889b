"""Files of fits: pickles, read without running anything, and npz archives."""

import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from tokenize import TokenError
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from ....datasets.safe_pickle import safe_loads
from ...rawfiles import RawFiles
from .fit import BodyFit, Gender, any_fit, cape_fit, pamir_fit, thuman2_fit

Kind = Literal["thuman2", "pamir", "cape", "any"]
MOST_BYTES = 64 << 20  # of a fit, inflated


def read_fit(files: RawFiles, path: str, kind: Kind, gender: Gender | None = None) -> BodyFit:
    """The fit in a file.

    Args:
        files: the raw files.
        path: relative to RAW; a pickle, or an npz archive by its ending.
        kind: how it is written; `any` tells it by its keys.
        gender: of the model, where the file does not say it.

    Raises:
        FormatError: it is damaged, hostile, or another kind of fit.
        RawDataError: it cannot be read.
        FileNotFoundError: there is no such file.
    """
    data = files.read(path)
    with files.stages("parse fit"):
        values = npz_arrays(data, path) if path.lower().endswith(".npz") else _pickled(data, path)
        if kind == "thuman2":
            return thuman2_fit(values, path, gender)
        if kind == "any":
            return any_fit(values, gender, path)
        if gender is None:
            raise FormatError(f"{path}: does not say its gender; give it")
        return pamir_fit(values, path, gender) if kind == "pamir" else cape_fit(values, gender, path)


def _pickled(data: bytes, path: str) -> Mapping[str, Any]:
    if len(data) > MOST_BYTES:
        raise FormatError(f"{path}: {len(data)} bytes; refused: a fit has up to {MOST_BYTES}")
    values = safe_loads(data, path)
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise FormatError(f"{path}: holds a {type(values).__name__}, not parameters by their names")
    return values


def npz_arrays(data: bytes, source: str, most: int = MOST_BYTES) -> dict[str, NDArray]:
    """Arrays of an npz archive, compressed or not, by name; sizes are checked before memory is taken.

    Args:
        data: the file.
        source: what it is called in messages.
        most: bytes of all arrays together.

    Raises:
        FormatError: it is no such archive, is damaged, inflates to more than `most`, or holds objects.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
            if sum(member.file_size for member in members) > most:
                raise FormatError(f"{source}: inflates to more than {most} bytes; refused")
            return {member.filename.removesuffix(".npy"): _npy(archive.read(member)) for member in members}
    except FormatError as error:
        raise FormatError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, RuntimeError,
            NotImplementedError, MemoryError) as error:  # fmt: skip
        raise FormatError(f"{source}: no npz archive, or a damaged one ({type(error).__name__}: {error})") from error


def _npy(data: bytes) -> NDArray:
    """The array of a whole `.npy` file, once its header was found to agree with its size."""
    stream = io.BytesIO(data)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, fortran, dtype = read[np.lib.format.read_magic(stream)](stream)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, MemoryError, TokenError, KeyError) as error:
        raise FormatError(f".npy header is damaged ({type(error).__name__}: {error})") from error
    if dtype.kind not in "biufcSU" or not dtype.itemsize:
        raise FormatError(f".npy file of {dtype}; refused: numbers and texts are read")
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(data) - stream.tell():
        raise FormatError(f".npy file of {len(data)} bytes does not hold {shape} elements")
    array = np.frombuffer(data, dtype, prod(shape), stream.tell()) if prod(shape) else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran else "C").copy()
