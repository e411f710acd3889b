"""Size against decoding time of every way to store the recipes' fields: on real records, or on a frame made here.

Reads the first records of `out/hypersim` (or of the data set that `TESSERA_BENCH_DATA` names) where it is there. Where
it is not, one frame of a furnished room is made (`hdf5.py`) and stored as the recipe does. Decoding is one thread's,
into memory that is there already, as the stream decodes.
"""

import os
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import Dataset, Field, Octahedral, Rounded
from ..datasets.catalog import CATALOG
from .hdf5 import make_frame
from .streams.choices import rows

DATA = Path("out") / "hypersim"
RECORDS = 4
SMALL = 4096  # bytes; smaller fields go into `labels.npz` whatever they are
Values = list[tuple[Field, list[Any]]]


def tables(root: Path | None = None, records: int = RECORDS, names: tuple[str, ...] = ()) -> dict[str, list[dict]]:
    """A table a field, by title.

    Args:
        root: a data set's folder.
        records: how many of its records are taken.
        names: of the fields; all of some size by default.
    """
    root = root or Path(os.environ.get("TESSERA_BENCH_DATA", DATA))
    found = real(root, records) if (root / CATALOG).exists() else made()
    source = f"{root}" if (root / CATALOG).exists() else "a frame made here"
    return {
        f"{entry.name} ({entry.dtype}), {len(arrays)} records of {source}": list(rows(entry, arrays))
        for entry, arrays in found
        if not names or entry.name in names
    }


def real(root: Path, records: int) -> Values:
    """Fields of some size in a data set's tables, and their values in the first records."""
    found: Values = []
    dataset = Dataset(root)
    for name in dataset.catalog.tables:
        table = dataset.table(name)
        taken = list(islice(table, records))
        for entry in table.schema.fields:
            arrays = [record[entry.name] for record in taken if entry.name in record] if entry.dtype != "json" else []
            if arrays and max(array.nbytes for array in arrays) >= SMALL:
                found.append((entry, [array for array in arrays if array.nbytes]))
    return found


def made() -> Values:
    """Image, distance, normals and identities of one frame, stored as the recipe of Hypersim stores them."""
    frame = make_frame(np.random.default_rng(7))
    image = (255 * frame["color"].astype(np.float32).clip(0, 1) ** (1 / 2.2)).astype(np.uint8)
    normal = np.nan_to_num(frame["normal_cam"].astype(np.float32))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    shape = image.shape[:2]
    fields = (
        (Field("image", "uint8", image.shape, "jpg"), image),
        (Field("distance", "float16", shape, "blosc", nan="not measured"), frame["depth_meters"]),
        (Field("normal", "float32", image.shape, "blosc", storage=Octahedral(14)), normal),
        (Field("hdr", "float16", image.shape, "blosc", storage=Rounded(8)), frame["color"].clip(0)),
        (Field("semantic", "int16", shape, "blosc"), frame["semantic"]),
    )
    return [(entry, [array]) for entry, array in fields]
