"""What all records of a data set share: files in `assets/`, and the joint sets that its fields name."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.commit import write_file
from ..datasets.joints import JointSet

FOLDER = "assets"


@dataclass(frozen=True)
class Shared:
    """Files by name, such as `body.npz`, and joint sets."""

    assets: Mapping[str, bytes] = field(default_factory=dict)
    joint_sets: tuple[JointSet, ...] = ()

    def hashes(self) -> dict[str, str]:
        """Entry `assets` of `dataset.json`: paths in the data set to sha256."""
        return {f"{FOLDER}/{name}": hashlib.sha256(data).hexdigest() for name, data in sorted(self.assets.items())}

    def joints(self) -> dict[str, Any]:
        """Entry `joint_sets` of `dataset.json`."""
        return {entry.name: entry.to_json() for entry in self.joint_sets}

    def stale(self, out: Path) -> list[Path]:
        """Files in the folder of assets that are none of these."""
        there = sorted((out / FOLDER).iterdir()) if (out / FOLDER).is_dir() else []
        return [path for path in there if path.name not in self.assets and path.is_file()]

    def write(self, out: Path, run: str) -> list[str]:
        """Write what is not there as it should be, delete what is none of these; returns the paths of all in `out`."""
        for path in self.stale(out):
            path.unlink()
        if self.assets:
            (out / FOLDER).mkdir(parents=True, exist_ok=True)
        elif (out / FOLDER).is_dir() and not any((out / FOLDER).iterdir()):
            (out / FOLDER).rmdir()
        for name, data in self.assets.items():
            path = out / FOLDER / name
            if not path.is_file() or path.read_bytes() != data:
                write_file(path, data, run)
        return sorted(self.hashes())


def npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An uncompressed npz archive; the same arrays give the same bytes."""
    stream = io.BytesIO()
    values: dict[str, Any] = dict(arrays)
    np.savez(stream, **values)
    return stream.getvalue()
