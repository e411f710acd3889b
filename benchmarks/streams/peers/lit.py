"""litdata: its own chunks, made from the same bytes; pictures by its own decoder (torchvision)."""

import json
from functools import cache, partial
from pathlib import Path
from typing import Any

import litdata
import numpy as np
import torch
import torchvision  # noqa: F401  each worker would import it for its first picture
from litdata import StreamingDataLoader, StreamingDataset

from ..byte_index import ByteIndex
from ..deliver import cut, stacked
from ..profiles import Profile
from . import Epochs, Job


@cache
def _index(profile: Profile, root: Path) -> ByteIndex:
    return ByteIndex(profile, root)


def _sample(profile: Profile, root: Path, number: int) -> dict[str, Any]:
    """A record as litdata keeps it: arrays in its array format, pictures as files, JSON as text."""
    key, stored = _index(profile, root).stored(number)
    sample: dict[str, Any] = {"key": key}
    for item in profile.items:
        data = bytes(stored[item.name])
        if item.codec == "json":
            sample[item.name] = data.decode()
        elif item.picture:
            sample[item.name] = litdata.Image(bytes=data)
        else:
            sample[item.name] = np.frombuffer(data, item.dtype).reshape(item.shape)
    return sample


def prepare(job: Job) -> None:
    """Chunks of 64 MB, not compressed."""
    count = len(ByteIndex(job.profile, job.root))
    litdata.optimize(
        partial(_sample, job.profile, job.root),
        list(range(count)),
        output_dir=str(job.own),
        chunk_bytes="64MB",
        num_workers=1,
        verbose=False,
    )


class Decode:
    """What litdata gives to a record as batches have it."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The record; pictures come as tensors, channels first."""
        arrays = dict(sample)
        key = arrays.pop("key")
        for item in self.profile.items:
            if item.picture:
                arrays[item.name] = arrays[item.name].permute(1, 2, 0)
            elif item.codec == "json":
                arrays[item.name] = json.loads(arrays[item.name])
            elif isinstance(arrays[item.name], torch.Tensor):
                arrays[item.name] = arrays[item.name].numpy()
        return cut(self.profile, key, arrays)


def loader(job: Job) -> Epochs:
    """Worker processes that map local chunks; its own shuffle of chunks and of all records in each.

    Its default `batch_decode` decodes up to 256 records for one that is read at random: one at a time is ten times
    faster here.
    """
    samples = StreamingDataset(
        str(job.own), shuffle=True, drop_last=True, seed=job.seed, transform=Decode(job.profile), batch_decode=0,
        item_shuffle_window="full",
    )  # fmt: skip
    batches = StreamingDataLoader(
        samples,
        batch_size=job.batch_size,
        num_workers=job.threads,
        collate_fn=stacked,
        drop_last=True,
        persistent_workers=True,
    )
    return lambda: iter(batches)
