"""Configurations as YAML: plain values both ways, and a message that names what does not fit."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..datasets.errors import FormatError

Kind = TypeVar("Kind")


def to_yaml(config: Any) -> str:
    """A dataclass, with those in it, as YAML."""
    return yaml.safe_dump(to_plain(config), sort_keys=False, allow_unicode=True, width=120)


def to_plain(value: Any) -> Any:
    """Dataclasses, mappings, tuples and paths as what YAML and JSON know."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: to_plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: type[Kind], values: Any, base: Kind | None = None, where: str = "") -> Kind:
    """A dataclass of plain values.

    Args:
        kind: the class.
        values: its fields' values by name; those left out stay as in `base`, or as the class says.
        base: what is changed.
        where: names of the fields that lead here, for messages.

    Raises:
        FormatError: a field is unknown, missing, or its value does not fit; the message names it.
    """
    if not isinstance(values, Mapping):
        raise FormatError(f"{where or kind.__name__}: {str(values)[:80]!r} is no mapping of settings")
    hints, known = typing.get_type_hints(kind), {entry.name for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = [str(name) for name in values if name not in known]
    if unknown:
        raise FormatError(f"{where}{', '.join(unknown)}: no such setting; there are {', '.join(sorted(known))}")
    made = {
        name: _value(hints[name], value, None if base is None else getattr(base, name), f"{where}{name}")
        for name, value in values.items()
    }
    try:
        return dataclasses.replace(base, **made) if base is not None else kind(**made)  # type: ignore[type-var]
    except TypeError as error:
        raise FormatError(f"{where or kind.__name__}: {error}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; nothing in it is run.

    Raises:
        FormatError: it is no YAML, or no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: no YAML ({str(error)[:200]})") from error
    if not isinstance(values, dict):
        raise FormatError(f"{path}: no mapping of settings")
    return values


def _value(hint: Any, value: Any, base: Any, where: str) -> Any:
    """A plain value as its annotation wants it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        kind: Any = type(base) if base is not None else hint  # an engine's own configuration
        return from_plain(kind, value, base, f"{where}.")
    if origin is typing.Literal:
        if value in arguments:
            return value
    elif origin in (typing.Union, types.UnionType):
        for one in arguments:
            if (one is type(None)) == (value is None):
                return None if value is None else _value(one, value, base, where)
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return _items(arguments, value, where)
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif hint is Path:
        if isinstance(value, str | Path):
            return Path(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise FormatError(f"{where}: {str(value)[:80]!r} is not {_text(hint)}")


def _items(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_value(arguments[0], item, None, f"{where}[{number}]") for number, item in enumerate(value))
    if len(value) != len(arguments):
        raise FormatError(f"{where}: {len(value)} values, not {len(arguments)}")
    pairs = zip(arguments, value, strict=True)
    return tuple(_value(hint, item, None, f"{where}[{number}]") for number, (hint, item) in enumerate(pairs))


def _text(hint: Any) -> str:
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(str(x) for x in arguments)
    return getattr(hint, "__name__", str(hint)) if not arguments else str(hint).replace("typing.", "")
