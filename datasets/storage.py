"""How floats are stored as small as their own accuracy allows; decoding gives ordinary arrays."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError, SchemaError
from .typed import typed


@runtime_checkable
class Storage(Protocol):
    """A reversible change of representation between a field's arrays and what its codec writes."""

    def stored(self, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.dtype, tuple[int, ...]]:
        """Stored dtype and shape of an array of the given dtype and shape."""
        ...

    def pack(self, array: NDArray) -> NDArray:
        """The stored array."""
        ...

    def unpack(self, array: NDArray, dtype: np.dtype) -> NDArray:
        """The ordinary array of the field's dtype."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Entry of the schema."""
        ...


@dataclass(frozen=True)
class Octahedral:
    """Unit vectors (..., 3) as two integers of `bits` bits (..., 2): octahedral mapping of Meyer et al. 2010.

    Largest error: 0.06 degrees at 12 bits, 0.015 at 14 (float16 components: 0.022). The zero vector
    ("no direction") is kept by a reserved code; vectors shorter than 1e-38 become zero. NaN cannot be kept.
    """

    bits: int = 14

    def __post_init__(self) -> None:
        """Refuse bits that no code has."""
        if not 2 <= self.bits <= 16:
            raise SchemaError(f"octahedral storage has 2 to 16 bits, not {self.bits}")

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 2  # even, so that 0 is represented exactly and axes survive the round trip

    def stored(self, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.dtype, tuple[int, ...]]:
        """uint16 (uint8 up to 8 bits), the last axis 2 instead of 3."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16), (*shape[:-1], 2)

    def pack(self, array: NDArray) -> NDArray:
        """Codes (..., 2) of vectors (..., 3); vectors need not be of unit length, zero stays zero."""
        vector = np.asarray(array, np.float32)
        x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
        norm = np.abs(x) + np.abs(y) + np.abs(z)
        zero = norm < np.finfo(np.float32).tiny  # below it, the reciprocal overflows
        scale = 1 / np.where(zero, np.float32(1), norm)
        u, v = x * scale, y * scale
        below = z < 0
        u, v = (
            np.where(below, (1 - np.abs(v)) * np.copysign(np.float32(1), u), u),
            np.where(below, (1 - np.abs(u)) * np.copysign(np.float32(1), v), v),
        )
        dtype, shape = self.stored(vector.dtype, vector.shape)
        codes = np.empty(shape, dtype)
        for axis, value in enumerate((u, v)):
            code = np.rint((value + 1) * np.float32(self._top / 2))
            codes[..., axis] = np.where(zero, np.float32(self._top + 1), code)
        return codes

    def unpack(self, array: NDArray, dtype: np.dtype) -> NDArray:
        """Unit vectors (..., 3) of codes (..., 2)."""
        both = np.ascontiguousarray(array).view(np.dtype(f"<u{2 * array.itemsize}"))[..., 0]
        bits = 8 * array.itemsize
        first = both & ((1 << bits) - 1)
        there = np.flatnonzero(first <= self._top)
        vector = np.zeros((*both.shape, 3), dtype)
        if 2 * len(there) > both.size:
            self._turn(first, both >> bits, vector, ...)
            vector[first > self._top] = 0
        elif len(there):  # a picture's background costs next to nothing
            self._turn(first.reshape(-1)[there], both.reshape(-1)[there] >> bits, vector.reshape(-1, 3), there)
        return vector

    def _turn(self, first: NDArray, second: NDArray, out: NDArray, places: Any) -> None:
        """Write the unit vectors of codes (...,) and (...,) into some places of `out`, its last axis x, y, z."""
        step = np.float32(2 / self._top)
        u, v = first.astype(np.float32) * step - 1, second.astype(np.float32) * step - 1
        z = 1 - np.abs(u) - np.abs(v)
        fold = np.maximum(-z, 0)
        u, v = u - np.copysign(fold, u), v - np.copysign(fold, v)
        scale = np.asarray(1 / np.sqrt(u * u + v * v + z * z))
        for axis, value in enumerate((u, v, z)):
            out[places, axis] = value * scale

    def to_json(self) -> dict[str, Any]:
        """Entry of the schema."""
        return {"kind": "octahedral", "bits": self.bits}


@dataclass(frozen=True)
class Rounded:
    """Float16 rounded to `mantissa` explicit mantissa bits (relative error at most 2 ** -(mantissa + 1)).

    The cleared bits are what the array codec compresses away. Rounding is to nearest, ties to even; it never
    turns a finite value into infinity. Below 2 ** -14, where float16 has fewer digits, a further 2 ** -25 may be lost.
    """

    mantissa: int = 8

    def __post_init__(self) -> None:
        """Refuse mantissas that float16 has not."""
        if not 0 <= self.mantissa <= 10:
            raise SchemaError(f"rounded storage has 0 to 10 mantissa bits, not {self.mantissa}")

    def stored(self, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.dtype, tuple[int, ...]]:
        """float16, same shape."""
        return np.dtype(np.float16), shape

    def pack(self, array: NDArray) -> NDArray:
        """Rounded float16 copy; finite values beyond float16 are clamped to its largest rounded value."""
        drop = 23 - self.mantissa  # rounded as float32, in one step: by way of float16, ties would be rounded twice
        largest = np.array(0x477FFFFF >> drop << drop, np.uint32).view(np.float32)
        bits = np.asarray(np.clip(array, -largest, largest), np.float32).view(np.uint32)
        rounded = (bits + np.uint32((1 << (drop - 1)) - 1) + ((bits >> drop) & 1)) >> drop << drop
        half = np.asarray(rounded).view(np.float32).astype(np.float16)
        special = ~np.isfinite(array)
        if special.any():
            half[special] = array[special]
        return half

    def unpack(self, array: NDArray, dtype: np.dtype) -> NDArray:
        """The values in the field's dtype."""
        return array.astype(dtype, copy=False)

    def to_json(self) -> dict[str, Any]:
        """Entry of the schema."""
        return {"kind": "rounded", "mantissa": self.mantissa}


@dataclass(frozen=True)
class Linear:
    """Floats of a known range as integers of `bits` bits: code c stands for low + c (high - low) / (2^bits - 1).

    Largest error: half a step, (high - low) / (2^bits - 1) / 2. Both ends are codes; the middle is not. Codes are kept
    exactly: the decoded float32 or float64 value packs to the same code again. A value that is NaN, or more than half
    a step outside the range, cannot be kept and is refused.
    """

    low: float
    high: float
    bits: int = 16

    def __post_init__(self) -> None:
        """Refuse ranges and bits whose codes float32 could not tell apart."""
        if not 2 <= self.bits <= 16:
            raise SchemaError(f"linear storage has 2 to 16 bits, not {self.bits}")
        most = max(abs(self.low), abs(self.high))
        if not (np.isfinite(most) and most <= np.finfo(np.float32).max / 4 and self.low < self.high):
            raise SchemaError(f"linear storage from {self.low} to {self.high}: that is no range")
        if self._step < 2 * np.spacing(np.float32(most)):
            raise SchemaError(
                f"linear storage from {self.low} to {self.high}: float32 cannot hold {self.bits} bits of it"
            )

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 1

    @property
    def _step(self) -> float:
        return (self.high - self.low) / self._top

    def stored(self, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.dtype, tuple[int, ...]]:
        """uint16 (uint8 up to 8 bits), same shape."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16), shape

    def pack(self, array: NDArray) -> NDArray:
        """The nearest codes.

        Raises:
            SchemaError: values that are NaN or outside the range.
        """
        codes = np.rint((np.asarray(array, np.float64) - self.low) / self._step)
        bad = ~((codes >= 0) & (codes <= self._top))  # written so that NaN is bad
        if bad.any():
            raise SchemaError(
                f"linear storage: {int(bad.sum())} of {bad.size} values are NaN or not within {self.low} to {self.high}"
            )
        dtype, _ = self.stored(np.dtype(np.float64), codes.shape)
        return np.asarray(codes).astype(dtype)

    def unpack(self, array: NDArray, dtype: np.dtype) -> NDArray:
        """The values of codes, rounded once, to the field's dtype."""
        return np.asarray(self.low + array.astype(np.float64) * self._step).astype(dtype)

    def to_json(self) -> dict[str, Any]:
        """Entry of the schema."""
        return {"kind": "linear", "low": float(self.low), "high": float(self.high), "bits": self.bits}


@dataclass(frozen=True)
class Barycentric:
    """Barycentric coordinates (..., 3) as the second and the third in `bits` bits (..., 2); the first is what is left.

    Decoded coordinates are not negative and sum to one. Largest error: a step, 1 / (2^bits - 1), of the second and
    third, and two of the first. Coordinates that are no such, by more than a thousandth, are refused.
    """

    bits: int = 8

    def __post_init__(self) -> None:
        """Refuse bits that no code has."""
        if not 2 <= self.bits <= 16:
            raise SchemaError(f"barycentric storage has 2 to 16 bits, not {self.bits}")

    @property
    def _top(self) -> int:
        return (1 << self.bits) - 1

    def stored(self, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[np.dtype, tuple[int, ...]]:
        """uint16 (uint8 up to 8 bits), the last axis 2 instead of 3."""
        return np.dtype(np.uint8 if self.bits <= 8 else np.uint16), (*shape[:-1], 2)

    def pack(self, array: NDArray) -> NDArray:
        """Codes (..., 2) of coordinates (..., 3).

        Raises:
            SchemaError: coordinates that are negative, or do not sum to one.
        """
        values = np.asarray(array, np.float64)
        good = (values >= -1e-3).all(-1) & (np.abs(values.sum(-1) - 1) <= 1e-3)  # written so that NaN is bad
        if not good.all():
            raise SchemaError(
                f"barycentric storage: {int((~good).sum())} of {good.size} are no barycentric coordinates"
            )
        values = np.clip(values, 0, 1)
        codes = np.rint(values[..., 1:] / values.sum(-1, keepdims=True) * self._top).astype(np.int64)
        over = codes.sum(-1) > self._top
        codes[..., 0] -= over & (codes[..., 0] >= codes[..., 1])
        codes[..., 1] -= over & (codes.sum(-1) > self._top)
        return codes.astype(self.stored(values.dtype, values.shape)[0])

    def unpack(self, array: NDArray, dtype: np.dtype) -> NDArray:
        """Coordinates (..., 3) of codes (..., 2)."""
        first = self._top - array.astype(np.int32).sum(-1, keepdims=True)
        return (np.concatenate([first, array], -1) / self._top).astype(dtype)

    def to_json(self) -> dict[str, Any]:
        """Entry of the schema."""
        return {"kind": "barycentric", "bits": self.bits}


def storage_from_json(entry: dict[str, Any] | None) -> Storage | None:
    """The storage that a schema entry names; None where arrays are stored as they are.

    Raises:
        FormatError: the kind is unknown to this version.
        SchemaError, TypeError: its options are wrong.
    """
    if entry is None:
        return None
    kinds: dict[str, Any] = {
        "octahedral": Octahedral, "rounded": Rounded, "linear": Linear, "barycentric": Barycentric,
    }  # fmt: skip
    options = dict(entry)
    kind = options.pop("kind", None)
    if kind not in kinds:
        raise FormatError(f"storage kind {kind!r} is unknown to this version of Tessera; upgrade it")
    return typed(kinds[kind], options)
