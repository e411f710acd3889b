"""`index.json`: catalog of an indexed data set of strangers, and what was found in it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..catalog import Catalog
from ..entries import shard_entries
from ..errors import TesseraError
from ..regular import regular
from ..schema import Schema
from ..shard import shard_stem
from ..typed import fits, typed
from .folder import Tar
from .schema import LeftOut

TABLE = "records"


@dataclass(frozen=True)
class State:
    """Catalog, number of records that have each field, and what is left out."""

    catalog: Catalog
    have: dict[str, int]
    left_out: tuple[LeftOut, ...]


def state_bytes(state: State) -> bytes:
    """The file; the same state gives the same bytes."""
    values = {"catalog": json.loads(state.catalog.to_bytes()), "have": state.have}
    values["left_out"] = [asdict(entry) for entry in state.left_out]
    return (json.dumps(values, indent=1) + "\n").encode()


def read_state(path: Path, tars: Sequence[Tar]) -> State | None:
    """The state of exactly these tars; None where there is none, or none that can be trusted: it is made again.

    The file may be from whoever the tars are from: it names no index but those beside it, and no tar but these.
    """
    try:
        values = json.loads(regular(path).read_bytes())
        catalog = _catalog(values["catalog"])
        left_out = tuple(typed(LeftOut, entry) for entry in values["left_out"])
        state = State(catalog, values["have"], left_out)
        good = fits(state.have, dict[str, int]) and _names(catalog) == _expected(tars)
        good = good and list(catalog.tables) == [TABLE] and set(state.have) == set(catalog.tables[TABLE].by_name)
        good = good and all((path.parent / shard.index).is_file() for shard in catalog.shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, TesseraError):
        return None
    return state if good else None


def _catalog(values: dict[str, object]) -> Catalog:
    tables = {name: Schema.from_json(entry) for name, entry in values["tables"].items()}  # type: ignore[attr-defined]
    shards = shard_entries(values["shards"])
    return typed(Catalog, {**values, "tables": tables, "shards": shards})


def _names(catalog: Catalog) -> list[tuple[str, str, str | None, int]]:
    return [(shard.split, shard.index, shard.tar, shard.bytes) for shard in catalog.shards]


def _expected(tars: Sequence[Tar]) -> list[tuple[str, str, str | None, int]]:
    groups: dict[str, int] = {}
    found: list[tuple[str, str, str | None, int]] = []
    for tar in tars:
        group = groups.setdefault(tar.split, 0)
        groups[tar.split] += 1
        found.append((tar.split, f"{tar.split}/{shard_stem(TABLE, group, 0)}.parquet", tar.path, tar.size))
    return found
