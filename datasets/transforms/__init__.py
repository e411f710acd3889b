"""Named transforms of a record: arrays that follow exactly from stored fields, computed when the record is read.

A transform is one file here and is found by being there. The file defines TRANSFORM, a class whose instances take one
record's arrays (name to array) and return a new mapping with arrays added. numpy alone is needed.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from ..errors import UsageError
from ..schema import Field

Arrays = Mapping[str, NDArray[Any]]


class Transform(Protocol):
    """One transform, options included.

    Attributes:
        name: the file's name.
        reads: fields that the record must have.
        writes: the arrays added, as schema entries.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[Field, ...]

    def __call__(self, record: Arrays) -> dict[str, NDArray[Any]]:
        """The record's arrays and those of `writes`; the mapping given is not changed."""
        ...


def transform_names() -> list[str]:
    """Names of all transforms: their files' names. Nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_transform(name: str, **options: Any) -> Transform:
    """The transform called `name`.

    Args:
        name: one of `transform_names()`.
        options: keyword arguments of its class.

    Returns:
        a new instance.

    Raises:
        UsageError: there is no such transform, or it does not take these options.
    """
    if name not in transform_names():
        raise UsageError(f"no transform {name!r} (transforms: {', '.join(transform_names())})")
    transform = importlib.import_module(f"{__name__}.{name}").TRANSFORM
    try:
        return transform(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"transform {name}: {error}") from error
