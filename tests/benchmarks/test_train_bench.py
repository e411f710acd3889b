"""The benchmark of training: its items on the fly are what a stream gives, its arithmetic is right."""

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from tessera.benchmarks import train as bench
from tessera.benchmarks.items.on_the_fly import POINTS
from tessera.benchmarks.steps import gpu, race
from tessera.benchmarks.steps.data import reference_files, repeated, split_of, view_keys
from tessera.benchmarks.steps.fly import FewerPoints, Items, collate, loader, picture_arrays
from tessera.benchmarks.steps.loop import Times, cycle, measure, row
from tessera.benchmarks.steps.model import Case, resident
from tessera.commands.bench import print_rows
from tessera.datasets.catalog import Catalog
from tessera.datasets.errors import UsageError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

from ..pipelines.recipes.scan_runs import thuman2_demo

Once = Callable[[str, Callable[[Path], object]], Path]
EMBREE = pytest.mark.skipif(find_spec("embreex") is None, reason="embreex is not here: pip install -e '.[bench]'")
SMALL = race.Plan(rounds=1, steps=2, fly=1, workers=(0,))
UNUSED = {"subject.body_sdf"}  # given by a stream, read by no engine


@pytest.fixture(scope="module")
def raw(once: Once) -> Path:
    return thuman2_demo(once)


@pytest.fixture(scope="module")
def shards(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe, out = load_recipe("thuman2"), tmp_path_factory.mktemp("train") / "shards"
    options = recipe.options(views=4, size=128, noise_pose=0.0, noise_shape=0.0, variants=1)
    run_recipe(recipe, options, raw, RunSettings(out=out, workers=0, only="0000", quiet=True, max_reject=1))
    return out


@pytest.fixture(scope="module")
def rendered(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reference_files(shards, tmp_path_factory.mktemp("reference") / "files")


@EMBREE
@pytest.mark.parametrize("case", [Case("implicit", "icon-tiny"), Case("normals", "tiny")], ids=lambda x: x.engine)
def test_a_batch_made_on_the_fly_is_one_that_a_stream_gives(
    case: Case, raw: Path, shards: Path, rendered: Path, tmp_path: Path
) -> None:
    place = race.Place(case, shards, tmp_path, SMALL)
    items = Items(view_keys(shards, place.config.data.split), race._make(place.config, raw, rendered))
    made = next(iter(loader(items, place.batch, 0)))
    given = place.one()
    assert made.keys() == {name for name in given if not name.endswith(".present")} - UNUSED
    for name, value in made.items():
        if isinstance(value, torch.Tensor):
            assert (value.dtype, value.shape) == (given[name].dtype, given[name].shape), name
    with place.stream() as stream:
        same = stream.get(made["key"])
    torch.testing.assert_close(made["mask"], same["mask"])
    torch.testing.assert_close(made["normal_f"], same["normal_f"], atol=2 / 127, rtol=0)
    torch.testing.assert_close(made["image"][made["mask"]], same["image"][made["mask"]], atol=1, rtol=0)
    assert torch.isfinite(place.model().step(made))


@EMBREE
def test_features_of_the_body_agree_with_those_of_the_stream(
    raw: Path, shards: Path, rendered: Path, tmp_path: Path
) -> None:
    """Normals are turned to the camera, distances are positive inside: near the same place, the same values."""
    from scipy.spatial import cKDTree

    place = race.Place(Case("implicit", "icon-tiny"), shards, tmp_path, SMALL)
    items = Items(["0000-090"], race._make(place.config, raw, rendered))
    made = collate([items[0]])
    with place.stream() as stream:
        same = stream.get(["0000-090"])
    assert made["calib"].tolist() == pytest.approx(same["calib"].numpy(), abs=1e-6)
    away, near = cKDTree(same["subject.points"][0].numpy()).query(made["subject.points"][0].numpy())
    close = away < 0.02
    assert close.mean() > 0.2
    for name, least in (("icon_norm", 0.8), ("icon_cmap", 0.7), ("icon_sdf", 0.7)):
        ours, theirs = made[name][0].numpy()[close], same[name][0].numpy()[near[close]]
        assert np.corrcoef(ours.reshape(-1), theirs.reshape(-1))[0, 1] > least, name
    agree = (made["subject.sdf"][0].numpy()[close] < 0) == (same["subject.sdf"][0].numpy()[near[close]] < 0)
    assert agree.mean() > 0.8


def test_fewer_points_are_half_inside() -> None:
    item = FewerPoints(Path(), Path(), 2000)
    points, inside = np.arange(30000.0).reshape(-1, 3), np.arange(10000) % 3 == 0
    kept, labels = item._balanced(points, inside, np.random.default_rng(0))
    assert kept.shape == (2000, 3) and labels.sum() == 1000
    assert ((kept[:, 0] / 3 % 3 == 0) == (labels == 1)).all()
    with pytest.raises(ValueError, match=f"must divide {POINTS}"):
        FewerPoints(Path(), Path(), 3000)


def test_pictures_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    image, alpha = rng.integers(0, 256, (8, 8, 3), np.uint8), rng.integers(0, 2, (8, 8, 1)).astype(np.float32)
    up = np.tile(np.float32([0, 0.6, 0.8]), (8, 8, 1))
    shown = dict.fromkeys(("normal_F", "normal_B", "T_normal_F", "T_normal_B"), up * alpha)
    made = picture_arrays(shown | {"render": (image / 127.5 - 1) * alpha})
    assert (made["mask"] == (alpha[..., 0] > 0)).all() and (made["image"] == image)[made["mask"]].all()
    assert made["normal_f"][made["mask"]][0] == pytest.approx([0, -0.6, -0.8])


def test_views_are_repeated_by_links(shards: Path, tmp_path: Path) -> None:
    place = race.Place(Case("normals", "tiny"), shards, tmp_path, SMALL)
    times = place.catalog.splits[split_of(place.catalog)]["views"] // 4
    with place.stream() as stream:
        keys = [key for batch in stream for key in batch["key"]]
        assert len(keys) == 4 * times > place.batch * (stream.prefetch + 2 + SMALL.steps)
    assert sorted(keys) == sorted(times * view_keys(shards, place.config.data.split))
    assert Catalog.read(repeated(shards, tmp_path / "once", 1)).splits == Catalog.read(shards).splits


def test_times_and_rows() -> None:
    limit, shards = Times([1.0, 1.0], [0.0, 0.0], 2.0), Times([1.0, 1.2], [0.0, 0.2], 2.2)
    made = row("shards", shards, limit, "2", "2 threads", True)
    assert made["steps/s"] == pytest.approx(2 / 2.2) and made["of the limit"] == pytest.approx(2 / 2.2)
    assert made["wait %"] == pytest.approx(100 * 0.2 / 2.2) and made["mean ms"] == pytest.approx(1100)
    assert made["wait met"] == "no" and "limit met" not in made
    good = row("shards", limit, limit, "2", "2 threads", True)
    assert good["wait met"] == "yes"
    assert row("fly", shards, limit, "2", "", False)["wait met"] == ""


def test_the_loop_counts_what_comes_after_the_warm_up() -> None:
    done: list[Any] = []
    model: Any = SimpleNamespace(step=done.append, moved=lambda batch: batch, wait=lambda: None)
    times = Times()
    measure(model, cycle([{"a": 1}, {"a": 2}, {"a": 3}]), 2, 3, times)
    assert [batch["a"] for batch in done] == [1, 2, 3, 1, 2]
    assert len(times.seconds) == len(times.waits) == 3 and sum(times.waits) <= sum(times.seconds) <= times.whole


def test_a_resident_batch_has_as_many_records_as_asked() -> None:
    batch = resident({"key": ["a", "b"], "x": torch.tensor([1, 2])}, 5)
    assert batch["key"] == ["a", "b", "a", "b", "a"] and batch["x"].tolist() == [1, 2, 1, 2, 1]


def test_the_largest_batch_is_found_by_doubling(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def step(batch: dict[str, Any]) -> None:
        tried.append(len(batch["key"]))
        if len(batch["key"]) > 16:
            raise torch.cuda.OutOfMemoryError("full")

    optimizer = SimpleNamespace(zero_grad=lambda set_to_none: None)
    model = SimpleNamespace(step=step, wait=lambda: None, optimizer=optimizer)
    place: Any = SimpleNamespace(model=lambda: model, one=lambda: {"key": ["a"]})
    assert gpu.largest_batch(place) == 16 and max(tried) == 32
    monkeypatch.setattr(gpu, "MOST", 8)
    assert gpu.largest_batch(place) == 8


def test_lines_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    made = gpu.line(
        Case("normals", "icon", 4, "cuda:0", "bf16"), Times([1.0], [0.0], 1.0), Times([1.01], [0.0], 1.01), 2
    )
    assert made["of the limit"] == pytest.approx(1 / 1.01) and made["met"] == "yes"
    monkeypatch.setattr(gpu.shutil, "which", lambda *_, **__: None)
    assert gpu.Utilisation().percent("shards") == gpu.UNKNOWN


@EMBREE
def test_tables_of_one_run(raw: Path, shards: Path) -> None:
    found = bench.tables(shards, raw, SMALL, [Case("normals", "tiny")])
    lines, notes = found["normals tiny, batch 2, fp32, cpu"], found["notes"]
    assert [line["batches"] for line in lines] == [race.LIMIT, race.SHARDS, race.PRODUCT, f"{race.FLY}, num_workers 0"]
    assert lines[0]["of the limit"] == 1 and all(0 <= line["wait %"] <= 100 for line in lines)
    assert [line["wait bar"] for line in lines] == ["", "<= 2 %", "<= 2 %", ""]
    assert any(bench.WITHOUT in note["note"] for note in notes) or torch.cuda.is_available()
    text = io.StringIO()
    print_rows("title", lines, Console(file=text, width=250))
    assert race.SHARDS in text.getvalue()


def test_cases_are_named_by_engine_and_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bench._cases(bench.CASES)[0] == Case("implicit", "icon-tiny") and bench._cases("") == []
    with pytest.raises(UsageError, match="ENGINE/PRESET"):
        bench._cases("icon")
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"embreex.*pip install -e '\.\[bench\]'"):
        bench.tables(cases=[Case("implicit", "icon-tiny")])
