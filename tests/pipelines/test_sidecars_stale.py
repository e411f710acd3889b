"""Labels that were added follow the shards they belong to: `tessera shards` brings both up to date."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tessera.datasets import Catalog, TesseraError
from tessera.pipelines.rejects import read_rejects

from .conftest import Toy
from .sidecars import add, agree, anew, clean

SMALL = {"shard_mb": 1}


@pytest.fixture
def built(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Twelve units in six groups (see test_stale), to which the label `cube` was added."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.run(**SMALL)
    add(toy, "cube")
    return toy


def run_again(toy: Toy, **settings: object) -> tuple[set[str], set[str]]:
    """An ordinary run, which must end as if all had been made anew; names of the groups and sidecars it built."""
    before = len(toy.events("group"))
    assert toy.run(**SMALL, **settings).complete
    names = {event["group"] for event in toy.events("group")[before:]}
    again = {name: value for name, value in settings.items() if name not in ("rehash", "retry_failed", "part")}
    assert toy.hashes() == anew(toy, "cube", **SMALL, **again)
    clean(toy.out)
    return {name for name in names if "." not in name}, {name for name in names if "." in name}


def group_of(toy: Toy, unit: str) -> str:
    return next(f"{x.split}-{x.group:06d}" for x in Catalog.read(toy.out).shards if unit in x.units)


def test_the_command_that_made_the_data_set_has_nothing_to_do(built: Toy) -> None:
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in built.out.rglob("*") if p.is_file()}
    assert run_again(built) == (set(), set())
    assert all((p.stat().st_ino, p.stat().st_mtime_ns) == state for p, state in before.items() if "runs" not in p.parts)


def test_a_changed_raw_file_makes_its_group_and_the_labels_added_to_it_stale(built: Toy) -> None:
    built.unit("u08", "x xx xxx xxxxxxxxx xx")
    group = group_of(built, "u08")
    units = next(x.units for x in Catalog.read(built.out).shards if "u08" in x.units)
    assert len(units) > 1, "the test needs a unit to copy"
    before = len(built.events("group"))
    assert run_again(built) == ({group}, {f"{group}.cube"})
    (event,) = (x for x in built.events("group")[before:] if x["group"] == f"{group}.cube")
    assert event["records"] - event["reused"] == 5


def test_a_file_that_only_the_label_misses(built: Toy) -> None:
    """add-label alone does not bring the shards up to date, `tessera shards` does."""
    (built.raw / "u04.plus").write_text("2.5")
    old = {name: digest for name, digest in built.hashes().items() if "cube" not in name}
    group = group_of(built, "u04")
    assert add(built, "cube").sidecar_groups == 1
    now = built.hashes()
    assert {name for name in old if now[name] != old[name]} == {"dataset.json"}
    assert run_again(built) == ({group}, {f"{group}.cube"})


def test_a_raised_version_of_the_label_itself(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the label is built again, by either command."""
    other = built.root / "other"
    shutil.copytree(built.out, other)
    monkeypatch.setenv("TOY_CUBE", "2")
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")
    groups, sidecars = run_again(built)
    assert groups == set() and len(sidecars) == 6
    assert Catalog.read(built.out).sidecars["cube"].version == 2
    assert add(built, "cube", other).sidecar_groups == 6
    agree(built.out, other)
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")


def test_a_raised_version_of_another_label_needs_new_shards_but_no_work(
    built: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sidecars name the shards that they belong to, and these are others now; the label itself is copied."""
    monkeypatch.setenv("TOY_SQUARE", "2")
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")
    before = len(built.events("group"))
    groups, sidecars = run_again(built)
    assert len(groups) == len(sidecars) == 6
    events = [event for event in built.events("group")[before:] if ".cube" in event["group"]]
    assert sum(event["reused"] for event in events) == sum(event["records"] for event in events) == 48
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")


def test_a_changed_option_builds_everything(built: Toy) -> None:
    groups, sidecars = run_again(built, scale=2.0)
    assert len(groups) == len(sidecars) == 6


def test_added_and_removed_units(built: Toy) -> None:
    built.unit("u12", "one more unit here")
    groups, sidecars = run_again(built)
    assert len(groups) == 1 and sidecars == {f"{name}.cube" for name in groups}
    lone = next(x for x in Catalog.read(built.out).shards if len(x.units) == 1 and x.split == "train")
    (built.raw / f"{lone.units[0]}.txt").unlink()
    assert run_again(built) == (set(), set())
    assert not list(built.out.glob(f"{lone.index.removesuffix('.parquet')}*"))


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_lost_or_cut_shards_of_the_label(built: Toy, suffix: str, damage: str) -> None:
    path = built.out / "train" / f"numbers-000001.cube{suffix}"
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-100])
    assert run_again(built) == (set(), {"train-000001.cube"})


def test_lost_catalog_rejects_and_notes(built: Toy) -> None:
    (built.out / "dataset.json").unlink()
    assert run_again(built) == (set(), set())
    (built.out / "rejects.parquet").unlink()
    assert run_again(built) == (set(), set())
    shutil.rmtree(built.out / "runs")
    assert [len(found) for found in run_again(built)] == [6, 6]


def test_rejects_of_both_are_kept_together(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    built.unit("u03", "x badline xx xxx")
    built.run(**SMALL, max_reject=1.0)
    built.unit("u05", "x badline xx xxx")
    add(built, "cube", max_reject=1.0)
    assert [(x.key, x.stage) for x in read_rejects(built.out)] == [("u03-001", "read"), ("u05-001", "cube: read")]
    built.unit("u05", "x xx xxx xxxx")
    run_again(built, max_reject=1.0)
    assert [(x.key, x.stage) for x in read_rejects(built.out)] == [("u03-001", "read")]


def test_retry_failed_takes_the_label_along(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_MARKER", str(built.root / "open"))
    built.unit("u03", "x shut x x")
    built.run(**SMALL, max_reject=1.0)
    (built.root / "open").touch()
    groups, sidecars = run_again(built, retry_failed=True)
    assert len(groups) == 1 and sidecars == {f"{name}.cube" for name in groups}


def test_parts(built: Toy) -> None:
    for unit in ("u01", "u03", "u05", "u08"):
        built.unit(unit, "x xx xxx xxxx xxxxx")
    built.run(part="1/2", **SMALL)
    assert Catalog.read(built.out).sidecars["cube"].state == "building"
    assert built.run(part="0/2", **SMALL).complete
    assert built.hashes() == anew(built, "cube", **SMALL)
    clean(built.out)


def test_killed_at_every_change_of_the_disk_while_both_are_rebuilt(pairs: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "1")
    pairs.unit("u00", "x yy")
    pairs.unit("u01", "word " * 50)
    pairs.unit("u02", "x yy zzz")
    pairs.run(shard_mb=1)
    add(pairs, "more")
    pairs.unit("u02", "x yy zzz more")
    start, wanted = pairs.root / "before", pairs.root / "wanted"
    shutil.copytree(pairs.out, start)
    shutil.copytree(start, wanted)
    pairs.run(wanted, shard_mb=1)
    clean(wanted)
    script = Path(__file__).with_name("kill_points.py")
    places = [pairs.raw, start, wanted, pairs.root / "killed"]
    command = [sys.executable, script, pairs.name, *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert len(done.stdout.splitlines()) == 1, done.stdout[-3000:] + done.stderr
    assert done.returncode == 0 and done.stdout.strip().endswith("points, then 0")
    assert int(done.stdout.split()[0]) > 60


def test_switching_on_what_was_added_is_refused(built: Toy) -> None:
    before = built.hashes()
    with pytest.raises(TesseraError, match="label cube was added to it beside its shards; leave out --with cube"):
        built.run(**SMALL, with_="cube")
    assert built.hashes() == before


def test_a_label_that_the_recipe_no_longer_has_is_refused(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_CUBE", "0")
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")
    with pytest.raises(TesseraError, match="label cube was added to it, which recipe toy no longer has"):
        built.run(**SMALL)
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")
