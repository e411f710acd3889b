"""`--plan`: what a run would do, before it is done."""

import random
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tessera.datasets import Dataset, TesseraError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.estimate import Estimate, estimate, print_plan, sample_units
from tessera.pipelines.recipe import Plan, Unit
from tessera.pipelines.settings import RunSettings

from .conftest import Toy


def plan(toy: Toy, points: int = 8, **settings: object) -> Estimate:
    recipe = load_recipe(toy.name)
    options = recipe.options(points=points) if toy.name == "toy" else recipe.options()
    return estimate(recipe, options, toy.raw, RunSettings(out=toy.out, **settings))[1]


def test_plan_agrees_with_the_run_and_writes_nothing(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "16000")
    toy.fill(25, records=16)
    figures = plan(toy, points=3000, shard_mb=1)
    assert not toy.out.exists()
    assert figures.records == {"train": 22 * 16, "val": 3 * 16}
    assert 20 <= figures.sampled <= 40 and figures.seconds > 0

    summary = toy.run(points=3000, shard_mb=1)
    shards = Dataset(toy.out).catalog.shards
    assert figures.groups == {x: len({s.group for s in shards if s.split == x}) for x in ("train", "val")}
    assert figures.total_bytes == pytest.approx(summary.bytes, rel=0.1)
    stored: dict[str, int] = {}
    for record in Dataset(toy.out).table("numbers"):
        for name, size in record.stored_bytes().items():
            stored[name] = stored.get(name, 0) + size
    assert stored["vector"] == 25 * 16 * 3000 * 4
    assert figures.bytes == {"numbers": pytest.approx(stored, rel=0.1)}


def test_plan_counts_what_will_be_left_out(toy: Toy) -> None:
    words = random.Random(0)
    for u in range(1, 9):
        toy.unit(f"u{u:02d}", " ".join(words.choice(["xx", "nan"]) for _ in range(40)))
    figures = plan(toy, points=2000)
    assert figures.total_bytes == pytest.approx(toy.run(points=2000, max_reject=1.0).bytes, rel=0.3)


def test_plan_keeps_to_limit_and_only(toy: Toy) -> None:
    toy.fill(6, records=3)
    assert plan(toy, limit=7).records == {"train": 4, "val": 3}
    assert plan(toy, only="u0[12]").records == {"train": 6}


def test_plan_of_two_tables(pairs: Toy) -> None:
    pairs.fill(12, records=20)
    assert plan(pairs).total_bytes == pytest.approx(pairs.run().bytes, rel=0.1)


def test_plan_leaves_an_existing_data_set_alone(toy: Toy) -> None:
    toy.fill(4)
    toy.run()
    before = {path: path.stat().st_mtime_ns for path in toy.out.rglob("*")}
    plan(toy)
    assert {path: path.stat().st_mtime_ns for path in toy.out.rglob("*")} == before
    with pytest.raises(TesseraError, match="another schema"):
        plan(toy, points=9)


def test_plan_that_finds_no_good_record_says_why(toy: Toy) -> None:
    toy.unit("u01", "raise")
    with pytest.raises(TesseraError, match=r"none of 1 sampled units gave a record; first: .*told to raise"):
        plan(toy)
    toy.unit("u01", "")
    with pytest.raises(TesseraError, match="no record is planned"):
        plan(toy)
    toy.unit("u01", "hang")
    with pytest.raises(TesseraError, match=r"took longer than --unit-timeout 0\.3"):
        plan(toy, unit_timeout=0.3)


def test_printed_plan(toy: Toy, tmp_path: Path) -> None:
    toy.fill(11, records=3)
    recipe = load_recipe("toy")
    console = Console(file=StringIO(), width=120)
    print_plan(recipe, recipe.options(points=1000), toy.raw, RunSettings(out=toy.out), console)
    said = console.file.getvalue()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    assert ["train", "9", "27", "1"] in rows and ["val", "2", "6", "1"] in rows
    assert ["numbers", "vector", "0.1", "4.0"] in rows
    assert "total: 33 records, 0.2 MB" in said and "core-hours" in said


def test_sample_is_spread_over_units_and_records() -> None:
    def unit(u: int) -> Unit:
        return Unit(f"u{u:03d}", "train", {f"u{u:03d}-{i:03d}": i for i in range(100)})

    sampled = list(sample_units(Plan(tuple(unit(u) for u in range(120)))))
    assert [u.name for u in sampled] == [f"u{u:03d}" for u in range(5, 120, 10)]
    assert [list(u.records.values()) for u in sampled] == [[25, 75]] * 12
    (only,) = sample_units(Plan((unit(0),)))
    assert len(only.records) == 24
    assert list(sample_units(Plan(()))) == []
