"""`rejects.parquet`: every unit or record left out, and why."""

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..datasets.catalog import Catalog
from ..datasets.commit import write_file
from ..datasets.errors import FormatError, TesseraError
from ..datasets.index import METADATA, check_version, read_facts
from ..datasets.members import FORMAT_VERSION
from ..datasets.parquet import read_parquet
from .raw import Raw
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
        FormatError: the table is damaged, or newer than this code.
    """
    path = out / REJECTS
    if not path.exists():
        return []
    try:
        table = read_parquet(path)
        version = json.loads((table.schema.metadata or {}).get(METADATA, b"{}")).get("format_version")
        rejects = [Reject(**row) for row in table.to_pylist()]
    except (pa.ArrowInvalid, OSError, ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{path}: damaged ({error}); run the same `tessera shards` command again") from error
    check_version(version, path)
    return rejects


def committed_rejects(out: Path, catalog: Catalog) -> list[Reject]:
    """Rejects of all committed groups, and of the labels that were added to them.

    Raises:
        FormatError: an index is damaged.
    """
    first = next(iter(catalog.tables))
    shards = [shard for shard in catalog.shards if shard.table == first]
    for sidecar in catalog.sidecars.values():
        first = min(sidecar.tables)
        shards += [shard for shard in sidecar.shards if shard.table == first]
    paths = [out / shard.index for shard in shards if shard.part == 0]
    return [Reject(**reject) for path in paths for reject in read_facts(path).rejects]


def was_planned(stage: str) -> bool:
    """Whether what was rejected at this stage was known to be missing before anything was read."""
    return stage == "plan" or stage.endswith(": plan")


def reasons(rejects: Sequence[Reject]) -> list[tuple[str, str, int]]:
    """(stage, reason, count), most frequent first; errors that differ in their path or in numbers are one reason."""
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    for reject in rejects:
        text = reject.error.replace(reject.path, "") if reject.path else reject.error
        kind = reject.stage, re.sub(r"\d+", "#", text)
        counts[kind] += 1
        examples.setdefault(kind, reject.error.removeprefix(f"{reject.path}: "))
    return [(kind[0], examples[kind], count) for kind, count in counts.most_common()]


def normalise(error: BaseException, raw: Path | Raw, out: Path) -> str:
    """An error's first line without this machine's paths and addresses, so that rejects are the same everywhere."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else "no message"
    for name, folder in (("RAW", raw), ("OUT", out)):
        for path in {str(folder), str(folder.resolve() if isinstance(folder, Path) else folder)}:
            text = re.sub(rf"{re.escape(path)}(?![\w-])", name, text.replace(f"{path}/", ""))
    text = re.sub(r" at 0x[0-9a-fA-F]+", " at 0x...", text)
    return text if isinstance(error, TesseraError) else f"{type(error).__name__}: {text}"
