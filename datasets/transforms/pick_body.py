"""One body of a record that has several: the fit to a scan, or one of its noise variants.

ICON trains with a body whose pose and shape are noisy (`add_noise`, lib/dataset/PIFuDataset.py), yet gives the network
the fit's own normal pictures and visibility. Here these follow the body that is picked; what is stored of the fit alone
(its depths, its parts in the picture) stays the fit's.
"""

from collections.abc import Iterator
from dataclasses import replace
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ..errors import SchemaError, UsageError
from ..schema import Field
from ._fields import BODIES, Fields, Record

NOISY, FIT = "noisy_normal_", "body_normal_"


class PickBody:
    """Takes one body of all fields with a dimension `bodies`, and its normal pictures.

    Where the record has `noisy_normal_...` (picture k is that of body k + 1), `body_normal_...` becomes the picture of
    the body that was picked, and the noisy ones are dropped.

    Args:
        body: number of a body, 0 for the fit; or "random", any of the record's bodies, each as likely as the others.
        noisy: how often; the other records have the fit.

    Attributes:
        changes: after `bind`, the entries that fields have from then on; None for those that are gone.

    Raises:
        ValueError: no such body, or a share outside 0 to 1.
    """

    name = "pick_body"
    reads: tuple[str, ...] = ()
    writes: tuple[Field, ...] = ()

    def __init__(self, body: int | Literal["random"] = 0, noisy: float = 1.0) -> None:
        if isinstance(body, bool) or (isinstance(body, str) and body != "random") or not 0 <= noisy <= 1:
            raise ValueError(f"body {body!r} must be a number or 'random', noisy {noisy} a share, 0 to 1")
        self.body = None if isinstance(body, str) else index(body)
        if self.body is not None and self.body < 0:
            raise ValueError(f"body {body}: bodies are counted from 0")
        self.noisy = noisy
        self.random = self.body is None or (self.body > 0 and noisy < 1)
        self.changes: dict[str, Field | None] = {}
        self._behind: dict[str, int] = {}
        self._pictures: dict[str, str] = {}

    def bind(self, fields: Fields) -> None:
        """Find the fields of bodies.

        Raises:
            UsageError: there are none; or the fit's own pictures, which may be wanted, are not among them.
        """
        self._behind = {  # axes behind that of the bodies: those before may be more than the schema has
            name: len(field.shape) - 1 - field.shape.index(BODIES)
            for name, field in fields.items() if BODIES in field.shape
        }  # fmt: skip
        self._pictures = {
            name: f"{prefix}{dot}{FIT}{base.removeprefix(NOISY)}" for name in fields
            for prefix, dot, base in [name.rpartition(".")] if base.startswith(NOISY)
        }  # fmt: skip
        if not self._behind and not self._pictures:
            raise UsageError(
                f"transform {self.name}: no field has a dimension {BODIES!r} among {', '.join(fields) or 'none'}; ask "
                "for what is known of bodies (such as subject.body_face), or leave the transform out"
            )
        lacking = [fit for fit in self._pictures.values() if fit not in fields]
        if lacking and (self.random or self.body == 0):
            raise UsageError(f"transform {self.name}: ask for {', '.join(lacking)} too: the fit's pictures are there")
        taken = {name: _without(fields[name], -1 - behind) for name, behind in self._behind.items()}
        shown = {fit: _without(fields[name], 0, fit.rpartition(".")[2]) for name, fit in self._pictures.items()}
        self.changes = {**taken, **shown, **dict.fromkeys(self._pictures)}

    def __call__(self, record: Record, rng: Generator | None = None) -> dict[str, NDArray[Any]]:
        """The record with one body.

        Args:
            record: arrays of the fields given to `bind`; axes in front of those that the schema names are free.
            rng: decides which body; needed where `random` is true.

        Returns:
            a new mapping; the arrays are views of those given.

        Raises:
            SchemaError: the record has no body of that number; the message names a field.
            UsageError: `bind` was not called.
        """
        if not self.changes:
            raise UsageError(f"transform {self.name}: call bind(fields) first (a Stream does)")
        body = self.body if rng is None or not self.random else self._drawn(record, rng)
        if body is None:
            raise UsageError(f"transform {self.name}: a body is drawn, which needs a generator: call it with rng")
        made = {name: array for name, array in record.items() if name not in self._pictures}
        for name, behind in self._behind.items():
            if name in record:
                made[name] = self._taken(name, record[name], body, behind)
        for name, fit in self._pictures.items() if body else ():
            if name in record:
                made[fit] = self._taken(name, record[name], body - 1, 3)
            elif fit in record:
                raise SchemaError(f"transform {self.name}: the record has `{fit}` of the fit alone, not of body {body}")
        return made

    def _drawn(self, record: Record, rng: Generator) -> int:
        if self.noisy < 1 and rng.random() >= self.noisy:
            return 0
        if self.body is not None:
            return self.body
        return int(rng.integers(next(self._counts(record), 1)))

    def _counts(self, record: Record) -> Iterator[int]:
        """Bodies of the record, by each field that it has."""
        yield from (_axis(record[name], behind) for name, behind in self._behind.items() if name in record)
        yield from (1 + _axis(record[name], 3) for name in self._pictures if name in record)

    def _taken(self, name: str, array: NDArray[Any], body: int, behind: int) -> NDArray[Any]:
        count = _axis(array, behind)
        if body >= count:
            what = f"{count} bodies" if name in self._behind else f"pictures of {count} bodies beside the fit"
            wanted = body if name in self._behind else body + 1
            raise SchemaError(f"transform {self.name}: `{name}` has {what}, there is no body {wanted}")
        taken: tuple[Any, ...] = (..., body, *(slice(None),) * behind)
        return array[taken]


def _axis(array: NDArray[Any], behind: int) -> int:
    return array.shape[array.ndim - 1 - behind]


def _without(field: Field, axis: int, name: str = "") -> Field:
    """The entry of a field that has lost an axis; its codec, which is past, might not do for that.

    The storage says what the numbers are (barycentric coordinates, unit vectors) as long as the last axis is theirs.
    """
    shape = tuple(np.delete(np.array(field.shape, object), axis))
    storage = field.storage if shape[-1:] == field.shape[-1:] else None
    return replace(field, name=name or field.name, shape=shape, codec="npy", storage=storage, options={})


TRANSFORM = PickBody
