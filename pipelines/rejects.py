"""`rejects.parquet`: every unit or record left out, and why."""

import io
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..datasets.commit import write_file
from ..datasets.index import METADATA, check_version
from ..datasets.members import FORMAT_VERSION
from .recipe import Reject

REJECTS = "rejects.parquet"
COLUMNS = [entry.name for entry in fields(Reject)]


def write_rejects(out: Path, rejects: Sequence[Reject], run: str) -> None:
    """Write the table, sorted by unit, key and stage; the same rejects give the same bytes."""
    rows = sorted((vars(reject) for reject in rejects), key=lambda row: (row["unit"], row["key"], row["stage"]))
    metadata = {METADATA: json.dumps({"format_version": FORMAT_VERSION}).encode()}
    schema = pa.schema([(name, pa.string()) for name in COLUMNS], metadata=metadata)
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream, compression="zstd")
    path, data = out / REJECTS, stream.getvalue()
    if not path.exists() or path.read_bytes() != data:
        write_file(path, data, run)


def read_rejects(out: Path) -> list[Reject]:
    """The rejects of a data set; empty where none were written yet.

    Raises:
        FormatError: the table is newer than this code.
    """
    path = out / REJECTS
    if not path.exists():
        return []
    table = pq.read_table(path)
    check_version(json.loads((table.schema.metadata or {}).get(METADATA, b"{}")).get("format_version"), path)
    return [Reject(**row) for row in table.to_pylist()]
