"""A toy recipe for faults: a unit is a file of one record, a count and that many float32.

SIX_FAULTS names what befalls units while they are labelled (JSON, unit to fault), SIX_MEALS how many times 32 MB the
fault `eat` takes, and SIX_LOG the file to which each unit that is read adds its name.
"""

import ctypes
import json
import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tessera.datasets import Field, RawDataError
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Label, LabelOptions, Plan, Recipe, Sample, TableSpec, Unit


def plan(raw: Path, options: LabelOptions) -> Plan:
    return Plan(tuple(Unit(path.stem, "train", {path.stem: 0}) for path in sorted(raw.glob("*.bin"))))


def read(unit: Unit, files: RawFiles, options: LabelOptions) -> Iterator[Sample]:
    if "SIX_LOG" in os.environ:
        with Path(os.environ["SIX_LOG"]).open("a") as stream:
            stream.write(f"{unit.name}\n")
    data = files.read(f"{unit.name}.bin")
    (count,) = struct.unpack_from("<I", data)
    if len(data) != 4 + 4 * count:
        raise RawDataError(f"{unit.name}.bin: is truncated: {len(data)} of {4 + 4 * count} bytes")
    yield Sample(unit.name, (unit.name, np.frombuffer(data, "<f4", count, 4)), "numbers")


def befall(fault: str) -> None:
    if fault == "exception":
        raise ValueError("told to raise")
    if fault == "hang":
        ctypes.PyDLL(None).pause()  # in native code, with the interpreter's lock
    if fault == "segfault":
        ctypes.memset(0, 1, 1)
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
    if fault == "eat":
        eaten = [np.ones(1 << 25, np.uint8) for _ in range(int(os.environ["SIX_MEALS"]))]
        time.sleep(20 if eaten else 0)  # until Ray's memory monitor strikes


def squares(named: tuple[str, np.ndarray], options: LabelOptions) -> dict[str, np.ndarray]:
    name, values = named
    befall(json.loads(os.environ.get("SIX_FAULTS", "{}")).get(name, ""))
    return {"squares": values**2}


RECIPE = Recipe(
    name="six",
    summary="Files of numbers, for tests of faults.",
    options=LabelOptions,
    tables={
        "numbers": TableSpec(
            labels=(Label("squares", 1, squares, (Field("squares", "float32", ("values",), "npy"),)),),
            dimensions=lambda options: {"values": None},
        )
    },
    plan=plan,
    read=read,
    record_bytes=lambda options: 41_500,
)
