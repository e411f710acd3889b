"""The benchmark of training items: what is made on the fly agrees with what the shards say of the same places."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tessera.benchmarks import epoch
from tessera.benchmarks.items.on_the_fly import POINTS, OnTheFly
from tessera.benchmarks.items.reference_files import write_reference_files
from tessera.benchmarks.items.streamed import batches
from tessera.datasets import Dataset
from tessera.datasets.errors import UsageError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

from ..pipelines.recipes.scan_runs import thuman2_demo

Once = Callable[[str, Callable[[Path], object]], Path]
EMBREE = pytest.mark.skipif(find_spec("embreex") is None, reason="embreex is not here: pip install -e '.[bench]'")


@pytest.fixture(scope="module")
def raw(once: Once) -> Path:
    return thuman2_demo(once)


@pytest.fixture(scope="module")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, out = load_recipe("thuman2"), tmp_path_factory.mktemp("epoch") / "shards"
    options = recipe.options(views=4, size=128, noise_pose=0.0, noise_shape=0.0, variants=1)
    run_recipe(recipe, options, raw, RunSettings(out=out, workers=0, only="0000", quiet=True, max_reject=1))
    return out


@EMBREE
def test_rows_are_measured_in_one_run(raw: Path, shards: Path, tmp_path: Path) -> None:
    found = epoch.compare(raw, shards, tmp_path / "reference", 2, 1.0)
    steps, rows, sizes = found.values()
    assert {row["step"] for row in steps} >= {"mesh load", "normals", "inside test", "body model", "body features"}
    assert all(row["ms an item"] > 0 for row in steps)
    fly, shards_row, noisy = rows
    assert fly["measured"] == 2 and shards_row["measured"] == noisy["measured"] == 20
    assert shards_row["times less"] == pytest.approx(fly["mean ms"] / shards_row["mean ms"])
    assert shards_row["met"] == ("yes" if shards_row["times less"] >= epoch.BAR else "no")
    assert [row["records"] for row in sizes] == [1, 4]


@EMBREE
def test_an_item_on_the_fly_agrees_with_the_records(raw: Path, shards: Path, tmp_path: Path) -> None:
    data = Dataset(shards)
    write_reference_files(data, tmp_path / "reference")
    subject = data.table("subjects")["0000"]
    item = OnTheFly(raw, tmp_path / "reference")
    made = item.make("0000-090", np.random.default_rng(1))
    assert len(made["points"]) == len(made["labels"]) == POINTS and made["labels"].sum() == POINTS // 2
    # nearest places of the pool, where both are far enough from the surface to have one side
    from scipy.spatial import cKDTree

    away, near = cKDTree(subject["points"]).query(made["points"])
    sdf = subject["sdf"][near].astype(float)
    sure = np.abs(sdf) > away + 1e-3
    assert sure.mean() > 0.3
    np.testing.assert_array_equal(made["labels"][sure] > 0, sdf[sure] < 0)
    np.testing.assert_allclose(made["render"].min(), -1, atol=1)
    assert made["cmap"].shape == made["norm"].shape == (POINTS, 3) and made["vis"].mean() > 0.2


def test_without_embree_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the reference should: without it, trimesh's inside test takes a quarter of an hour an item."""
    monkeypatch.setattr(epoch, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"embreex.*pip install -e '\.\[bench\]'"):
        epoch.tables()


def test_batches_have_what_the_item_has(shards: Path) -> None:
    for noisy in (False, True):
        batch = next(batches(shards, 1000, 2, noisy))
        assert batch["subject.points"].shape[-1] == 3 and batch["icon_cmap"].shape[-1] == 3
        assert batch["image"].shape == (2, 128, 128, 3) and batch["body_normal_f"].shape == (2, 128, 128, 3)
        assert float(batch["occupancy"].float().mean()) == pytest.approx(0.5, abs=0.01)
