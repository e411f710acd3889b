"""The DataLoader over a byte index at its strongest: only the slices are read, batches are made in shared memory.

Workers get a batch's numbers at once (`__getitems__`), read each slice straight into its place in a tensor that lies in
shared memory, so that sending it copies nothing, and decode pictures by torchvision, faster than Pillow.
"""

import json
import os
from typing import Any

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_image

from ..byte_index import ByteIndex
from ..deliver import Batch, cropped, first
from ..profiles import Item, Profile
from . import Epochs, Job
from .dataloader import workers


class Slices:
    """Batches by the numbers of their records."""

    def __init__(self, index: ByteIndex) -> None:
        self.index = index

    def __len__(self) -> int:
        """Number of records."""
        return len(self.index)

    def __getitems__(self, numbers: list[int]) -> Batch:
        """The batch of these records."""
        batch: Batch = {}
        for item in self.index.profile.items:
            batch[item.name] = self._column(item, numbers)
        return batch | {"key": [self.index.keys[number] for number in numbers]}

    def _column(self, item: Item, numbers: list[int]) -> Any:
        profile, places = self.index.profile, self.index.places[item.name]
        if item.codec == "json":
            return [json.loads(os.pread(self.index.file(n), places[n][1], places[n][0])) for n in numbers]
        out = torch.empty((len(numbers), *profile.shape(item.name)), dtype=getattr(torch, item.dtype))
        out.share_memory_()
        array = out.numpy()
        for row, number in zip(array, numbers, strict=True):
            if item.picture:
                self._picture(profile, number, item, row)
            else:
                self._pieces(profile, number, item, row)
        return out

    def _picture(self, profile: Profile, number: int, item: Item, row: np.ndarray) -> None:
        start, size = self.index.places[item.name][number]
        data = torch.frombuffer(bytearray(os.pread(self.index.file(number), size, start)), dtype=torch.uint8)
        pixels = decode_image(data, ImageReadMode.RGB).permute(1, 2, 0)
        row[...] = cropped(profile, self.index.keys[number], pixels).numpy()

    def _pieces(self, profile: Profile, number: int, item: Item, row: np.ndarray) -> None:
        start, _ = self.index.places[item.name][number]
        handle = self.index.file(number)
        if item.name not in profile.sliced:
            os.preadv(handle, [row.data], start)
            return
        at = first(profile, self.index.keys[number])
        run = min(profile.take, profile.pool - at)
        os.preadv(handle, [row[:run].data], start + at * row[0].nbytes)
        if run < profile.take:
            os.preadv(handle, [row[run:].data], start)


def _same(batch: Any) -> Any:
    return batch


def loader(job: Job) -> Epochs:
    """Worker processes; a global permutation each epoch."""
    return workers(Slices(ByteIndex(job.profile, job.root)), _same, job)
