"""What a record gives to a batch, the same for every loader: slices of pools, crops of pictures, stacked tensors."""

import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from .profiles import Profile

Batch = dict[str, Any]  # field name -> tensor (B, ...), "meta" -> list, "key" -> list of str
PictureDecoder = Callable[[Any], NDArray[np.uint8]]


def keyed(key: str, what: str, most: int) -> int:
    """A number below `most` that follows from the record's key alone."""
    return zlib.crc32(f"{key} {what}".encode()) % most


def first(profile: Profile, key: str) -> int:
    """First element of the slice that a record gives of its pools."""
    return keyed(key, "slice", profile.pool)


def around(array: NDArray, start: int, count: int) -> NDArray:
    """`count` elements from `start` on, going on at the beginning; a view where the end is not crossed."""
    run = array[start : start + count]
    return run if len(run) == count else np.concatenate([run, array[: count - len(run)]])


def cropped(profile: Profile, key: str, picture: Any) -> Any:
    """The part of a picture (height, width, 3), an array or a tensor, that a record gives: a view."""
    if profile.crop is None:
        return picture
    height, width = profile.crop
    top = keyed(key, "top", picture.shape[0] - height + 1)
    left = keyed(key, "left", picture.shape[1] - width + 1)
    return picture[top : top + height, left : left + width]


def with_pillow(data: Any) -> NDArray[np.uint8]:
    """A picture's pixels, (height, width, 3), as the loaders' own examples decode them."""
    return np.asarray(Image.open(io.BytesIO(data)))


def cut(profile: Profile, key: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    """One record of a batch from its whole fields; `key` is added."""
    record = dict(arrays)
    for name in profile.sliced:
        record[name] = around(arrays[name], first(profile, key), profile.take)
    for name in profile.pictures:
        record[name] = cropped(profile, key, arrays[name])
    return record | {"key": key}


def decoded(
    profile: Profile, key: str, stored: Mapping[str, Any], picture: PictureDecoder = with_pillow
) -> dict[str, Any]:
    """One record of a batch from its stored fields: raw array bytes, picture files, JSON texts."""
    arrays: dict[str, Any] = {}
    for item in profile.items:
        data = stored[item.name]
        if item.codec == "json":
            arrays[item.name] = json.loads(bytes(data))
        elif item.picture:
            arrays[item.name] = picture(data)
        else:
            arrays[item.name] = np.frombuffer(data, item.dtype).reshape(item.shape)
    return cut(profile, key, arrays)


def stacked(records: Sequence[Mapping[str, Any]]) -> Batch:
    """Stacked tensors of the records' arrays and tensors, lists of everything else."""
    batch: Batch = {}
    for name, value in records[0].items():
        column = [record[name] for record in records]
        if isinstance(value, np.ndarray):
            batch[name] = torch.from_numpy(np.stack(column))
        else:
            batch[name] = torch.stack(column) if isinstance(value, torch.Tensor) else column
    return batch
