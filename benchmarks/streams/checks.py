"""Whether a loader's batches hold what they must: every record once, with exactly the same numbers for the same key."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .byte_index import ByteIndex
from .deliver import around, decoded
from .peers import Job
from .profiles import Profile


def compare(job: Job, batches: Iterator[dict[str, Any]]) -> str:
    """Compares an epoch with the tars' records, decoded by numpy and Pillow.

    Peers draw slices and crops by `deliver.py`. Those of tessera follow its own keys: its slice must be one of the
    record's pools, from the same start in each of them; its crop must be a part of the record's picture.

    Returns:
        Such as "2560 records, all equal".

    Raises:
        AssertionError: with the record and the field that differ.
    """
    profile, index = job.profile, ByteIndex(job.profile, job.root)
    numbers = {key: number for number, key in enumerate(index.keys)}
    seen = set()
    for batch in batches:
        for at, key in enumerate(batch["key"]):
            record = {name: column[at] for name, column in batch.items() if name in profile.by_name}
            _compare(profile, key, record, index.stored(numbers[key])[1], own=job.peer == "ours")
            if key in seen:
                raise AssertionError(f"record {key} came twice")
            seen.add(key)
    if len(seen) < len(index) - job.batch_size * max(job.threads, 1):
        raise AssertionError(f"{len(seen)} of {len(index)} records came")
    return f"{len(seen)} of {len(index)} records, all equal"


def _compare(profile: Profile, key: str, record: dict[str, Any], stored: dict[str, Any], own: bool) -> None:
    bare = Profile(profile.name, profile.items, profile.records) if own else profile
    wanted = decoded(bare, key, stored)
    start = _start(profile, wanted, record) if own and profile.sliced else 0
    for item in profile.items:
        found, whole = record[item.name], wanted[item.name]
        if item.codec == "json":
            good = found == whole
        elif own and item.name in profile.sliced:
            good = np.array_equal(found.numpy(), around(whole, start, profile.take))
        elif own and profile.crop and item.picture:
            good = is_part(found.numpy(), whole)
        else:
            good = found.numpy().dtype == whole.dtype and np.array_equal(found.numpy(), whole)
        if not good:
            raise AssertionError(f"record {key}, field {item.name}: not what the tar holds")


def _start(profile: Profile, wanted: dict[str, Any], record: dict[str, Any]) -> int:
    """Where in the pools a slice begins."""
    name = profile.sliced[0]
    same = (wanted[name] == record[name].numpy()[0]).reshape(profile.pool, -1).all(1)
    return int(np.flatnonzero(same)[0]) if same.any() else 0


def is_part(part: NDArray, whole: NDArray) -> bool:
    """Whether `part` (h, w, 3) lies somewhere in `whole` (height, width, 3)."""
    rows, columns = (big - small + 1 for big, small in zip(whole.shape[:2], part.shape[:2], strict=True))
    corners = np.ones((rows, columns), bool)
    for y in (0, part.shape[0] // 2, part.shape[0] - 1):
        for x in (0, part.shape[1] // 2, part.shape[1] - 1):
            corners &= (whole[y : y + rows, x : x + columns] == part[y, x]).all(-1)
    places = np.argwhere(corners)
    return any(np.array_equal(whole[y : y + part.shape[0], x : x + part.shape[1]], part) for y, x in places.tolist())
