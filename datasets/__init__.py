"""Ground floor: schema, codecs, shards, index, catalog and readers (numpy, pyarrow, numcodecs and Pillow only)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .catalog import Catalog
from .errors import FormatError, RawDataError, SchemaError, TesseraError, UsageError
from .foreign import record_decoder, tar_paths
from .schema import Column, Field, Reference, Schema
from .shard import ShardWriter
from .storage import Barycentric, Linear, Octahedral, Rounded
from .table import Dataset, Record, Table
from .verify import verify

if TYPE_CHECKING:
    from .mix import Mix
    from .stream import Stream

__all__ = [
    "Barycentric", "Catalog", "Column", "Dataset", "Field", "FormatError", "Linear", "Mix", "Octahedral",
    "RawDataError", "Record", "Reference", "Rounded", "Schema", "SchemaError", "ShardWriter", "Stream", "Table",
    "TesseraError", "UsageError", "record_decoder", "tar_paths", "verify",
]  # fmt: skip


_LAZY = {"Mix": "mix", "Stream": "stream"}  # these need torch, the rest does not


def __getattr__(name: str) -> Any:
    """Streams, imported when they are asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
