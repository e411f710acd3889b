"""A record's fields as tar members: what is written, and where each field's array data lie."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .checksum import crc32
from .codecs import CODECS
from .errors import SchemaError
from .schema import Field, Schema

LABELS = "labels.npz"
CHECKSUM_BLOCK = 1 << 18
FINE_BLOCK = 1 << 16  # of large plain arrays, that parts are read of: a checksum is verified with all that it covers
BLOCKS = (CHECKSUM_BLOCK, FINE_BLOCK)
FORMAT_VERSION = 1
BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Placed:
    """Where a field's array data lie, and the CRC-32 of each block of them."""

    offset: int
    size: int
    checksums: tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """The tar bytes of one record, each field's place in them, and the sizes of its free dimensions."""

    data: bytes
    places: dict[str, Placed]
    sizes: dict[str, int]


def is_fine(entry: Field) -> bool:
    """Whether parts of a field may be read: pools are drawn from, and sequences cut."""
    rows, columns = (*entry.shape[:2], "", "")[:2]
    picture = str(rows).endswith("height") and str(columns).endswith("width")
    return entry.codec == "npy" and not picture


def block_of(size: int, *, fine: bool) -> int:
    """Bytes that a checksum covers, of a field of `size` bytes: 256 KiB; 64 KiB of what is larger and read by parts."""
    return FINE_BLOCK if fine and size > CHECKSUM_BLOCK else CHECKSUM_BLOCK


def checksums(data: bytes | memoryview, *, fine: bool) -> tuple[int, ...]:
    """CRC-32 of each block of `data`."""
    view, block = memoryview(data), block_of(len(data), fine=fine)
    return tuple(crc32(view[at : at + block]) for at in range(0, len(view), block))


def check_value(schema: Schema, entry: Field, value: Any, sizes: dict[str, int]) -> Any:
    """The stored form of `value`; free dimensions are bound in `sizes`.

    Raises:
        SchemaError: dtype or shape differ from the schema's; the message names the field.
    """
    if entry.dtype == "json":
        return value
    if not isinstance(value, np.ndarray | np.generic):
        raise SchemaError(f"field {entry.name!r}: got {type(value).__name__}, the schema says {entry.dtype} array")
    array = np.asarray(value)
    if array.dtype != np.dtype(entry.dtype):
        raise SchemaError(f"field {entry.name!r}: dtype is {array.dtype}, the schema says {entry.dtype}")
    if array.ndim != len(entry.shape):
        raise SchemaError(f"field {entry.name!r}: shape is {array.shape}, the schema says {entry.shape}")
    for found, size in zip(array.shape, entry.shape, strict=True):
        wanted = schema.dimensions[size] if isinstance(size, str) else size
        if wanted is None:
            wanted = sizes.setdefault(str(size), found)
        if found != wanted:
            raise SchemaError(f"field {entry.name!r}: shape is {array.shape}, {size} must be {wanted} in {entry.shape}")
    check_finite(entry, array)
    return entry.storage.pack(array) if entry.storage else array


def check_finite(entry: Field, array: np.ndarray) -> None:
    """Refuse infinities, and NaN unless the field says what NaN means.

    Raises:
        SchemaError: with the field's name and the number of bad values.
    """
    if array.dtype.kind != "f":
        return
    bad = np.isinf(array) if entry.nan else ~np.isfinite(array)
    if bad.any():
        what = "infinite" if entry.nan else "NaN or infinite"
        raise SchemaError(f"field {entry.name!r}: {int(bad.sum())} of {array.size} values are {what}")


def _member(name: str, data: bytes) -> bytes:
    """One ustar member, padded; the owner's names carry the format's name and version."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.uname, info.gname = len(data), 0o644, "tessera", f"format{FORMAT_VERSION}"
    try:
        header = info.tobuf(tarfile.USTAR_FORMAT)
    except ValueError as error:
        raise SchemaError(f"member {name!r}: {error}; use shorter keys") from error
    return header + data + bytes(-len(data) % BLOCK)


def _labels(arrays: dict[str, Any]) -> tuple[bytes, dict[str, tuple[int, int]]]:
    """An uncompressed `.npz` with fixed dates, and (offset, size) of each array's data in it."""
    stream, places = io.BytesIO(), {}
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            data, header = CODECS["npz"].encode(array, {})
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data)
            end = archive.start_dir
            places[name] = (end - len(data) + header, len(data) - header)
    return stream.getvalue(), places


def encode_record(schema: Schema, key: str, values: Mapping[str, Any], *, bare: bool = False) -> Encoded:
    """Check and encode one record.

    Args:
        schema: the table's schema.
        key: the record's key, already checked.
        values: field name to array (or JSON value); optional fields may be absent or None.
        bare: write a record without any field as an empty `labels.npz`, so that the tar shows its key.

    Returns:
        Tar bytes (members sorted by name), places relative to their start.

    Raises:
        SchemaError: unknown or missing field, wrong dtype or shape (the message names the field), or none at all.
    """
    unknown = sorted(set(values) - set(schema.by_name))
    if unknown:
        raise SchemaError(f"field {unknown[0]!r} is not in the schema")
    sizes: dict[str, int] = {}
    members: dict[str, tuple[bytes, dict[str, tuple[int, int]]]] = {}
    small: dict[str, Any] = {}
    for entry in schema.fields:
        value = values.get(entry.name)
        if value is None:
            if not entry.optional:
                raise SchemaError(f"field {entry.name!r} is missing")
            continue
        stored = check_value(schema, entry, value, sizes)
        if entry.codec == "npz":
            small[entry.name] = stored
            continue
        try:
            data, header = CODECS[entry.codec].encode(stored, entry.options)
        except (TypeError, ValueError, OSError, RecursionError) as error:
            raise SchemaError(f"field {entry.name!r}: {entry.codec} cannot hold it: {error}") from error
        members[f"{entry.name}.{CODECS[entry.codec].suffix}"] = data, {entry.name: (header, len(data) - header)}
    if small or (bare and not members):
        members[LABELS] = _labels(small)
    if not members:
        raise SchemaError("the record has no field at all: the tar could not show that it is there")
    parts, places, at = [], {}, 0
    for suffix, (data, spans) in sorted(members.items()):
        for name, (offset, size) in spans.items():
            sums = checksums(memoryview(data)[offset : offset + size], fine=is_fine(schema.by_name[name]))
            places[name] = Placed(at + BLOCK + offset, size, sums)
        parts.append(_member(f"{key}.{suffix}", data))
        at += len(parts[-1])
    return Encoded(b"".join(parts), places, {name: sizes.get(name, 0) for name in schema.free})
