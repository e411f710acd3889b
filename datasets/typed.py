"""Dataclasses from JSON that may come from a stranger: each value has the type that its class says."""

import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

Kind = TypeVar("Kind")


def typed(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """An instance of the dataclass `kind` from its fields' values.

    Raises:
        TypeError: a field is unknown, missing, or not of its annotated type; the message names it.
    """
    hints = _hints(kind)  # type: ignore[arg-type]
    for name, value in values.items():
        if type(value) is hints.get(name):
            continue  # the common case, ten thousand times over
        if name in hints and not fits(value, hints[name]):
            raise TypeError(f"{kind.__name__}.{name} is {str(value)[:80]!r}, not {_text(hints[name])}")
    return kind(**values)


@lru_cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@lru_cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return typing.get_origin(hint), typing.get_args(hint)


def _text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


def fits(value: Any, hint: Any) -> bool:
    """Whether `value` is of the annotated type `hint`: classes, unions, literals, and plain containers of them.

    A bool is no int here.
    """
    origin, arguments = _parts(hint)
    if hint is Any:
        return True
    if origin is typing.Literal:
        return value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items()
        )
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(item, arguments[0]) for item in value)
    return isinstance(value, hint) and not (hint is int and isinstance(value, bool))
