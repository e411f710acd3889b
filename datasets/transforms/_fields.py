"""What transforms share: which fields they touch, and errors that name what is missing."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..errors import SchemaError, UsageError
from ..schema import Field

BODIES = "bodies"  # dimension of what is known of several bodies: the fit, and its noise variants
PICTURES = ("jpg", "png", "rgb")  # codecs that hold nothing else
Record = Mapping[str, NDArray[Any]]
Fields = Mapping[str, Field]


def require(transform: str, record: Record, reads: Sequence[str], writes: Sequence[Field]) -> None:
    """Check that a record has what a transform reads, and nothing under the names that it adds.

    Raises:
        SchemaError: it has not; the message names the fields.
    """
    missing = [name for name in reads if name not in record]
    if missing:
        raise SchemaError(f"transform {transform}: the record lacks {', '.join(missing)}; ask for these fields too")
    for entry in writes:
        if entry.name in record:
            raise SchemaError(
                f"transform {transform}: the record has a field `{entry.name}` already; leave one of them out"
            )


def prefix_of(name: str) -> str:
    """The reference that a name leads over: "neighbours" of `neighbours.image`, "" of the record's own `image`."""
    return name.rpartition(".")[0]


def is_picture(field: Field) -> bool:
    """Whether a field's shape begins with rows and columns: it is kept as a picture, or its dimensions are called so.

    Names that end in `height` and `width` count (foreign tars have one pair a member, such as `image_height`).
    """
    rows, columns = (*field.shape[:2], 0, 0)[:2]
    return field.codec in PICTURES or (str(rows).endswith("height") and str(columns).endswith("width"))


def are_positions(field: Field) -> bool:
    """Whether a field holds places in a picture, in pixels: a list of (x, y), or of (x, y, confidence)."""
    floats = field.dtype.startswith("float")
    return floats and field.unit in ("pixel", "pixels") and len(field.shape) > 1 and field.shape[-1] in (2, 3)


def measured_in(field: Field, *units: str) -> bool:
    """Whether a field's unit is one of these, or begins with one as a word ("metre per second", but not "radiance")."""
    return any(field.unit == unit or field.unit.startswith(unit + " ") for unit in units)


class Selected:
    """Fields chosen by name, checked when the stream binds; an optional field may be absent from a record.

    Args:
        name: the transform's name, for messages.
        fields: one name, or several.

    Raises:
        ValueError: no name at all.
    """

    def __init__(self, name: str, fields: str | Sequence[str]) -> None:
        self.transform = name
        self.names = (fields,) if isinstance(fields, str) else tuple(fields)
        self._optional: frozenset[str] = frozenset()
        if not self.names:
            raise ValueError("no fields are named")

    def bound(self, fields: Fields, kinds: str, wanted: str) -> "Selected":
        """The same fields, knowing which of them are optional; another object, for a transform's copies share this one.

        Args:
            fields: what the stream delivers.
            kinds: letters of the numpy dtypes that will do.
            wanted: the same in words.

        Raises:
            UsageError: a field is not delivered, or of another dtype.
        """
        missing = [name for name in self.names if name not in fields]
        if missing:
            raise UsageError(
                f"transform {self.transform}: the stream delivers no {', '.join(missing)} (it delivers: "
                f"{', '.join(fields)}); name others with fields="
            )
        for name in self.names:
            if not any(fields[name].dtype.startswith(kind) for kind in kinds.split()):
                raise UsageError(
                    f"transform {self.transform}: `{name}` is {fields[name].dtype}, and only {wanted} will do"
                )
        known = Selected(self.transform, self.names)
        known._optional = frozenset(name for name in self.names if fields[name].optional)
        return known

    def present(self, record: Record) -> list[str]:
        """Names of the fields that the record has.

        Raises:
            SchemaError: a field that is not optional is absent.
        """
        require(self.transform, record, [name for name in self.names if name not in self._optional], ())
        return [name for name in self.names if name in record]
