"""A byte index over the tars of a data set: what a user writes who wants records at random."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from .profiles import Profile

INDEX = "byte_index.npz"


class ByteIndex:
    """Random access to the records of a profile's tars; picklable, each process opens the tars for itself.

    Args:
        profile: the data set's profile.
        root: its folder.
    """

    def __init__(self, profile: Profile, root: Path) -> None:
        self.profile = profile
        with np.load(root / INDEX) as index:
            self.tars = [root / str(name) for name in index["tars"]]
            self.keys: list[str] = index["key"].tolist()
            self.shards: list[int] = index["shard"].tolist()
            self.places = {
                name: list(zip(index[f"{name}.offset"].tolist(), index[f"{name}.size"].tolist(), strict=True))
                for name in (*profile.by_name, "record")
            }
        self._files: list[int] = []

    def __len__(self) -> int:
        """Number of records."""
        return len(self.keys)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files."""
        return self.__dict__ | {"_files": []}

    def file(self, number: int) -> int:
        """Handle of the tar that holds a record."""
        if not self._files:
            self._files = [os.open(tar, os.O_RDONLY) for tar in self.tars]
        return self._files[self.shards[number]]

    def stored(self, number: int) -> tuple[str, dict[str, memoryview]]:
        """Key and stored bytes of every field of a record, in one read."""
        start, size = self.places["record"][number]
        data = memoryview(os.pread(self.file(number), size, start))
        spans = {name: self.places[name][number] for name in self.profile.by_name}
        return self.keys[number], {name: data[at - start : at - start + n] for name, (at, n) in spans.items()}
