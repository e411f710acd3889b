"""mosaicml-streaming: its own MDS shards, made from the same bytes."""

import json
from typing import Any

import numpy as np
from streaming import MDSWriter, StreamingDataset
from torch.utils.data import DataLoader

from ..byte_index import ByteIndex
from ..deliver import cut, stacked, with_pillow
from ..profiles import Item, Profile
from . import Epochs, Job


def _column(item: Item) -> str:
    if item.codec == "json":
        return "json"
    return "bytes" if item.picture else f"ndarray:{item.dtype}:{','.join(map(str, item.shape))}"


def prepare(job: Job) -> None:
    """MDS shards of 64 MB, not compressed; arrays of fixed dtype and shape, pictures as files."""
    index = ByteIndex(job.profile, job.root)
    columns = {item.name: _column(item) for item in job.profile.items} | {"key": "str"}
    with MDSWriter(out=str(job.own), columns=columns, size_limit=1 << 26) as writer:
        for number in range(len(index)):
            key, stored = index.stored(number)
            sample: dict[str, Any] = {"key": key}
            for item in job.profile.items:
                data = bytes(stored[item.name])
                if item.codec == "json":
                    sample[item.name] = json.loads(data)
                else:
                    sample[item.name] = data if item.picture else np.frombuffer(data, item.dtype).reshape(item.shape)
            writer.write(sample)


class Samples(StreamingDataset):
    """Records as batches have them; pictures by Pillow, as its own picture columns decode them."""

    def __init__(self, profile: Profile, **options: Any) -> None:
        super().__init__(**options)
        self.profile = profile

    def __getitem__(self, at: Any) -> Any:
        """One record."""
        arrays = dict(super().__getitem__(at))
        key = arrays.pop("key")
        arrays |= {name: with_pillow(arrays[name]) for name in self.profile.pictures}
        return cut(self.profile, key, arrays)


def loader(job: Job) -> Epochs:
    """Worker processes; its default shuffle (py1e)."""
    samples = Samples(
        job.profile, local=str(job.own), shuffle=True, shuffle_seed=job.seed, batch_size=job.batch_size,
        num_canonical_nodes=1,
    )  # fmt: skip
    batches: DataLoader = DataLoader(
        samples, job.batch_size, num_workers=job.threads, collate_fn=stacked, drop_last=True, persistent_workers=True,
    )  # fmt: skip
    return lambda: iter(batches)
