"""What a pickle may name, made by hand: no class of numpy, scipy, trimesh or chumpy is ever asked to build itself.

Arrays come from their bytes after shape, dtype and size were compared, because `ndarray.__setstate__` and
`dtype.__setstate__` trust what they are given. The few classes that published files name become plain values.
"""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import FormatError
from .sparse_matrix import SparseMatrix, sparse_matrix

DTYPE = re.compile(r"[biufc]\d{1,2}|[SU]\d{1,6}", re.ASCII)
ARRAYS = ("numpy.ndarray", "trimesh.caching.TrackedArray")
SPARSE = re.compile(r"scipy\.sparse\.(?:_?cs[cr]\.)?(cs[cr])_(?:matrix|array)", re.ASCII)
CHUMPY = "chumpy.ch.Ch"
MOST_AXES, LONGEST_AXIS = 32, 1 << 40
LAST_CODE_POINT = 0x10FFFF
LONGEST_KEY = 16  # values in a tuple that is a key: it is hashed each time


@dataclass(frozen=True, slots=True)
class Named:
    """A class or function that a pickle named and that is known here, by its present name; it is never called."""

    name: str


@dataclass(slots=True)
class Unbuilt:
    """An object whose state comes later in the pickle; `places` are where the pickle remembers it."""

    name: str
    payload: str = ""
    places: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Budget:
    """Bytes that may still be made out of what the pickle holds, so that a memory of it is not copied for ever."""

    left: int

    def take(self, size: int) -> None:
        """Use some of it.

        Raises:
            FormatError: there is not as much.
        """
        self.left -= size
        if self.left < 0:
            raise FormatError("makes more bytes than it has; refused")


def known(module: str, name: str) -> Named:
    """What a pickle names, under the name that it has today.

    Raises:
        FormatError: it is none of the few that are admitted.
    """
    module = {"__builtin__": "builtins", "copy_reg": "copyreg"}.get(module, module)
    full = f"{module}.{name}".replace("numpy.core.", "numpy._core.", 1)
    if full in CALLS or full in (*ARRAYS, CHUMPY, "builtins.object") or SPARSE.fullmatch(full):
        return Named(full)
    admitted = "numpy arrays and plain containers are read, nothing else, and nothing was run"
    mend = "where you trust who made the file, load it with what made it, and pickle its numbers as numpy arrays"
    raise FormatError(f"names {full[:200]}, which is refused: {admitted}; {mend}")


def call(function: Any, arguments: Any, budget: Budget) -> Any:
    """What a call that the pickle asks for would give: a value, or an object that waits for its state.

    Raises:
        FormatError: it is no call that is admitted, or its arguments are not those of a file that numpy wrote.
    """
    if not isinstance(function, Named) or type(arguments) is not tuple:
        raise FormatError("calls something that is no function; refused")
    if function.name not in CALLS:
        raise FormatError(f"calls {function.name}; refused")
    return CALLS[function.name](arguments, budget)


def new(kind: Any, arguments: Any) -> Unbuilt:
    """An object of a class without its state.

    Raises:
        FormatError: it is no class that is admitted, or is made with arguments.
    """
    if not isinstance(kind, Named) or not (kind.name == CHUMPY or SPARSE.fullmatch(kind.name)) or arguments != ():
        raise FormatError(f"makes an object of {getattr(kind, 'name', 'what is no class')}; refused")
    return Unbuilt(kind.name)


def build(thing: Any, state: Any, budget: Budget) -> Any:
    """The value of an object and its state.

    Raises:
        FormatError: it takes no state, or the state is not what it should be.
    """
    if not isinstance(thing, Unbuilt):
        raise FormatError(f"sets the state of a {type(thing).__name__}; refused")
    if thing.name == "numpy.dtype":
        return _byte_order(thing.payload, state)
    if thing.name in ARRAYS:
        if type(state) is not tuple or len(state) != 5:
            raise FormatError("state of a numpy array is none")
        _, shape, dtype, fortran, raw = state
        return _array(dtype, shape, raw, "F" if fortran else "C", budget)
    if type(state) is not dict:
        raise FormatError(f"state of {thing.name} is no dictionary")
    return _chumpy(state) if thing.name == CHUMPY else _sparse(thing.name, state, budget)


def _array(dtype: Any, shape: Any, raw: Any, order: str, budget: Budget, axes: Any = None) -> NDArray:
    """A new, writable array in the machine's byte order, once bytes and shape were found to agree."""
    if not isinstance(dtype, np.dtype):
        raise FormatError("numpy array without a dtype")
    if type(shape) is not tuple or len(shape) > MOST_AXES or not all(type(n) is int for n in shape):
        raise FormatError("numpy array without a shape")
    data = _bytes(raw, budget)
    if not all(0 <= n <= LONGEST_AXIS for n in shape) or prod(shape) * dtype.itemsize != len(data):
        raise FormatError(f"numpy array {shape} of {dtype} does not have the {len(data)} bytes that it comes with")
    budget.take(len(data))
    flat = np.frombuffer(data, dtype) if data else np.empty(0, dtype)
    if (dtype.kind == "b" and (flat.view(np.uint8) > 1).any()) or (
        dtype.kind == "U" and (flat.view(np.dtype(np.uint32).newbyteorder(dtype.byteorder)) > LAST_CODE_POINT).any()
    ):
        raise FormatError(f"numpy array of {dtype} holds what is none")
    array = flat.astype(dtype.newbyteorder("=")).reshape(shape, order="F" if order == "F" else "C")
    return array if axes is None else array.transpose(axes)


def _bytes(raw: Any, budget: Budget) -> bytes:
    """Bytes of an array; Python 2 has them in a string."""
    if type(raw) in (bytes, bytearray):
        return raw
    if type(raw) is list:
        raise FormatError("numpy array of objects; refused")
    if type(raw) is not str:
        raise FormatError("numpy array without bytes")
    budget.take(len(raw))
    return raw.encode("latin-1")


def _dtype(arguments: tuple[Any, ...], budget: Budget) -> Unbuilt:
    text = arguments[0] if arguments else None
    if type(text) is not str or not DTYPE.fullmatch(text):
        raise FormatError(f"numpy dtype {str(text)[:40]!r}; refused: numbers, truth values and texts are read")
    return Unbuilt("numpy.dtype", text)


def _byte_order(text: str, state: Any) -> np.dtype:
    """A dtype with the byte order of its state; fields, shapes and other things that a state may hold are refused."""
    plain = type(state) is tuple and len(state) in (8, 9) and state[2:5] == (None, None, None)
    if not plain or state[1] not in ("<", ">", "|", "=") or (len(state) == 9 and state[8] is not None):
        raise FormatError(f"numpy dtype {text!r} has fields or is damaged; refused")
    try:
        dtype = np.dtype(text)
    except TypeError as error:
        raise FormatError(f"numpy dtype {text!r} is none") from error
    if dtype.itemsize == 0:
        raise FormatError(f"numpy dtype {text!r} has no size; refused")
    return dtype if state[1] == "|" else dtype.newbyteorder(state[1])


def _reconstruct(arguments: tuple[Any, ...], budget: Budget) -> Unbuilt:
    if not arguments or not isinstance(arguments[0], Named) or arguments[0].name not in ARRAYS:
        raise FormatError("makes a numpy array of another class; refused")
    return Unbuilt(arguments[0].name)


def _frombuffer(arguments: tuple[Any, ...], budget: Budget) -> NDArray:
    raw, dtype, shape, order, *axes = arguments
    if order != "K" or axes in ([], [None]):
        return _array(dtype, shape, raw, order, budget)
    if type(axes[0]) is not tuple or not all(type(axis) is int for axis in axes[0]):
        raise FormatError("numpy array without an order of axes")
    if sorted(axes[0]) != list(range(len(shape))):
        raise FormatError("numpy array whose axes are not in an order")
    return _array(dtype, shape, raw, "C", budget, axes[0])


def _scalar(arguments: tuple[Any, ...], budget: Budget) -> np.generic:
    if len(arguments) != 2:
        raise FormatError("numpy scalar of objects; refused")
    return _array(arguments[0], (1,), arguments[1], "C", budget)[0]


def _encode(arguments: tuple[Any, ...], budget: Budget) -> bytes:
    text, encoding = arguments
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise FormatError("encodes a text other than as latin1; refused")
    budget.take(len(text))
    return text.encode("latin-1")


def _bytearray(arguments: tuple[Any, ...], budget: Budget) -> bytearray:
    if len(arguments) == 2:
        return bytearray(_encode(arguments, budget))
    if arguments and type(arguments[0]) is not bytes:  # a number would ask for that many bytes
        raise FormatError("makes a bytearray of other than bytes; refused")
    budget.take(sum(map(len, arguments)))
    return bytearray(*arguments)


def _empty_bytes(arguments: tuple[Any, ...], budget: Budget) -> bytes:
    if arguments:
        raise FormatError("makes bytes with arguments; refused")
    return b""


def _items(arguments: tuple[Any, ...], budget: Budget) -> list[Any]:
    """The list that a set or a dictionary is made of."""
    if len(arguments) > 1 or not all(type(x) in (list, tuple) for x in arguments):
        raise FormatError("makes a container of what is no list; refused")
    items = list(arguments[0]) if arguments else []
    budget.take(len(items))
    return items


def _set(arguments: tuple[Any, ...], budget: Budget) -> set[Any]:
    return set(map(hashable, _items(arguments, budget)))


def _ordered(arguments: tuple[Any, ...], budget: Budget) -> "OrderedDict[Any, Any]":
    pairs = _items(arguments, budget)
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise FormatError("makes a dictionary of what are no pairs; refused")
    return OrderedDict((hashable(key), value) for key, value in pairs)


def _complex(arguments: tuple[Any, ...], budget: Budget) -> complex:
    if len(arguments) != 2 or not all(type(part) is float for part in arguments):
        raise FormatError("makes a complex number of what are no two numbers; refused")
    return complex(*arguments)


def _reconstructor(arguments: tuple[Any, ...], budget: Budget) -> Unbuilt:
    kind, base, state = arguments
    if base != Named("builtins.object") or state is not None:
        raise FormatError("makes an object of a class that is derived from others; refused")
    return new(kind, ())


def hashable(key: Any) -> Any:
    """`key`, if it can be one without harm: the hash of nested tuples recurses, without a limit, in C.

    Raises:
        FormatError: it is no plain value nor a tuple of such.
    """
    plain = (str, bytes, int, float, complex, bool, type(None), np.generic)
    few = type(key) is tuple and len(key) <= LONGEST_KEY
    if isinstance(key, plain) or (few and all(isinstance(part, plain) for part in key)):
        return key
    raise FormatError(f"has a {type(key).__name__} as a key; refused")


def _sparse(name: str, state: dict[Any, Any], budget: Budget) -> SparseMatrix:
    """A sparse matrix; its arrays, looked through, count against the budget."""
    found = SPARSE.fullmatch(name)
    shape = state.get("_shape", state.get("shape"))
    parts = [state.get(key) for key in ("data", "indices", "indptr")]
    if not found or not all(type(part) is np.ndarray for part in parts):
        raise FormatError(f"{name} lacks one of its three arrays")
    budget.take(sum(part.nbytes for part in parts if part is not None))
    try:
        return sparse_matrix(found[1], shape, *parts)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def _chumpy(state: dict[Any, Any]) -> NDArray:
    """The array that a chumpy variable holds."""
    value = state.get("x")
    if type(value) is not np.ndarray:
        raise FormatError(f"{CHUMPY} holds no array")
    return value


CALLS: dict[str, Callable[[tuple[Any, ...], Budget], Any]] = {
    "numpy.dtype": _dtype,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "_codecs.encode": _encode,
    "builtins.bytes": _empty_bytes,
    "builtins.bytearray": _bytearray,
    "builtins.set": _set,
    "builtins.frozenset": lambda arguments, budget: frozenset(_set(arguments, budget)),
    "builtins.complex": _complex,
    "collections.OrderedDict": _ordered,
    "copyreg._reconstructor": _reconstructor,
}
