"""The same network fed in several ways, in one run."""

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ...datasets.catalog import Catalog
from ...datasets.loading.ranks import default_threads
from ...datasets.stream import Stream
from ...training.config import RunConfig
from ...training.engines.implicit.config import ImplicitConfig
from ...training.fit import train
from ...training.streams import open_stream
from .data import repeated, split_of, view_keys
from .fly import Implicit, Items, Make, Pictures, loader
from .loop import Row, Times, cycle, measure, row, waiting
from .model import Case, Model, resident

LIMIT, SHARDS, PRODUCT = "one resident batch: the limit", "shards, Stream", "shards, tessera train"
FLY = "the reference's items on the fly, DataLoader"
Watch = Callable[[str], AbstractContextManager[Any]]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        rounds: of shards and of the limit, in turns.
        steps: of each.
        fly: steps of each way on the fly.
        workers: of the DataLoader, one way each.
    """

    rounds: int = 3
    steps: int = 20
    fly: int = 6
    workers: tuple[int, ...] = (0, 2)


class Place:
    """A case on a data set whose epochs are longer than what is measured.

    Args:
        case: what is trained; with a batch of 0, that of the preset.
        data: shards.
        folder: for links to them, and runs.
        plan: how much is measured.
    """

    def __init__(self, case: Case, data: Path, folder: Path, plan: Plan) -> None:
        few = case.batch or case.config("").data.batch
        records = few * (plan.steps * plan.rounds + default_threads() + 8)  # threads and more for the warm-up
        self.case, self.folder = case, folder
        name = case.title(case.batch).replace(", ", "-").replace(" ", "-").replace(":", "")
        self.data = repeated(data, folder / name, records)
        self.catalog = Catalog.read(self.data)
        self.config: RunConfig = case.config(str(self.data), split_of(self.catalog))
        self.batch = self.config.data.batch

    def stream(self) -> Stream:
        """A new stream, as a run has it."""
        device = None if self.case.device == "cpu" else self.case.device
        return open_stream(self.case.spec, self.config, self.catalog, self.config.data.split, "train", device=device)

    def model(self) -> Model:
        """The network, at its beginning."""
        return Model(self.case, self.config, self.catalog)

    def one(self) -> dict[str, Any]:
        """A batch that lies in memory."""
        with self.stream() as stream, closing(cycle(stream)) as batches:
            return resident(next(batches), self.batch)


def two_ways(place: Place, model: Model, plan: Plan, watch: Watch = lambda name: nullcontext()) -> tuple[Times, Times]:
    """Steps with a batch that lies in memory, and with batches from shards, in turns; each turn has a new stream."""
    limit, shards, one = Times(), Times(), place.one()
    for _ in range(plan.rounds):
        with watch(LIMIT):
            measure(model, cycle([one]), 2, plan.steps, limit)
        with place.stream() as stream, closing(cycle(stream)) as batches:
            warm = stream.prefetch + 2  # those that were made before anybody waited
            with watch(SHARDS):
                measure(model, batches, warm, plan.steps, shards)
    return limit, shards


def rows(case: Case, data: Path, raw: Path, rendered: Path, folder: Path, plan: Plan) -> tuple[str, list[Row]]:
    """The table of a case on the CPU, and its title."""
    place = Place(case, data, folder, plan)
    model = place.model()
    limit, shards = two_ways(place, model, plan)
    cores, decoding = _threads(), f"{place.config.data.threads or default_threads()} threads"
    found = [row(LIMIT, limit, limit, cores, "", False), row(SHARDS, shards, limit, cores, decoding, True)]
    found.append(_product(place, limit, plan.rounds * plan.steps, cores, decoding))
    items = Items(view_keys(data, place.config.data.split), _make(place.config, raw, rendered))
    for workers in plan.workers:
        times = _on_the_fly(model, items, place.batch, workers, plan.fly)
        made = f"{workers} processes" if workers else "the loop itself"
        found.append(row(f"{FLY}, num_workers {workers}", times, limit, cores, made, False))
    return case.title(place.batch), found


def _on_the_fly(model: Model, items: Items, batch: int, workers: int, steps: int) -> Times:
    times, source = Times(), loader(items, batch, workers)
    with closing(cycle(source)) as batches:
        measure(model, batches, 1 + workers, steps, times)  # workers have begun, and imported what they need
    return times


def _make(config: RunConfig, raw: Path, rendered: Path) -> Make:
    """What makes the reference's items for an engine."""
    if isinstance(config.model, ImplicitConfig):
        return Implicit(raw, rendered, config.model)
    return Pictures(rendered)


def _threads() -> str:
    return f"{torch.get_num_threads()} of {len(os.sched_getaffinity(0))} cores"


def trained(place: Place, steps: int) -> dict[str, Any]:
    """The summary of a run of the real trainer, whose last line covers all steps but the first."""
    out = place.folder / f"run-{place.data.name}"
    run = replace(place.config.train, out=out, max_steps=steps, max_epochs=1000, log_every=steps)
    with open(os.devnull, "w") as nowhere:
        path, status = train(replace(place.config, train=run), Console(file=nowhere))
    if status:  # a signal, which the trainer took
        raise KeyboardInterrupt
    return dict(json.loads((path / "summary.json").read_text()))


def _product(place: Place, limit: Times, steps: int, cores: str, decoding: str) -> Row:
    summary = trained(place, steps)
    rate = summary["last"]["records_per_s"] / place.batch
    times = Times([1 / rate] * (steps - 1), [0.0], (steps - 1) / rate)
    made = row(PRODUCT, times, limit, cores, decoding, True)
    return made | {"median ms": "", "by medians": ""} | waiting(summary["loader_share"], True)
