"""A small data set of two tables with every codec and storage, built once and copied for tests that damage it."""

import copy
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from tessera.datasets import Catalog, Column, Dataset, Field, Octahedral, Reference, Rounded, Schema, ShardWriter
from tessera.datasets.catalog import scan_shards
from tessera.datasets.entries import ShardEntry

from .cache_data import fill

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

HEIGHT, WIDTH = 6, 8
HW, HW3 = ("height", "width"), ("height", "width", 3)
FRAMES = Schema(
    fields=(
        Field("image", "uint8", HW3, "jpg", options={"quality": 95}, optional=True),
        Field("ids", "uint16", HW, "png"),
        Field("distance", "float16", HW, "blosc", "metre", "camera", "along the ray", nan="not measured"),
        Field("normal", "float32", HW3, "blosc", storage=Octahedral(14)),
        Field("hdr", "float16", HW3, "blosc", storage=Rounded(8)),
        Field("points", "float32", ("points", 3), "npy"),
        Field("sdf", "float32", ("points",), "npy"),
        Field("pose", "float64", (4, 4), "npz", "metre", "world"),
        Field("scale", "float32", (), "npz"),
        Field("bits", "uint8", ("leaves",), "npz", optional=True),
        Field("meta", "json", (), "json", optional=True),
    ),
    dimensions={"height": HEIGHT, "width": WIDTH, "points": None, "leaves": None},
    columns=(Column("camera", "string"), Column("frame", "int64"), Column("mean", "float64"), Column("good", "bool")),
    references=(Reference("scene", "scenes"), Reference("neighbours", "frames", many=True)),
)
SCENES = Schema((Field("cloud", "float32", ("points", 3), "npy"), Field("name", "json", (), "json")), {"points": None})
UNITS = {("train", 0): ("s0", "s1"), ("train", 1): ("s2",), ("val", 0): ("s3",)}
RECORDS = 4


def frame_values(seed: int) -> dict[str, Any]:
    """Fields of one frame; odd seeds lack the optional ones."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 9))
    normal = rng.normal(size=(HEIGHT, WIDTH, 3)).astype(np.float32)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[0, 0] = 0
    distance = rng.uniform(1, 9, (HEIGHT, WIDTH)).astype(np.float16)
    distance[1, 1] = np.nan
    values = {
        "ids": rng.integers(0, 1 << 16, (HEIGHT, WIDTH)).astype(np.uint16),
        "distance": distance,
        "normal": normal,
        "hdr": rng.exponential(1, (HEIGHT, WIDTH, 3)).astype(np.float16),
        "points": rng.normal(size=(n, 3)).astype(np.float32),
        "sdf": rng.normal(size=n).astype(np.float32),
        "pose": rng.normal(size=(4, 4)),
        "scale": np.float32(rng.uniform()),
    }
    if seed % 2 == 0:
        ramp = np.linspace(40, 200, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1) + np.array([0, 8, 16])
        values |= {"image": ramp.astype(np.uint8), "bits": rng.integers(0, 256, 5).astype(np.uint8)}
        values["meta"] = {"words": ["ä", seed], "none": None}
    return values


@dataclass
class ToySet:
    """A data set on disk and what was written into it: table name to key to fields, and to scalars of the index."""

    root: Path
    values: dict[str, dict[str, dict[str, Any]]]
    scalars: dict[str, dict[str, dict[str, Any]]]

    @property
    def dataset(self) -> Dataset:
        """Read anew."""
        return Dataset(self.root)

    def table(self, name: str = "frames", split: str | None = None) -> Any:
        """One table, read anew."""
        return self.dataset.table(name, split)

    def tar(self, table: str = "frames", split: str = "train", group: int = 1) -> Path:
        """The first tar of a group."""
        return self.root / split / f"{table}-{group:06d}.tar"

    def index(self, table: str = "frames", split: str = "train", group: int = 1) -> Path:
        """The first index of a group."""
        return self.tar(table, split, group).with_suffix(".parquet")

    def catalog(self, state: str = "complete", **changes: Any) -> Catalog:
        """Write `dataset.json` anew from what lies in the folder."""
        blank = Catalog(
            name="toy", recipe="toy", state="building", labels={"pose": 1}, options={"size": "6x8"}, selection={},
            seed=3, groups={"train": 2, "val": 1}, shard_bytes=30_000, tables={"frames": FRAMES, "scenes": SCENES},
            code_version="0.1",
        )  # fmt: skip
        catalog = blank.with_shards(scan_shards(self.root, blank), 0, "complete")
        catalog = replace(catalog, **{"state": state, **changes})
        catalog.write(self.root, "run")
        return catalog

    def group(self, split: str, group: int, units: tuple[str, ...], limit: int = 30_000) -> None:
        """Write the shards of both tables of one group, and note what was written."""
        with (
            ShardWriter(self.root / split, "frames", split, group, FRAMES, run="run", limit=limit) as frames,
            ShardWriter(self.root / split, "scenes", split, group, SCENES, run="run", limit=limit) as scenes,
        ):
            for unit in units:
                frames.begin(unit)
                scenes.begin(unit)
                keys = [f"{unit}-{i:04d}" for i in range(RECORDS)]
                for i, key in enumerate(keys):
                    scalars = {"camera": f"cam{i % 2}", "frame": i, "mean": i / 2, "good": i > 1, "scene": unit}
                    scalars["neighbours"] = [k for k in keys if k != key][:i]
                    self._add(frames, "frames", key, frame_values(1000 * int(unit[1:]) + i), scalars)
                cloud = np.arange(3 * len(unit), dtype=np.float32).reshape(-1, 3)
                self._add(scenes, "scenes", unit, {"cloud": cloud, "name": f"scene {unit}"}, {})
            frames.commit(dict.fromkeys(units, "f"), [], {"labels": {"pose": 1}})
            scenes.commit(dict.fromkeys(units, "f"), [], {"labels": {}})

    def _add(self, writer: ShardWriter, table: str, key: str, values: dict[str, Any], scalars: dict[str, Any]) -> None:
        writer.add(key, values, scalars)
        self.values.setdefault(table, {})[key] = values
        self.scalars.setdefault(table, {})[key] = scalars


@pytest.fixture(autouse=True, scope="module")
def unflushed() -> Iterator[None]:
    """Nothing here survives a power cut anyway, and flushing takes most of a commit's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> ToySet:
    """The data set; not to be changed."""
    toy = ToySet(tmp_path_factory.mktemp("toy") / "set", {}, {})
    for (split, group), units in UNITS.items():
        toy.group(split, group, units)
    toy.catalog()
    return toy


@pytest.fixture
def toy(built: ToySet, tmp_path: Path) -> ToySet:
    """A copy of the data set for this test alone."""
    shutil.copytree(built.root, tmp_path / "set")
    return ToySet(tmp_path / "set", copy.deepcopy(built.values), copy.deepcopy(built.scalars))


@pytest.fixture(scope="session")
def frames_schema() -> Schema:
    """Schema of the table `frames`: every codec, every storage, two free dimensions, references."""
    return FRAMES


@pytest.fixture
def frame() -> dict[str, Any]:
    """Fields of one whole frame."""
    return frame_values(0)


@pytest.fixture
def frame_scalars() -> dict[str, Any]:
    """Columns and references of one frame."""
    return {"camera": "cam0", "frame": 1, "mean": 0.5, "good": True, "scene": "s0", "neighbours": ["s0-0002"]}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A folder that is there once a pickle was run."""
    return tmp_path / "canary"


@pytest.fixture
def big(tmp_path: Path) -> tuple[Path, ShardEntry, bytes]:
    """(folder of one tar of random bytes, its entry, the bytes)."""
    return fill(tmp_path / "store", 300_000)
