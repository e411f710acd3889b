"""A toy recipe with two tables: each file is a record of `files`, each of its words one of `words`.

The label `more` is off by default and in both tables.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tessera.datasets import Column, Field, Reference
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Sample, TableSpec, Unit


def plan(raw: Path, options: LabelOptions) -> Plan:
    units = []
    for path in sorted(raw.glob("*.txt")):
        words = {f"{path.stem}-{i:03d}": i for i in range(len(path.read_text().split()))}
        units.append(Unit(path.stem, "val" if path.stem.endswith("0") else "train", {path.stem: -1, **words}))
    return Plan(tuple(units))


def read(unit: Unit, files: RawFiles, options: LabelOptions) -> Iterator[Sample]:
    words = files.read(f"{unit.name}.txt").decode().split()
    for key, i in unit.records.items():
        if i < 0:
            yield Sample(key, len(words), "files")
        else:
            yield Sample(key, len(words[i]), "words", {"file": unit.name})


RECIPE = Recipe(
    name="pairs",
    summary="Files and their words, for tests of two tables.",
    options=LabelOptions,
    tables={
        "files": TableSpec(
            labels=(
                Label("count", 1, lambda n, o: {"count": np.array([n])}, (Field("count", "int64", (1,), "npz"),)),
                Label(
                    "more",
                    1,
                    lambda n, o: {"ones": np.ones(n)},
                    (Field("ones", "float64", ("ones",), "npy"),),
                    default=False,
                ),
            ),
            dimensions=lambda options: {"ones": None},
        ),
        "words": TableSpec(
            labels=(
                Label(
                    "length",
                    1,
                    lambda n, o: {"length": np.full(3000, n, np.int64), "letters": n},
                    (Field("length", "int64", (3000,), "npy"),),
                    (Column("letters", "int64"),),
                ),
                Label(
                    "more",
                    1,
                    lambda n, o: {"double": np.array([2 * n]), "odd": n % 2 == 1},
                    (Field("double", "int64", (1,), "npz"),),
                    (Column("odd", "bool"),),
                    default=False,
                ),
            ),
            dimensions=lambda options: {},
            references=(Reference("file", "files"),),
        ),
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: int(os.environ.get("TOY_BYTES", "4000")),
)
