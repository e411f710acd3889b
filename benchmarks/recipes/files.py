"""Raw files without end, and nearly nothing in them: what a run costs beside its labels.

RAW holds `list.txt`, one unit's name a line, and a folder for each unit with the files `0.txt`, `1.txt`, ...
A unit is one record, planned to be as large as the smallest shard, so that there is a group for each unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tessera.datasets import Field
from tessera.pipelines.raw import Raw
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Sample, TableSpec, Unit

LIST = "list.txt"


@dataclass(frozen=True)
class FilesOptions(LabelOptions):
    """Options of the recipe.

    Attributes:
        files: raw files of a unit.
    """

    files: int = 1


def plan(raw: Raw, options: FilesOptions) -> Plan:
    """The listed units; no other file is looked at."""
    return Plan(tuple(Unit(name, "train", {name: 0}) for name in (raw / LIST).read_text().split()))


def read(unit: Unit, files: RawFiles, options: FilesOptions) -> Iterator[Sample]:
    """The number of bytes in a unit's files."""
    yield Sample(unit.name, sum(len(files.read(f"{unit.name}/{i}.txt")) for i in range(options.files)), "sizes")


RECIPE = Recipe(
    name="files",
    summary="Very many units with next to nothing to do, for benchmarks.",
    options=FilesOptions,
    tables={
        "sizes": TableSpec(
            labels=(Label("size", 1, lambda n, _: {"size": np.array([n])}, (Field("size", "int64", (1,), "npz"),)),),
            dimensions=lambda options: {},
        )
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: 1 << 20,
)
