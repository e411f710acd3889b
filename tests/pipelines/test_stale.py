"""What a second run builds: exactly the groups that a change makes stale, and with the bytes of a run from nothing."""

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tessera.datasets import Catalog, SchemaError
from tessera.pipelines import notes, previous
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.recipe import Plan, Unit
from tessera.pipelines.run import Summary

from .conftest import Toy

SMALL = {"shard_mb": 1}  # with TOY_BYTES: five groups of train, one of val; u03 and u11 are alone in theirs


@pytest.fixture
def built(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Twelve units of four records in six groups, built once."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.run(**SMALL)
    assert Catalog.read(toy.out).groups == {"train": 5, "val": 1}
    return toy


def groups_of(toy: Toy, *units: str) -> set[str]:
    """Names of the groups that hold these units' records, as the catalog has them."""
    shards = Catalog.read(toy.out).shards
    return {f"{shard.split}-{shard.group:06d}" for shard in shards if set(units) & set(shard.units)}


def run_again(toy: Toy, **settings: object) -> tuple[Summary, set[str]]:
    """Another run, which must end with the bytes of a run from nothing; its summary and the groups it built."""
    before = len(toy.events("group"))
    summary = toy.run(**SMALL, **settings)
    names = [event["group"] for event in toy.events("group")[before:]]
    assert len(names) == len(set(names)) == summary.built_groups
    again = {k: v for k, v in settings.items() if k not in ("rehash", "retry_failed")}
    assert toy.hashes() == toy.fresh(**SMALL, **again)
    assert summary.complete
    return summary, set(names)


def test_second_run_does_nothing_and_touches_no_file(built: Toy) -> None:
    def states() -> dict[Path, tuple[int, int]]:
        paths = [path for path in built.out.rglob("*") if path.is_file() and "runs" not in path.parts]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}

    before = states()
    summary, groups = run_again(built)
    assert groups == set() and summary.built_records == 0 and summary.records == 48
    assert states() == before


def test_changed_raw_file_builds_its_unit_and_copies_the_rest_of_its_group(built: Toy) -> None:
    group = groups_of(built, "u08")
    built.unit("u08", "x xx xxx xxxxxxxxx")
    (shard,) = (s for s in Catalog.read(built.out).shards if "u08" in s.units)
    assert len(shard.units) > 1, "the test needs a unit to copy"
    summary, groups = run_again(built)
    assert groups == group
    assert (summary.built_records, summary.reused_records) == (shard.records, shard.records - 4)


def test_a_unit_with_more_records(built: Toy) -> None:
    group = groups_of(built, "u05")
    built.unit("u05", "x xx xxx xxxx xxxxx xxxxxx")
    assert run_again(built)[1] == group


def test_a_unit_that_moves_to_the_front_of_its_group_leaves_copied_records_whole(built: Toy) -> None:
    built.unit("u00a", "a bb")
    built.unit("u00b", "a bb")
    assert built.run(**SMALL).reused_records > 0
    assert {s.records for s in Catalog.read(built.out).shards} != {4}
    assert built.hashes() == built.fresh(**SMALL)


def test_a_file_that_was_absent_and_turns_up(built: Toy) -> None:
    (built.raw / "u04.plus").write_text("2.5")
    assert run_again(built)[1] == groups_of(built, "u04")
    (built.raw / "u04.plus").unlink()
    assert run_again(built)[1] == groups_of(built, "u04")


def test_changed_option_builds_everything(built: Toy) -> None:
    everything = groups_of(built, *(f"u{u:02d}" for u in range(12)))
    summary, groups = run_again(built, scale=2.0)
    assert groups == everything and summary.reused_records == 0


def test_raised_label_version_builds_everything(built: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    everything, old = groups_of(built, *(f"u{u:02d}" for u in range(12))), built.hashes()
    monkeypatch.setenv("TOY_SQUARE", "2")
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")
    summary, groups = run_again(built)
    assert groups == everything and summary.reused_records == 0
    assert Catalog.read(built.out).labels == {"vector": 1, "square": 2}
    assert all(old[name] != digest for name, digest in built.hashes().items() if name.endswith(".tar"))
    monkeypatch.delitem(sys.modules, "tessera_recipe_toy")


def test_added_and_removed_units(built: Toy) -> None:
    built.unit("u12", "one more unit here")
    added, groups = run_again(built)
    assert groups == groups_of(built, "u12") and added.records == 52
    (built.raw / "u12.txt").unlink()
    removed, again = run_again(built)
    assert again == groups and removed.records == 48


def test_a_group_whose_last_unit_is_removed_goes_whole(built: Toy) -> None:
    lone = next(s for s in Catalog.read(built.out).shards if len(s.units) == 1 and s.split == "train")
    (built.raw / f"{lone.units[0]}.txt").unlink()
    summary, groups = run_again(built)
    assert groups == set() and summary.built_groups == 0 and summary.records == 44
    assert not (built.out / lone.index).exists() and not (built.out / str(lone.tar)).exists()


def test_an_uncommitted_tar_of_a_group_that_is_no_longer_planned_goes_too(built: Toy) -> None:
    lone = next(s for s in Catalog.read(built.out).shards if len(s.units) == 1 and s.split == "train")
    (built.raw / f"{lone.units[0]}.txt").unlink()
    (built.out / lone.index).unlink()
    run_again(built)


def test_a_split_that_turns_up_later(toy: Toy) -> None:
    toy.unit("u01", "a b")
    toy.run()
    toy.unit("u10", "c d")
    assert toy.run().built_groups == 1
    assert Catalog.read(toy.out).groups == {"train": 1, "val": 1}
    assert toy.hashes() == toy.fresh()


def test_touched_files_build_nothing(built: Toy) -> None:
    for path in built.raw.iterdir():
        os.utime(path)
    assert run_again(built)[1] == set()
    assert run_again(built, rehash=True)[1] == set()


def test_rehash_finds_a_change_that_size_and_time_hide(built: Toy) -> None:
    path = built.raw / "u07.txt"
    state, text = path.stat(), path.read_text()
    path.write_text(" ".join(reversed(text.split())))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    before = built.hashes()
    assert built.run(**SMALL).built_groups == 0 and built.hashes() == before
    assert run_again(built, rehash=True)[1] == groups_of(built, "u07")


def test_another_size_is_seen_whatever_the_time(built: Toy) -> None:
    path = built.raw / "u07.txt"
    state = path.stat()
    path.write_text("y " + path.read_text()[1:])
    path.write_text(path.read_text() + " ")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run_again(built)[1] == groups_of(built, "u07")


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_lost_or_cut_shards_are_built_again(built: Toy, suffix: str, damage: str) -> None:
    group = groups_of(built, "u02")
    name = next(s.index for s in Catalog.read(built.out).shards if "u02" in s.units)
    path = (built.out / name).with_suffix(suffix)
    if damage == "lost":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2)
    assert run_again(built)[1] == group


def test_damaged_tar_is_not_copied_from(built: Toy) -> None:
    """The group is stale for another reason; records of its other units must come from the raw data, not the tar."""
    shard = next(s for s in Catalog.read(built.out).shards if "u08" in s.units)
    with (built.out / str(shard.tar)).open("r+b") as stream:
        stream.seek(600)
        stream.write(b"damage")
    built.unit("u08", "x xx xxx xxxxxxxxx")
    assert run_again(built)[0].reused_records == 0


def test_without_notes_everything_is_built_again(built: Toy) -> None:
    shutil.rmtree(built.out / "runs")
    assert len(run_again(built)[1]) == 6


def test_damaged_note_costs_its_group_only(built: Toy) -> None:
    group = groups_of(built, "u02")
    (built.out / "runs" / "notes" / f"{min(group)}.json").write_text("{")
    assert run_again(built)[1] == group


def test_lost_rejects_and_catalog_come_back(built: Toy) -> None:
    (built.out / "dataset.json").unlink()
    assert run_again(built)[1] == set()
    (built.out / "rejects.parquet").unlink()
    assert run_again(built)[1] == set()


def test_mended_unit_is_built_by_an_ordinary_run(built: Toy) -> None:
    built.unit("u06", "x truncated xx xxx")
    assert built.run(**SMALL, max_reject=1.0).rejects[0].unit == "u06"
    group = groups_of(built, "u06") | {e["group"] for e in built.events("group") if "u06" in e["units"]}
    built.unit("u06", "x xxxx xx xxx")
    summary, groups = run_again(built)
    assert groups == group and summary.rejects == []


def test_a_file_that_could_not_be_read_is_noted_all_the_same(built: Toy) -> None:
    (built.raw / "u06.plus").mkdir()
    (reject,) = built.run(**SMALL, max_reject=1.0).rejects
    assert (reject.unit, reject.error) == ("u06", "u06.plus: cannot be read (it is no regular file)")
    assert built.run(**SMALL, max_reject=1.0).built_groups == 0
    (built.raw / "u06.plus").rmdir()
    (built.raw / "u06.plus").write_text("1")
    assert run_again(built)[0].rejects == []


def test_a_change_that_was_built_and_taken_back_before_it_was_noted(built: Toy) -> None:
    """The run dies between commit and note: raw files and note agree again, but the shard is that of the change."""
    path = built.raw / "u08.txt"
    text, state = path.read_text(), path.stat()
    path.write_text("x xx xxx xxxxxxxxx")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tessera.pipelines.group.write_note", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            built.run(**SMALL)
    path.write_text(text)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert run_again(built)[1] == groups_of(built, "u08")


def test_a_run_that_was_given_up_between_catalog_and_removal_ends_well(built: Toy) -> None:
    """Units are gone; the run dies at the first file that it removes. The next one must not say `nothing to do`."""
    lone = next(s for s in Catalog.read(built.out).shards if len(s.units) == 1 and s.split == "train")
    (built.raw / f"{lone.units[0]}.txt").unlink()
    unlink = Path.unlink

    def once(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        if path.name.startswith("numbers-"):
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", once)
        with pytest.raises(KeyboardInterrupt):
            built.run(**SMALL)
    run_again(built)


def test_other_labels_are_another_recipe_of_the_same_name_and_refused(built: Toy) -> None:
    recipe = load_recipe("toy")
    table = recipe.tables["numbers"]
    fewer = replace(recipe, tables={"numbers": replace(table, labels=table.labels[:1])})
    before = built.hashes()
    with pytest.raises(Exception, match="another schema in table numbers"):
        built.run(recipe=fewer, **SMALL)
    assert built.hashes() == before


def test_a_tar_damaged_without_changing_its_size_is_built_again(built: Toy) -> None:
    """Found by review: `tessera verify` called it damaged and the next run said that there was nothing to do."""
    shard = Catalog.read(built.out).shards[0]
    path = built.out / str(shard.tar)
    data = bytearray(path.read_bytes())
    data[700:750] = bytes(50)
    path.write_bytes(data)
    _, groups = run_again(built)
    assert groups == {f"{shard.split}-{shard.group:06d}"}


def test_what_was_only_touched_or_copied_is_read_once_and_then_trusted(
    built: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = notes.RawFiles.read
    monkeypatch.setattr(notes.RawFiles, "read", lambda self, path: (read.append(path), real(self, path))[1])
    os.utime(built.raw / "u05.txt")
    moved = built.out / str(Catalog.read(built.out).shards[0].tar)
    os.utime(moved)
    for expected in (["u05.txt"], []):
        read.clear()
        summary = built.run(**SMALL)
        assert summary.built_groups == 0 and read == expected


def test_plan_of_a_finished_data_set_says_that_nothing_is_to_do(built: Toy) -> None:
    assert "nothing is to do" in built.call("--shard-mb", "1", "--plan", TOY_BYTES="118000").stdout
    built.unit("u08", "x xx xxx xxxxxxxxx")
    done = built.call("--shard-mb", "1", "--plan", TOY_BYTES="118000")
    assert "4 records in 1 groups are to do" in done.stdout, done.stderr


def test_many_kept_units_are_copied_in_time_linear_in_their_number(toy: Toy) -> None:
    """Found by review: every unit read the whole index again. Index reads are counted, not seconds."""
    toy.fill(40, 2)
    toy.run()
    toy.unit("u08", "x xx xxx")
    reads: list[Path] = []
    real = previous.read_rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(previous, "read_rows", lambda path: (reads.append(path), real(path))[1])
        summary = toy.run()
    assert summary.reused_records > 20 and len(reads) == summary.built_groups


def test_names_that_could_leave_out_are_refused_before_anything_is_written(toy: Toy) -> None:
    toy.fill(1)
    recipe = load_recipe("toy")
    for name, split in (("u", "../evil"), ("a/b", "train"), ("a.b", "train")):
        plan = Plan((Unit(name, split, {name: 0}),))
        with pytest.raises(SchemaError):
            toy.run(recipe=replace(recipe, plan=lambda raw, options, plan=plan: plan))
    assert not toy.out.exists() and not (toy.root / "evil").exists()


def test_retry_failed_does_only_what_was_rejected(built: Toy) -> None:
    built.unit("u08", "x raise xxx xxxx")
    built.run(**SMALL)
    built.unit("u08", "x xx xxx xxxx")
    built.unit("u03", "changed meanwhile, other group")
    before = len(built.events("group"))
    summary = built.run(**SMALL, retry_failed=True)
    assert {event["group"] for event in built.events("group")[before:]} == groups_of(built, "u08")
    assert not summary.complete and summary.status == 1
    run_again(built)
