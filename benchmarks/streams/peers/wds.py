"""webdataset, reading the tars as they are: shards are shuffled, then records by a buffer of 1,000."""

import io
import json
from typing import Any

import numpy as np
import webdataset
from webdataset import WebDataset, WebLoader

from ..deliver import cut, stacked, with_pillow
from ..profiles import SPLIT, Profile
from . import Epochs, Job

BUFFER = 1000


class Decode:
    """A sample of webdataset's to a record as batches have it: `.npy` by numpy, pictures by Pillow."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The record."""
        arrays = {item.name: _value(item.codec, sample[f"{item.name}.{item.codec}"]) for item in self.profile.items}
        return cut(self.profile, sample["__key__"], arrays)


def _value(codec: str, data: bytes) -> Any:
    if codec in ("jpg", "png"):
        return with_pillow(data)
    if codec == "json":
        return json.loads(data)
    return np.load(io.BytesIO(data), allow_pickle=False)


def loader(job: Job) -> Epochs:
    """Worker processes, each with its own shards, that batch what they read."""
    tars = sorted(str(path) for path in (job.root / SPLIT).glob("*.tar"))
    samples = WebDataset(
        tars, shardshuffle=len(tars), nodesplitter=None, seed=job.seed, handler=webdataset.reraise_exception
    )
    samples = samples.shuffle(BUFFER).map(Decode(job.profile)).batched(job.batch_size, stacked, partial=False)
    batches = WebLoader(samples, batch_size=None, num_workers=job.threads, persistent_workers=True)
    return lambda: iter(batches)
