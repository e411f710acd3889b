"""Demo raw data and data sets made from them, once for all tests of the recipes."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.pipelines.demo.hypersim import generate
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

from . import scan_oracle, scan_runs
from .scan_oracle import Triangles

Once = Callable[[str, Callable[[Path], object]], Path]
FULL, HALF = "192x256", "96x128"
JOINT = "neighbours,points,probes,octree_seen,scene"  # labels that need the whole scene


@pytest.fixture(scope="session")
def demo(once: Once) -> Path:
    return once("demo", lambda raw: generate(raw, scale="small"))


@pytest.fixture(scope="session")
def faulty(once: Once) -> Path:
    return once("faulty", lambda raw: generate(raw, scale="small", faults=True, workers=2))


def build(raw: Path, out: Path, **options: object) -> Dataset:
    recipe = load_recipe("hypersim")
    summary = run_recipe(recipe, recipe.options(**options), raw, RunSettings(out=out, workers=0, quiet=True))
    assert summary.complete
    return Dataset(out)


@pytest.fixture(scope="session", params=[FULL, HALF])
def dataset(request: pytest.FixtureRequest, demo: Path, once: Once) -> Dataset:
    """Everything on, at the raw size and at half of it."""
    size = request.param
    return Dataset(once(f"shards-{size}", lambda out: build(demo, out, size=size, with_="intrinsic,semantic")))


@pytest.fixture(scope="session")
def thuman2_demo(once: Once) -> Path:
    return scan_runs.thuman2_demo(once)


@pytest.fixture(scope="session")
def thuman2(thuman2_demo: Path, once: Once) -> Dataset:
    """Two subjects from four sides, with all that can be asked for."""

    def make(out: Path) -> None:
        every = "sides,grid,voxels,orientation,relit"
        options = {"views": 4, "size": 128, "variants": 2, "with_": every, "only": "000[01]"}
        assert scan_runs.run("thuman2", thuman2_demo, out, **options).complete

    return Dataset(once("thuman2_all", make))


@pytest.fixture(scope="session")
def thuman2_perspective(thuman2_demo: Path, once: Once) -> Dataset:
    """One of these subjects again, before perspective cameras at two heights, and nothing beyond the defaults."""

    def make(out: Path) -> None:
        options = {"views": 3, "size": 96, "variants": 2, "camera": "perspective", "pitch": "0,30", "only": "0000"}
        assert scan_runs.run("thuman2", thuman2_demo, out, **options).complete

    return Dataset(once("thuman2_perspective", make))


@pytest.fixture(scope="module", params=["0000", "0001"])
def subject(request: pytest.FixtureRequest, thuman2: Dataset) -> Record:
    return thuman2.table("subjects")[request.param]


@pytest.fixture(scope="module")
def scan(subject: Record, thuman2_demo: Path) -> Triangles:
    """The raw scan of the subject, in the world frame."""
    vertices = scan_oracle.world_scan(thuman2_demo, subject.key)
    return Triangles(vertices, scan_oracle.raw_scan(thuman2_demo, subject.key).faces)


@pytest.fixture(scope="module")
def bodies(subject: Record, thuman2_demo: Path) -> list[Triangles]:
    """The fit and the noise variants, posed of the stored parameters, scale and translation."""
    faces = scan_oracle.body_model(thuman2_demo / "body_models", False).faces
    return [Triangles(vertices, faces) for vertices in scan_oracle.bodies(thuman2_demo, subject)]


def raw_array(raw: Path, record: Record, modality: str) -> np.ndarray:
    """A raw file of a record, read by plain h5py."""
    scene, camera, frame = (record.columns[name] for name in ("scene", "camera", "frame"))
    kind = "final" if modality in ("color", "residual") or modality.startswith("diffuse") else "geometry"
    folder = raw / scene / "images" / f"scene_{camera}_{kind}_hdf5"
    with h5py.File(folder / f"frame.{frame:04d}.{modality}.hdf5") as file:
        return file["dataset"][()]


def one_surface(raw: Path, record: Record) -> np.ndarray:
    """Pixels (h, w) all of whose raw pixels, and those of the four neighbours, belong to one entity.

    Elsewhere a smaller picture has to choose one of several surfaces, and an exact ray through its centre may choose
    another.
    """
    ids = raw_array(raw, record, "render_entity_id")
    height, width = record["flags"].shape
    blocks = ids.reshape(height, ids.shape[0] // height, width, ids.shape[1] // width)
    low, high = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
    same = low == high
    alike = same.copy()
    for axis in (0, 1):
        for shift in (-1, 1):
            alike &= np.roll(same, shift, axis) & (np.roll(low, shift, axis) == low)
    return alike
