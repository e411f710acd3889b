"""A toy recipe whose records know each other: each word of a file refers to the other words, and to its file.

The word `early` is refused before any word is given, `late` when it would be its turn, `bad` fails in a label.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tessera.datasets import Column, Field, Reference
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Reject, Sample, TableSpec, Unit


@dataclass(frozen=True)
class Word:
    text: str
    others: tuple[str, ...]


def plan(raw: Path, options: LabelOptions) -> Plan:
    units = []
    for path in sorted(raw.glob("*.txt")):
        words = {f"{path.stem}-{i:03d}": i for i in range(len(path.read_text().split()))}
        units.append(Unit(path.stem, "train", words, summaries={path.stem: {}} if _summaries(options) else {}))
    return Plan(tuple(units))


def _summaries(options: LabelOptions) -> bool:
    return "files" in RECIPE.schemas(options)


def read(unit: Unit, files: RawFiles, options: LabelOptions) -> Iterator[Sample | Reject]:
    words = files.read(f"{unit.name}.txt").decode().split()
    for key, i in unit.records.items():
        if words[i] == "early":
            yield Reject(unit.name, key, f"{unit.name}.txt", "read", "early")
    there = {key: words[i] for key, i in unit.records.items() if words[i] != "early"}
    if there and unit.summaries:
        yield Sample(unit.name, Word(" ".join(there.values()), tuple(there)), "files")
    for key, word in there.items():
        if word == "late":
            yield Reject(unit.name, key, f"{unit.name}.txt", "read", "late")
        else:
            yield Sample(key, Word(word, tuple(other for other in there if other != key)), "words", {"file": unit.name})


def others(word: Word, options: LabelOptions) -> dict[str, object]:
    if word.text == "bad":
        raise ValueError("a bad word")
    return {"others": list(word.others), "length": np.array([len(word.text)])}


LENGTH, COUNT = (Field(name, "int64", (1,), "npz") for name in ("length", "count"))
TEXT = Label(
    "plain", 1, lambda w, o: {"letters": len(w.text), "text": w.text}, (Field("text", "json", (), "json"),),
    (Column("letters", "int64"),),
)  # fmt: skip
OTHERS = Label("others", 1, others, (LENGTH,), references=(Reference("others", "words", True),), joint=True)
FILE = Label("count", 1, lambda w, o: {"count": np.array([len(w.others)])}, (COUNT,))

RECIPE = Recipe(
    name="joint",
    summary="Words that know each other, for tests of joint labels.",
    options=LabelOptions,
    tables={
        "words": TableSpec((TEXT, OTHERS), lambda options: {}, references=(Reference("file", "files"),)),
        "files": TableSpec((FILE,), lambda options: {}),
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: 4000,
)
