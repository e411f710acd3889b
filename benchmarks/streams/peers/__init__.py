"""The loaders that are compared, one file each.

A file has `loader(job)`, whose result gives the batches of one epoch each time it is called, and where the loader has
a format of its own `prepare(job)`, which writes it. Each is set up as its own documentation says is fastest: batches
are made where records are read, workers and threads outlive an epoch, the last, smaller batch is dropped.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ..profiles import PROFILES, Profile

Epochs = Callable[[], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class Peer:
    """A loader: its name in tables, and the modules that it needs."""

    title: str
    needs: tuple[str, ...]

    @property
    def missing(self) -> list[str]:
        """Those of its modules that are not installed."""
        return [module for module in self.needs if not _installed(module)]


def _installed(module: str) -> bool:
    """Whether a module can be found; a package that holds it is imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


PEERS = {  # by the name of the file
    "dataloader": Peer("DataLoader, byte index", ("torch",)),
    "tuned": Peer("DataLoader, byte index, slices", ("torch", "torchvision")),
    "wds": Peer("webdataset", ("torch", "webdataset")),
    "lit": Peer("litdata", ("torch", "litdata")),
    "mosaic": Peer("mosaicml-streaming", ("torch", "streaming")),
    "grains": Peer("grain, threads", ("torch", "grain")),
    "spindle": Peer("SPDL, threads", ("torch", "spdl.pipeline")),
    "node_threads": Peer("torchdata nodes, threads", ("torch", "torchdata.nodes")),
    "node_processes": Peer("torchdata nodes, processes", ("torch", "torchdata.nodes")),
    "ours": Peer("tessera", ("torch",)),
}


@dataclass(frozen=True)
class Job:
    """What a loader is to do.

    Attributes:
        peer: name of its file here.
        profile_name: of `PROFILES`.
        root: folder of the data set's shards.
        folder: where peers keep the same data in their own formats.
        batch_size: records a batch.
        threads: worker threads or processes.
        seed: of the shuffle.
    """

    peer: str
    profile_name: str
    root: Path
    folder: Path
    batch_size: int = 8
    threads: int = 1
    seed: int = 0

    @property
    def profile(self) -> Profile:
        """The data set's profile."""
        return PROFILES[self.profile_name]

    @property
    def own(self) -> Path:
        """The peer's own folder."""
        return self.folder / self.peer

    @property
    def module(self) -> ModuleType:
        """The peer's file; importing it imports the loader."""
        return importlib.import_module(f".{self.peer}", __package__)
