"""Hypothesis without chance, and RAW folders made of a few lines."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image
from tessera.pipelines.rawfiles import RawFiles

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


class Folder:
    """A RAW folder; texts, bytes and pictures are put into it by their paths."""

    def __init__(self, root: Path):
        self.root = root

    def put(self, path, content=b""):
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            Image.fromarray(content).save(target, quality=100, subsampling=0)
        else:
            target.write_bytes(content.encode() if isinstance(content, str) else content)

    @property
    def files(self) -> RawFiles:
        return RawFiles(self.root)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "raw")


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    """A picture of (height, width) whose pixels differ; PNG keeps them."""

    def made(height=8, width=12, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)

    return made
