"""Training steps from shards, beside the same steps on the reference's items and on a batch that lies in memory.

All in one run, with the same network, batch and machine. Steps are done in a plain loop, so that only the loader
differs; one line is of the real trainer. `TESSERA_BENCH_ROUNDS` (3), `TESSERA_BENCH_STEPS` (20, of each round),
`TESSERA_BENCH_FLY_STEPS` (6) and `TESSERA_BENCH_CASES` (engines and presets, by commas; none: nothing on the CPU)
shorten it; `TESSERA_BENCH_SHARDS` and `TESSERA_BENCH_RAW` name shards and the raw data they were made of, where they
are not to be made. With a GPU, the large presets are measured there as well, which needs shards alone.
"""

import os
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from rich.console import Console

from ..commands.demo import make_demo
from ..datasets.errors import UsageError
from ..pipelines.discover import load_recipe
from .steps.data import make_shards, reference_files
from .steps.gpu import gpu_rows
from .steps.loop import Row
from .steps.model import Case
from .steps.race import Plan, rows

RAW = Path("raw") / "thuman2_demo"
SUBJECTS, VIEWS = "000[01]", 36
CASES = "implicit/icon-tiny,normals/tiny,implicit/icon"
GPU_CASES = (Case("implicit", "icon", 4, "cuda:0", "bf16"), Case("normals", "icon", 4, "cuda:0", "bf16"))
WITHOUT = "no GPU that torch can use: steps/s, utilisation and wait on a GPU (batch 4 and the largest) are left out"


def tables(
    shards: Path | None = None, raw: Path | None = None, plan: Plan | None = None, cases: Sequence[Case] | None = None
) -> dict[str, list[Row]]:
    """The benchmark's tables, by title.

    Args:
        shards: of THuman2.0; from the environment, or made.
        raw: what they were made of; from the environment, or the demo.
        plan: how much is measured; from the environment.
        cases: what is trained on the CPU; from the environment.

    Raises:
        UsageError: what makes the reference's items is not installed.
    """
    cases = _cases(os.environ.get("TESSERA_BENCH_CASES", CASES)) if cases is None else cases
    if cases and find_spec("embreex") is None:
        raise UsageError("bench train needs embreex, which the reference's inside test uses: pip install -e '.[bench]'")
    plan = plan or _plan()
    given = os.environ.get("TESSERA_BENCH_SHARDS")
    shards = shards or (Path(given).resolve() if given else None)
    if raw is None and (cases or shards is None):
        asked = Path(os.environ.get("TESSERA_BENCH_RAW", RAW))
        raw = make_demo(load_recipe("thuman2"), asked, Console(stderr=True)).resolve()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = shards if shards is not None else make_shards(raw or RAW, folder / "shards", SUBJECTS, VIEWS)
        return _measured(data, raw or RAW, folder, plan, cases)


def _measured(data: Path, raw: Path, folder: Path, plan: Plan, cases: Sequence[Case]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    rendered = reference_files(data, folder / "reference") if cases else folder
    for case in cases:
        title, lines = rows(case, data, raw, rendered, folder, plan)
        found[title] = lines
    notes = [f"{len(os.sched_getaffinity(0))} cores, shared by torch and by what makes batches"]
    if torch.cuda.is_available():
        lines = [line for case in GPU_CASES for line in gpu_rows(case, data, folder, plan)]
        found[f"on {torch.cuda.get_device_name(0)}"] = lines
    else:
        notes.append(WITHOUT)
    return found | {"notes": [{"note": note} for note in notes]}


def _plan() -> Plan:
    def number(word: str, default: int) -> int:
        return int(os.environ.get(f"TESSERA_BENCH_{word}", default))

    return Plan(number("ROUNDS", Plan.rounds), number("STEPS", Plan.steps), number("FLY_STEPS", Plan.fly))


def _cases(text: str) -> list[Case]:
    """Engines and presets, such as implicit/icon-tiny.

    Raises:
        UsageError: a word is no such pair.
    """
    pairs = [word.split("/") for word in text.split(",") if word]
    for pair in pairs:
        if len(pair) != 2:
            raise UsageError(f"TESSERA_BENCH_CASES={text!r}: ENGINE/PRESET, by commas")
    return [Case(engine, preset) for engine, preset in pairs]
