"""Demo raw data and data sets made from them, once for all tests of the recipes."""

from pathlib import Path

import pytest

from tessera.datasets import Dataset
from tessera.pipelines.demo.hypersim import generate
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

FULL, HALF = "192x256", "96x128"


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("demo") / "raw"
    generate(raw, scale="small")
    return raw


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    raw = tmp_path_factory.mktemp("faulty") / "raw"
    generate(raw, scale="small", faults=True)
    return raw


def build(raw: Path, out: Path, **options: object) -> Dataset:
    recipe = load_recipe("hypersim")
    summary = run_recipe(recipe, recipe.options(**options), raw, RunSettings(out=out, workers=0, quiet=True))
    assert summary.complete
    return Dataset(out)


@pytest.fixture(scope="session", params=[FULL, HALF])
def dataset(request: pytest.FixtureRequest, demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Everything on, at the raw size and at half of it."""
    return build(demo, tmp_path_factory.mktemp("shards") / "out", size=request.param, with_="intrinsic,semantic")
