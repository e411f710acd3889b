"""Data sets of many small shards, and what a process holds open, for tests of streams."""

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
from tessera.datasets import Catalog, Field, Schema, ShardWriter
from tessera.datasets.catalog import scan_shards

ARRAYS = Schema((Field("values", "float32", ("side", 3), "npy"), Field("label", "int64", (), "npz")), {"side": 4096})
RAGGED = Schema((Field("values", "float32", ("n", 3), "npy"),), {"n": None})


def many_shards(root: Path, shards: int, each: int = 1, schema: Schema = ARRAYS, sizes: Any = None) -> Path:
    """A data set of many small shards."""
    rng = np.random.default_rng(0)
    for group in range(shards):
        with ShardWriter(root / "train", "a", "train", group, schema, run="run") as writer:
            writer.begin(f"u{group}")
            for number in range(each):
                size = 4096 if sizes is None else int(rng.integers(*sizes))
                values: dict[str, Any] = {"values": np.full((size, 3), group * each + number, np.float32)}
                values |= {"label": np.int64(group)} if schema is ARRAYS else {}
                writer.add(f"u{group}-{number:04d}", values, {})
            writer.commit({f"u{group}": "f"}, [], {})
    blank = Catalog("many", "many", "building", {}, {}, {}, 1, {"train": shards}, 1 << 30, {"a": schema}, "0.1")
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "run")
    return root


def threads() -> list[str]:
    """Names of the threads of streams."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tessera-stream")]


def files(root: Path | None = None) -> list[str]:
    """Tars of data sets that this process has open; of one data set, for other tests may have left theirs."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    return [path for path in found if path.endswith((".tar", ".parquet")) and path.startswith(str(root or "/"))]
