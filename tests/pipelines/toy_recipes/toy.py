"""A toy recipe: a unit is a text file, a record is one word of it; faults are words, too.

A file UNIT.plus, where there is one, holds a number that is added to each record's.
TOY_MARKER names the file by which the word `once` remembers that it has struck, and without which the word `shut`
fails; TOY_SECONDS is slept for each record, TOY_SQUARE is the version of the label `square`, TOY_CUBE that of `cube`
(0: there is none), TOY_BYTES the planned bytes of a record (for several groups), and TOY_IMPORT a file that gets the
place of the package `datasets` as the reader finds it.
"""

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

SECONDS = float(os.environ.get("TOY_SECONDS", "0"))
SQUARE = int(os.environ.get("TOY_SQUARE", "1"))
CUBE = int(os.environ.get("TOY_CUBE", "1"))


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
    if word == "shut" and not Path(os.environ["TOY_MARKER"]).exists():
        raise ValueError("shut")
    if word == "address":
        raise ValueError(f"cannot use {object()!r}")
    if word == "once":  # dies the first time only
        marker = Path(os.environ["TOY_MARKER"])
        if not marker.exists():
            marker.touch()
            os._exit(7)


def note_import() -> None:
    """Write where a reader's `import datasets` leads to: Hugging Face's package, not ours."""
    if "TOY_IMPORT" in os.environ:
        import datasets

        with Path(os.environ["TOY_IMPORT"]).open("a") as stream:
            stream.write(f"{datasets.__file__}\n")


def read(unit: Unit, files: RawFiles, options: Options) -> Iterator[Sample | Reject]:
    note_import()
    words = files.read(f"{unit.name}.txt").decode().split()
    try:
        plus = float(files.read(f"{unit.name}.plus"))
    except FileNotFoundError:
        plus = 0.0
    for key, i in unit.records.items():
        word = words[i]
        if word == "truncated":
            raise RawDataError(f"{unit.name}.txt: truncated")
        if word == "badline":
            yield Reject(unit.name, key, f"{unit.name}.txt", "read", "bad line")
            continue
        fault(word)
        if SECONDS:
            time.sleep(SECONDS)
        yield Sample(key, float("nan") if word == "nan" else float(len(word)) + i + plus, "numbers", {"line": i})


def vector(value: float, options: Options) -> dict[str, Any]:
    return {"vector": np.full(options.points, value * options.scale, np.float32), "value": value}


def square(value: float, options: Options) -> dict[str, Any]:
    return {"square": np.array([value ** (1 + SQUARE)])}


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
                Label("square", SQUARE, square, (Field("square", "float64", (1,), "npz"),)),
                Label(
                    "cube" if CUBE else "other",
                    max(CUBE, 1),
                    lambda v, o: {"cube": np.array([CUBE * v**3])},
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
    record_bytes=lambda options: int(os.environ.get("TOY_BYTES", "3000")),
)
