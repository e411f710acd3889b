"""Units that fail, two tables, several groups and shards: a recipe for runs that are killed.

RAW holds a text file for each unit; the file is a record of the table `texts`, each of its words one of `words`. The
word `raise` fails in a label and `nan` in the encoder; a file that holds `broken` is refused whole. WORDS_SECONDS is
slept for each record, so that there is time to be killed in.
"""

import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from tessera.datasets import Column, Field, RawDataError, Reference
from tessera.pipelines.raw import Raw
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Reject, Sample, TableSpec, Unit

LENGTH = 3000
SECONDS = "WORDS_SECONDS"


def plan(raw: Raw, options: LabelOptions) -> Plan:
    """A unit for each text; names that end in 0 are the split `val`."""
    units = []
    for path in sorted(raw.glob("*.txt")):
        words = {f"{path.stem}-{i:03d}": i for i in range(len(path.read_text().split()))}
        split = "val" if path.stem.endswith("0") else "train"
        absent = Reject(path.stem, f"{path.stem}-absent", path.name, "plan", "one word of each text is never there")
        units.append(Unit(path.stem, split, {path.stem: -1, **words}, rejects=(absent,)))
    return Plan(tuple(units))


def read(unit: Unit, files: RawFiles, options: LabelOptions) -> Iterator[Sample]:
    """The text, then its words."""
    words = files.read(f"{unit.name}.txt").decode().split()
    if "broken" in words:
        raise RawDataError(f"{unit.name}.txt: broken")
    for key, i in unit.records.items():
        time.sleep(float(os.environ.get(SECONDS, "0")))
        yield Sample(key, words, "texts") if i < 0 else Sample(key, words[i], "words", {"text": unit.name})


def count(words: list[str], options: LabelOptions) -> dict[str, Any]:
    """How many words a text has."""
    return {"count": np.array([len(words)])}


def letters(word: str, options: LabelOptions) -> dict[str, Any]:
    """The word's bytes, over and over, and its length.

    Raises:
        ValueError: the word is `raise`.
    """
    if word == "raise":
        raise ValueError("the word says so")
    values = np.resize(np.frombuffer(word.encode(), np.uint8), LENGTH).astype(np.float64)
    return {"letters": np.full(LENGTH, np.nan) if word == "nan" else values, "length": len(word)}


COUNT = Label("count", 1, count, (Field("count", "int64", (1,), "npz"),))
LETTERS = Label("letters", 1, letters, (Field("letters", "float64", (LENGTH,), "npy"),), (Column("length", "int64"),))

RECIPE = Recipe(
    name="words",
    summary="Texts and their words, some of which fail, for benchmarks.",
    options=LabelOptions,
    tables={
        "texts": TableSpec((COUNT,), lambda options: {}),
        "words": TableSpec((LETTERS,), lambda options: {}, references=(Reference("text", "texts"),)),
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: 60_000,
)
