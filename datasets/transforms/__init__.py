"""Transforms of a record: arrays that follow from stored fields, and changes of them that training draws anew.

A transform is one file here and is found by being there. The file defines TRANSFORM, a class whose instances take one
record's arrays (name to array) and return a new mapping; what they are given is never changed. numpy alone is needed.
Instances keep no state between records, so that threads share them. docs/transforms.md lists them all.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import UsageError
from ..schema import Field

Arrays = Mapping[str, NDArray[Any]]


class Transform(Protocol):
    """One transform, options included.

    Attributes:
        name: the file's name.
        reads: fields that the record must have; empty where the schema given to `bind` decides.
        writes: the arrays added, as schema entries; empty where fields are replaced under their own names.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[Field, ...]

    def __call__(self, record: Arrays) -> dict[str, NDArray[Any]]:
        """The record's arrays and those of `writes`; the mapping given is not changed."""
        ...


class RandomTransform(Protocol):
    """A transform that draws: called with a generator, keyed by whoever calls; equal generators give equal arrays.

    Attributes:
        name: the file's name.
        reads: fields that the record must have.
        writes: the arrays added.
        random: True; a transform without the attribute, or where it is False, is called with the record alone.
    """

    name: str
    reads: tuple[str, ...]
    writes: tuple[Field, ...]
    random: Literal[True]

    def __call__(self, record: Arrays, rng: Generator) -> dict[str, NDArray[Any]]:
        """The changed record; the mapping and the arrays given are not changed."""
        ...


@runtime_checkable
class NeedsFields(Protocol):
    """A transform that must know what the arrays are (frames, units, dimensions) before it sees any.

    Where it has an attribute `joint_sets`, a Stream sets that to the data set's own before `bind`; where it has an
    attribute `assets` that is None, to `datasets.assets.Assets`, which loads arrays of files that all records share.
    After `bind`, an attribute `fixed` may name fields that come out in one shape, whatever shapes they had, and an
    attribute `changes` give the entries that fields of the record have from then on, None for those that are gone:
    transforms that follow are bound to these.
    """

    def bind(self, fields: Mapping[str, Field]) -> None:
        """Called once, before the first record.

        Args:
            fields: what the record will hold: name as in the batch (`image`, `subject.points`) to schema entry.

        Raises:
            UsageError: the transform cannot do right by these fields; the message names them.
        """
        ...


def transform_names() -> list[str]:
    """Names of all transforms: their files' names. Nothing is imported."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_transform(name: str, **options: Any) -> Transform | RandomTransform:
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
