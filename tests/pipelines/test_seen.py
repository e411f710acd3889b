"""A run with nothing to do opens none of the groups' files, and notices every change all the same."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from tessera.datasets import Catalog, index
from tessera.pipelines import notes, seen
from tessera.pipelines.notes import GroupNote, UnitNote
from tessera.pipelines.rawfiles import FileNote
from tessera.pipelines.rejects import read_rejects

from .conftest import Toy

SMALL = {"shard_mb": 1, "max_reject": 1.0}  # with TOY_BYTES: five groups of train, one of val


@pytest.fixture
def built(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.unit("u07", "x truncated xx")
    toy.run(**SMALL)
    return toy


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened of groups: notes that are read, and indexes."""
    found: list[str] = []
    for real in (notes.read_note, index.read_facts):
        for name, module in list(sys.modules.items()):
            if name.startswith("tessera.") and getattr(module, real.__name__, None) is real:
                noted = lambda path, real=real: (found.append(path.name), real(path))[1]  # noqa: E731
                monkeypatch.setattr(module, real.__name__, noted)
    return found


def test_nothing_of_any_group_is_opened(built: Toy, opened: list[str]) -> None:
    summary = built.run(**SMALL)
    assert opened == [] and summary.built_groups == 0
    assert (summary.records, len(summary.rejects), summary.lost_units, summary.complete) == (44, 1, 1, True)
    assert summary.bytes == sum(path.stat().st_size for path in built.out.rglob("*.tar"))


def test_a_changed_raw_file_opens_its_group_only_until_shards_are_listed(built: Toy, opened: list[str]) -> None:
    (shard,) = (s for s in Catalog.read(built.out).shards if "u08" in s.units)
    os.utime(built.raw / "u08.txt")
    assert built.run(**SMALL).built_groups == 0
    group = f"{shard.split}-{shard.group:06d}.json"
    assert set(opened) == {group}
    opened.clear()
    built.run(**SMALL)
    assert opened == [], "what was touched is known from then on"


def test_damage_costs_time_only(built: Toy, opened: list[str]) -> None:
    """The hash in its first line tells of every wrong byte."""
    before, path = built.hashes(), built.out / seen.SEEN
    good = path.read_bytes()
    for place in range(0, len(good), 7):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        assert not seen.Seen(built.out).groups
    for damaged in (b"", b"\n", good[:64], good[:-1], good.partition(b"\n")[2]):
        path.write_bytes(damaged)
        opened.clear()
        assert built.run(**SMALL).built_groups == 0 and built.hashes() == before
        assert opened and path.read_bytes() == good


def test_edited_catalog_and_rejects_are_mended(built: Toy) -> None:
    before = built.hashes()
    catalog = built.out / "dataset.json"
    catalog.write_text(catalog.read_text().replace('"records": 4', '"records": 5', 1))
    assert built.run(**SMALL).built_groups == 0 and built.hashes() == before
    for damage in (b"", b"PAR1 no more"):
        (built.out / "rejects.parquet").write_bytes(damage)
        assert len(built.run(**SMALL).rejects) == 1 and built.hashes() == before
    shutil.copy(built.out / "rejects.parquet", built.root / "kept")
    built.unit("u07", "x xx xxx")
    built.run(**SMALL)
    shutil.copy(built.root / "kept", built.out / "rejects.parquet")
    assert built.run(**SMALL).rejects == [] == read_rejects(built.out)


def test_a_copied_data_set_is_read_once_and_stays_as_it_is(built: Toy, opened: list[str]) -> None:
    place = built.root / "moved"
    shutil.copytree(built.out, place, copy_function=shutil.copy)  # without the times
    states = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.suffix in (".tar", ".parquet")}
    assert built.run(place, **SMALL).built_groups == 0 and opened
    opened.clear()
    assert built.run(place, **SMALL).built_groups == 0 and opened == []
    assert {path: path.stat().st_mtime_ns for path in states} == states


def test_a_file_that_two_units_saw_in_different_states_is_looked_at_again(tmp_path: Path) -> None:
    units = {name: UnitNote("spec", {"shared": FileNote(3, time, "sha")}, False) for name, time in (("a", 1), ("b", 2))}
    assert seen._group([0, 0], GroupNote(units, {})) is None
    same = {name: UnitNote("spec", {"shared": FileNote(3, 1, "sha")}, False) for name in "ab"}
    assert seen._group([0, 0], GroupNote(same, {})) == ([0, 0], {"a": "spec", "b": "spec"}, {"shared": [3, 1]}, {})
