"""Ground floor: schema, codecs, shards, index, catalog and readers (numpy, pyarrow, numcodecs and Pillow only)."""

from .catalog import Catalog
from .errors import FormatError, RawDataError, SchemaError, TesseraError, UsageError
from .foreign import record_decoder, tar_paths
from .schema import Column, Field, Reference, Schema
from .shard import ShardWriter
from .storage import Linear, Octahedral, Rounded
from .table import Dataset, Record, Table
from .verify import verify

__all__ = [
    "Catalog", "Column", "Dataset", "Field", "FormatError", "Linear", "Octahedral", "RawDataError", "Record",
    "Reference", "Rounded", "Schema", "SchemaError", "ShardWriter", "Table", "TesseraError", "UsageError",
    "record_decoder", "tar_paths", "verify",
]  # fmt: skip
