"""Steps on a GPU: from shards and from resident tensors, at a small batch and at the largest that fits."""

import gc
import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch

from .loop import RATIO_BAR, Row, Times, waiting
from .model import Case, Model, resident
from .race import LIMIT, SHARDS, Place, Plan, trained, two_ways

SMALL, MOST = 4, 4096
SMI = f"{os.environ.get('PATH', '')}:/usr/local/nvidia/bin"
UNKNOWN = "not measured: no nvidia-smi"


class Utilisation:
    """How busy the GPU is while something is measured, by nvidia-smi, five times a second.

    Args:
        number: of the card.
    """

    def __init__(self, number: int = 0) -> None:
        self.smi = shutil.which("nvidia-smi", path=SMI)
        uuid = getattr(torch.cuda.get_device_properties(number), "uuid", None) if torch.cuda.is_available() else None
        self.card = f"GPU-{uuid}" if uuid else str(number)
        self.seen: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def watch(self, name: str) -> Iterator[None]:
        """Measure; figures of the same name are put together."""
        if self.smi is None:
            yield
            return
        command = [
            self.smi,
            "-i",
            self.card,
            "--query-gpu=utilization.gpu",
            "--format=csv,noheader,nounits",
            "-lms",
            "200",
        ]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            yield
        finally:
            process.terminate()
            said = process.communicate()[0].split()
            self.seen[name] += [float(word) for word in said if word.replace(".", "", 1).isdecimal()]

    def percent(self, name: str) -> float | str:
        """The mean of what was seen; a text where there is none."""
        return mean(self.seen[name]) if self.seen[name] else UNKNOWN


def gpu_rows(case: Case, data: Path, folder: Path, plan: Plan) -> list[Row]:
    """Lines of an engine: at a batch of 4, and at the largest that fits."""
    made = [_line(replace(case, batch=SMALL), data, folder, plan)]
    largest = largest_batch(Place(replace(case, batch=SMALL), data, folder / "largest", plan))
    _free()
    if largest > SMALL:
        made.append(_line(replace(case, batch=largest), data, folder, plan))
    return made


def _line(case: Case, data: Path, folder: Path, plan: Plan) -> Row:
    place = Place(case, data, folder, plan)
    torch.cuda.reset_peak_memory_stats()
    busy = Utilisation(torch.device(case.device).index or 0)
    limit, shards = two_ways(place, place.model(), plan, busy.watch)
    memory = torch.cuda.max_memory_allocated() / 2**30
    _free()
    summary = trained(place, plan.rounds * plan.steps)
    _free()
    return line(case, limit, shards, memory) | {
        "GPU %, shards": busy.percent(SHARDS), "GPU %, limit": busy.percent(LIMIT),
        "tessera train steps/s": summary["last"]["records_per_s"] / case.batch,
        "its wait %": 100 * summary["loader_share"],
    }  # fmt: skip


def line(case: Case, limit: Times, shards: Times, memory: float) -> Row:
    """What is known of both ways."""
    ratio = shards.rate / limit.rate
    return {
        "engine": f"{case.engine} {case.preset}", "precision": case.precision, "batch": case.batch,
        "steps": len(shards.seconds), "steps/s, shards": shards.rate, "steps/s, limit": limit.rate,
        "of the limit": ratio, "bar": f">= {RATIO_BAR}", "met": "yes" if ratio >= RATIO_BAR else "no",
        **waiting(shards.wait_share, True), "peak GiB": memory,
    }  # fmt: skip


def largest_batch(place: Place) -> int:
    """Records of the largest batch that fits, found by doubling; 0 where not even the first does."""
    model, one = place.model(), place.one()
    size = fits = 0
    while fits == size and size < MOST:
        size = 2 * size or SMALL
        if _fits(model, one, size):
            fits = size
        _free()
    return fits


def _fits(model: Model, one: dict[str, Any], size: int) -> bool:
    """Whether two steps go through while the next batch lies beside the one that is in use."""
    try:
        batch, following = resident(one, size), resident(one, size)
        model.step(batch)
        model.step(following)
        model.wait()
    except torch.cuda.OutOfMemoryError:
        model.optimizer.zero_grad(set_to_none=True)
        return False
    return True


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
