"""A toy recipe for every kind of RAW: a unit is a folder, a record one word of its `words.txt`.

`plus.txt` beside it, where there is one, holds a number that is added to each record's.
"""

from collections.abc import Iterator

import numpy as np
from tessera.datasets import Field
from tessera.pipelines.raw import Raw
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Sample, TableSpec, Unit


def plan(raw: Raw, options: LabelOptions) -> Plan:
    units = []
    for path in raw.glob("*/words.txt"):
        keys = {f"{path.parent.name}-{i}": i for i in range(len(path.read_text().split()))}
        units.append(Unit(path.parent.name, "train", keys))
    return Plan(tuple(units))


def read(unit: Unit, files: RawFiles, options: LabelOptions) -> Iterator[Sample]:
    words = files.read(f"{unit.name}/words.txt").decode().split()
    try:
        plus = int(files.read(f"{unit.name}/plus.txt"))
    except FileNotFoundError:
        plus = 0
    for key, i in unit.records.items():
        yield Sample(key, len(words[i]) + plus, "words")


RECIPE = Recipe(
    name="houses",
    summary="Folders of words, for tests of archives and object stores.",
    options=LabelOptions,
    tables={
        "words": TableSpec(
            (Label("length", 1, lambda n, o: {"length": np.array([n])}, (Field("length", "int64", (1,), "npz"),)),),
            dimensions=lambda options: {},
        )
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: 100_000_000,
)
