"""Reading of a Parquet file that may come from a stranger: its sizes are checked before memory is taken."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from .codecs import LARGE, MOST_INFLATION
from .errors import FormatError
from .regular import regular

MOST_ROWS = 1 << 16  # read at once


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """The table of a Parquet file, all columns or some.

    Zeros, nulls and words of a dictionary cost next to nothing in the file: neither what the file says that it unpacks
    to, nor what it does unpack to, may exceed 512 times its size and 64 MB. (A single page whose header lies can take
    2 GB at most, the format's own limit.)

    Raises:
        FormatError: it is no ordinary file, or would take more memory than that.
        pa.ArrowException, OSError: it is damaged, or cannot be read.
    """
    limit = max(LARGE, MOST_INFLATION * regular(path).stat().st_size)
    with pq.ParquetFile(path, pre_buffer=False) as file:
        told, unpacked, words = 0, 0, 1
        for rows, chunk in _chunks(file.metadata):
            told += max(chunk.total_uncompressed_size, 8 * chunk.num_values, 8 * rows)
            if any("DICTIONARY" in encoding for encoding in chunk.encodings):
                words = max(words, chunk.total_uncompressed_size)
        batches: list[pa.RecordBatch] = []
        if told <= limit:
            rows = min(MOST_ROWS, max(1, limit // words))  # as many longest words as go into it
            for batch in file.iter_batches(rows, columns=columns, use_threads=False):
                batches.append(batch)
                unpacked += batch.nbytes
                if unpacked > limit:
                    break
        if max(told, unpacked) > limit:
            raise FormatError(f"{path}: would take more than {limit} bytes of memory; refused")
        schema = file.schema_arrow
    names = schema.names if columns is None else [name for name in columns if name in schema.names]
    return pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in names], schema.metadata))


def _chunks(metadata: pq.FileMetaData) -> Iterator[tuple[int, pq.ColumnChunkMetaData]]:
    """(rows, column chunk) of every row group and column."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for column in range(group.num_columns):
            yield group.num_rows, group.column(column)
