"""What a run refuses before it writes anything, and how it says so."""

import dataclasses
from pathlib import Path

import pytest
from tessera.datasets import Catalog, RawDataError, TesseraError, UsageError
from tessera.pipelines import disk
from tessera.pipelines.discover import load_recipe

from .conftest import Toy, file_hashes


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({}, {"with_": "cube"}, r"another schema in table numbers \(cube differ\)"),
        ({}, {"without": "square"}, r"another schema in table numbers \(square differ\)"),
        ({}, {"points": 9}, r"another schema in table numbers \(--points \d+ -> 9\)"),
        ({}, {"limit": 3}, r"another selection \(limit None -> 3\)"),
        ({"limit": 3}, {"limit": 4}, r"another selection \(limit 3 -> 4\)"),
        ({}, {"only": "u0*"}, r"another selection \(only None -> 'u0\*'\)"),
        ({}, {"seed": 1}, r"made with --seed 0"),
        ({"shard_mb": 2}, {"shard_mb": 3}, r"made with shards of 2 MB \(--shard-mb\)"),
    ],
)
def test_what_cannot_be_kept_together_is_refused_and_changes_nothing(
    toy: Toy, first: dict[str, object], second: dict[str, object], why: str
) -> None:
    toy.fill(2)
    toy.run(**first)
    before = file_hashes(toy.root)
    with pytest.raises(TesseraError, match=why + r".*; use another --out, or delete .*/out to build it anew"):
        toy.run(**second)
    assert file_hashes(toy.root) == before
    assert toy.run(**first).built_groups == 0


def test_another_recipe_is_refused(toy: Toy) -> None:
    toy.fill(2)
    toy.run()
    before = file_hashes(toy.root)
    with pytest.raises(TesseraError, match=r"holds a data set of recipe toy, not pairs; use another --out, or delete"):
        toy.run(recipe=load_recipe("pairs"))
    assert file_hashes(toy.root) == before


def test_shard_size_is_kept_where_none_is_asked_for(toy: Toy) -> None:
    toy.fill(2)
    toy.run(shard_mb=2)
    assert toy.run().built_groups == 0
    assert Catalog.read(toy.out).shard_bytes == 2 << 20


def test_raw_that_cannot_be_used_is_refused_before_anything_is_written(toy: Toy) -> None:
    with pytest.raises(RawDataError, match="no such folder; --raw"):
        toy.run()
    toy.raw.mkdir()
    with pytest.raises(RawDataError, match="the plan is empty: no unit in RAW is selected"):
        toy.run()
    toy.unit("u01", "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RawDataError, match=r"raw: cannot be planned \(UnicodeDecodeError"):
        toy.run()
    assert not toy.out.exists()


@pytest.mark.parametrize("place", ["raw", "raw/out", ".", "raw/../raw"])
def test_out_and_raw_may_not_lie_in_each_other(toy: Toy, place: str) -> None:
    toy.fill(1)
    before = file_hashes(toy.root)
    with pytest.raises(UsageError, match="lie in each other; the raw data are never written to"):
        toy.run(toy.root / place)
    assert file_hashes(toy.root) == before


def test_out_through_a_link_into_raw_is_refused(toy: Toy) -> None:
    toy.fill(1)
    toy.out.symlink_to(toy.raw)
    with pytest.raises(UsageError, match="lie in each other"):
        toy.run()


def test_out_that_cannot_be_a_folder(toy: Toy) -> None:
    toy.fill(1)
    toy.out.write_text("a file")
    with pytest.raises(UsageError, match=r"out is a file; name a folder"):
        toy.run()
    with pytest.raises(TesseraError, match=r"--out .*below: NotADirectoryError"):
        toy.run(toy.out / "below")
    with pytest.raises(TesseraError, match=r"--out .*"):
        toy.run(Path("/proc/nothing/here"))
    blocked = toy.root / "blocked"
    blocked.mkdir()
    (blocked / "runs").write_text("a file")
    with pytest.raises(TesseraError, match=r"--out .*blocked: FileExistsError"):
        toy.run(blocked)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"workers": -1}, "--workers must be"),
        ({"unit_timeout": -1.0}, "--unit-timeout must be"),
        ({"unit_timeout": float("nan")}, "--unit-timeout must be"),
        ({"unit_timeout": float("inf")}, "--unit-timeout must be"),
        ({"retries": -1}, "--retries must be"),
        ({"limit": 0}, "--limit: at least one"),
        ({"shard_mb": 0}, "--shard-mb: at least 1"),
        ({"max_reject": 1.5}, "--max-reject is a share"),
        ({"max_reject": float("nan")}, "--max-reject is a share"),
        ({"scale": float("nan")}, "--scale nan: a finite number"),
        ({"without": "nonsense"}, r"no label 'nonsense' in recipe toy \(labels: cube, square, vector\)"),
        ({"with_": "vector nonsense"}, "no label 'nonsense'"),
    ],
)
def test_values_that_make_no_sense(toy: Toy, settings: dict[str, object], why: str) -> None:
    toy.fill(1)
    with pytest.raises(UsageError, match=why):
        toy.run(**settings)
    assert not toy.out.exists()


def test_units_of_one_name_are_refused(toy: Toy) -> None:
    toy.fill(2)
    recipe = load_recipe("toy")

    def twice(raw: Path, options: object) -> object:
        plan = recipe.plan(raw, options)
        return dataclasses.replace(plan, units=plan.units * 2)

    with pytest.raises(RawDataError, match="unit 'u00' appears twice"):
        toy.run(recipe=dataclasses.replace(recipe, plan=twice))


def test_a_disk_without_room_is_found_before_the_start(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(2)
    monkeypatch.setenv("TOY_BYTES", str(10**15))
    monkeypatch.setattr("tessera.pipelines.prepare.LARGE", 10**16)
    with pytest.raises(TesseraError, match=r"about 8000000\.0 GB needed, .* GB free; choose another --out"):
        toy.run()
    assert not list(toy.out.rglob("*.tar"))
    disk.check_room(toy.out, 0)
