"""Records must hold what a network sees: optional fields that are absent would be read as zeros."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..datasets.errors import SchemaError
from ..datasets.schema import Field


class Required:
    """Refuses a record that lacks a field.

    Args:
        fields: paths that each record must have.
        engine: who wants them, for messages.
    """

    name = "required"
    writes: tuple[Field, ...] = ()

    def __init__(self, fields: Sequence[str], engine: str) -> None:
        self.reads, self.engine = tuple(fields), engine

    def __call__(self, record: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """The record as it is.

        Raises:
            SchemaError: it lacks one of the fields.
        """
        lacking = [name for name in self.reads if name not in record]
        if lacking:
            raise SchemaError(
                f"the record has no {', '.join(lacking)} (a scan without a fit?), which engine {self.engine} wants of "
                "each record: build shards of the scans that have it, or choose inputs that do without"
            )
        return record
