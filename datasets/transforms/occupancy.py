"""Occupancy from signed distance: inside is where the distance is negative. It is not stored twice."""

from typing import Any

from numpy.typing import NDArray

from ..schema import Field
from ._fields import Record, require


class Occupancy:
    """Adds `occupancy`, true where the signed distance is below zero."""

    name = "occupancy"
    reads: tuple[str, ...] = ("sdf",)
    writes: tuple[Field, ...] = (
        Field(
            "occupancy", "bool", ("points",), "npy", meaning="inside: sdf < 0; NaN and points on the surface are not"
        ),
    )

    def __init__(self, field: str = "sdf") -> None:
        """Options.

        Args:
            field: the signed distance, metres, negative inside (`subject.sdf` where it comes over a reference).
        """
        self.reads = (field,)

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record's arrays with `occupancy` added, bool, of the distances' shape.

        Raises:
            SchemaError: the distance is missing, or the record has an `occupancy` of its own.
        """
        require(self.name, record, self.reads, self.writes)
        return {**record, "occupancy": record[self.reads[0]] < 0}


TRANSFORM = Occupancy
