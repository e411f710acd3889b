"""A toy recipe: a unit is a text file of numbers, a record is one line; faults are words in the file."""

import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tessera.datasets import Column, Field, RawDataError
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Reject, Sample, TableSpec, Unit


@dataclass(frozen=True)
class Options(LabelOptions):
    """Options of the toy.

    Attributes:
        scale: factor of every number.
        points: length of the vector of each record.
    """

    scale: float = 1.0
    points: int = 8


def plan(raw: Path, options: Options) -> Plan:
    units = []
    for path in sorted(raw.glob("*.txt")):
        lines = path.read_text().split()
        keys = {f"{path.stem}-{i:03d}": i for i in range(len(lines))}
        units.append(Unit(path.stem, "val" if path.stem.endswith("0") else "train", keys))
    return Plan(tuple(units))


def fault(word: str) -> None:
    if word == "raise":
        raise ValueError("the toy was told to raise")
    if word == "hang":
        time.sleep(1000)
    if word == "segfault":
        ctypes.string_at(0)
    if word == "exit":
        os._exit(7)
    if word == "once":  # dies the first time only
        marker = Path(os.environ["TOY_MARKER"])
        if not marker.exists():
            marker.touch()
            os._exit(7)


def read(unit: Unit, files: RawFiles, options: Options) -> Iterator[Sample | Reject]:
    words = files.read(f"{unit.name}.txt").decode().split()
    for key, i in unit.records.items():
        word = words[i]
        if word == "truncated":
            raise RawDataError(f"{unit.name}.txt: truncated")
        if word == "badline":
            yield Reject(unit.name, key, f"{unit.name}.txt", "read", "bad line")
            continue
        fault(word)
        yield Sample(key, float("nan") if word == "nan" else float(len(word)) + i, "numbers", {"line": i})


def vector(value: float, options: Options) -> dict[str, Any]:
    return {"vector": np.full(options.points, value * options.scale, np.float32), "value": value}


def square(value: float, options: Options) -> dict[str, Any]:
    return {"square": np.array([value**2])}


RECIPE = Recipe(
    name="toy",
    summary="Lines of text files, for tests.",
    options=Options,
    tables={
        "numbers": TableSpec(
            labels=(
                Label(
                    "vector",
                    1,
                    vector,
                    (Field("vector", "float32", ("points",), "npy", meaning="repeated"),),
                    (Column("value", "float64"),),
                ),
                Label("square", 1, square, (Field("square", "float64", (1,), "npz"),)),
                Label(
                    "cube",
                    1,
                    lambda v, o: {"cube": np.array([v**3])},
                    (Field("cube", "float64", (1,), "npz"),),
                    default=False,
                ),
            ),
            dimensions=lambda options: {"points": options.points},
            columns=(Column("line", "int64"),),
        )
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: 3000,
)
