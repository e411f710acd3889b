"""Faults in this process cost their unit or record only; `--strict`, `--retry-failed`, `--max-reject`.

What kills a process is in test_ray.py.
"""

import dataclasses
import errno
import sys
from pathlib import Path

import pytest
from tessera.cli import run
from tessera.datasets import Dataset, ShardWriter, TesseraError, verify
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import read_rejects

from .conftest import Toy

FAULTS = {
    "raise": Reject("bad", "", "bad.txt", "read", "ValueError: the toy was told to raise"),
    "truncated": Reject("bad", "", "bad.txt", "read", "bad.txt: truncated"),
    "badline": Reject("bad", "bad-001", "bad.txt", "read", "bad line"),
    "nan": Reject("bad", "bad-001", "bad.txt", "encode", "field 'vector': 8 of 8 values are NaN or infinite"),
    "address": Reject("bad", "", "bad.txt", "read", "ValueError: cannot use <object object at 0x...>"),
}


@pytest.mark.parametrize("word", FAULTS)
def test_a_fault_costs_its_unit_or_record_only(toy: Toy, word: str) -> None:
    toy.fill(4)
    toy.unit("bad", f"x {word} xxx")
    summary = toy.run(max_reject=1.0)
    assert summary.rejects == read_rejects(toy.out) == [FAULTS[word]]
    kept = {"bad-000", "bad-002"} if FAULTS[word].key else set()
    keys = set(Dataset(toy.out).table("numbers").keys())
    assert keys == {f"u{u:02d}-{i:03d}" for u in range(4) for i in range(4)} | kept
    assert summary.records == len(keys) and summary.complete and summary.status == 0
    assert not [problem for _, found in verify(toy.out) for problem in found]
    assert str(toy.root).encode() not in b"".join(p.read_bytes() for p in toy.out.glob("*/*.parquet"))
    again = toy.run(max_reject=1.0)
    assert again.built_groups == 0 and again.rejects == [FAULTS[word]]
    assert toy.hashes() == toy.fresh(max_reject=1.0)


def test_a_failed_unit_is_rejected_once_whatever_failed_in_it_before(toy: Toy) -> None:
    toy.fill(4)
    toy.unit("bad", "x badline nan truncated")
    assert toy.run(max_reject=1.0).rejects == [FAULTS["truncated"]]


def test_mended_faults_leave_no_trace(toy: Toy) -> None:
    for number, word in enumerate(FAULTS):
        toy.unit(f"bad{number + 1}", f"x {word} xxx")
    toy.run(max_reject=1.0)
    assert len(read_rejects(toy.out)) == len(FAULTS)
    for number in range(len(FAULTS)):
        toy.unit(f"bad{number + 1}", "x yy zzz")
    toy.run()
    assert read_rejects(toy.out) == []
    assert toy.hashes() == toy.fresh()


def test_retry_failed_does_what_failed_and_only_that(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOY_MARKER", str(tmp_path / "open"))
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.unit("u08", "x shut xx xxx")  # shares its group with u05 and u07
    settings = {"shard_mb": 1, "max_reject": 1.0}
    assert toy.run(**settings).rejects[0].unit == "u08"
    assert toy.run(**settings).built_groups == 0
    still = toy.run(retry_failed=True, **settings)
    assert (still.built_groups, still.built_records, still.reused_records) == (1, 8, 8) and len(still.rejects) == 1
    (tmp_path / "open").touch()
    assert toy.run(**settings).built_groups == 0
    mended = toy.run(retry_failed=True, **settings)
    assert (mended.built_groups, mended.built_records, mended.reused_records) == (1, 12, 8)
    assert mended.rejects == [] == read_rejects(toy.out)
    assert toy.hashes() == toy.fresh(**settings)
    assert toy.run(retry_failed=True, **settings).built_groups == 0


@pytest.mark.parametrize("word", [*FAULTS, "hang"])
def test_strict_stops_with_one_line_and_nothing_half_written(
    toy: Toy, word: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.unit("bad", f"x {word} xxx")
    arguments = toy.command("--workers", "0", "--strict", "--shard-mb", "1", "--unit-timeout", "1")[3:]
    assert run(arguments) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    reason = FAULTS[word].error if word in FAULTS else "took longer than --unit-timeout 1"
    assert line.startswith("tessera shards: bad") and reason in line and str(toy.root) not in line
    assert not list(toy.out.rglob("*.tmp"))
    tars = {path.with_suffix("") for path in toy.out.glob("*/*.tar")}
    assert tars == {path.with_suffix("") for path in toy.out.glob("*/*.parquet")}
    toy.unit("bad", "x yy zzz")
    assert toy.run(shard_mb=1, strict=True).complete
    assert toy.hashes() == toy.fresh(shard_mb=1)


def test_strict_lets_pass_what_the_plan_left_out(toy: Toy) -> None:
    toy.fill(2)
    recipe = load_recipe("toy")
    absent = Reject("u01", "u01-009", "u01.txt", "plan", "not published")

    def plan(raw: Path, options: object) -> object:
        found = recipe.plan(raw, options)
        units = [dataclasses.replace(u, rejects=(absent,)) if u.name == "u01" else u for u in found.units]
        return dataclasses.replace(found, units=tuple(units))

    summary = toy.run(recipe=dataclasses.replace(recipe, plan=plan), strict=True, max_reject=0.0)
    assert (summary.status, summary.records, summary.rejects) == (0, 8, [absent])


@pytest.mark.parametrize(("bad", "share", "status"), [(1, 0.05, 1), (1, 0.1, 0), (2, 0.1, 1), (0, 0.0, 0), (1, 0.0, 1)])
def test_more_rejected_units_than_allowed_is_a_failure(toy: Toy, bad: int, share: float, status: int) -> None:
    toy.fill(10)
    for number in range(bad):
        toy.unit(f"u{number:02d}", "x raise")
    summary = toy.run(max_reject=share)
    assert (summary.status, summary.complete) == (status, True)
    assert toy.run(max_reject=share).status == status


def test_a_unit_that_lost_every_record_counts_as_rejected(toy: Toy) -> None:
    toy.fill(9)
    toy.unit("u09", "nan badline nan")
    assert toy.run().status == 1
    toy.unit("u09", "nan badline xx")
    assert toy.run().status == 0


def test_when_every_unit_fails_there_is_a_report_and_no_record(toy: Toy) -> None:
    toy.unit("u00", "raise")
    toy.unit("u01", "truncated")
    summary = toy.run()
    assert (summary.status, summary.records, len(summary.rejects), summary.complete) == (1, 0, 2, True)
    assert toy.run().built_groups == 0
    toy.unit("u01", "x")
    assert toy.run().records == 1
    assert toy.hashes() == toy.fresh()


@pytest.mark.parametrize("word", ["truncated", "nan"])
def test_failed_units_and_records_leave_the_bytes_of_the_others_alone(toy: Toy, word: str) -> None:
    """A failed unit between two good ones: the tar is as if it had never been there."""
    toy.unit("u01", "a bb")
    toy.unit("u02", f"x xx {word}" if word == "truncated" else word)
    toy.unit("u03", "ccc dddd")
    toy.run(max_reject=1.0)
    tar = (toy.out / "train/numbers-000000.tar").read_bytes()
    (toy.raw / "u02.txt").unlink()
    toy.run(toy.root / "other")
    assert (toy.root / "other/train/numbers-000000.tar").read_bytes() == tar


def test_a_hiccup_of_the_disk_is_tried_again_and_counted(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(3)
    calls = []

    def read(self: object, path: str) -> bytes:
        calls.append(path)
        if calls.count("u01.txt") == 1 and path == "u01.txt":
            raise OSError(errno.EIO, "Input/output error")
        return original(self, path)  # type: ignore[arg-type]

    original = RawFiles.read
    with monkeypatch.context() as patch:
        patch.setattr(RawFiles, "read", read)
        summary = toy.run()
    assert (summary.retries, summary.rejects, summary.records) == (1, [], 12)
    assert toy.hashes() == toy.fresh()


def test_a_disk_error_that_stays_costs_the_unit(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(3)
    original = RawFiles.read

    def read(self: object, path: str) -> bytes:
        if path == "u01.txt":
            raise OSError(errno.EIO, "Input/output error")
        return original(self, path)  # type: ignore[arg-type]

    monkeypatch.setattr(RawFiles, "read", read)
    summary = toy.run(max_reject=1.0)
    assert summary.rejects == [Reject("u01", "", "u01", "read", "OSError: [Errno 5] Input/output error")]


def test_a_full_disk_is_no_fault_of_the_unit(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(3)
    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "append", lambda *a: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(TesseraError, match=r"--out .*No space left; the same command"):
            toy.run()
    assert read_rejects(toy.out) == [] and not list(toy.out.rglob("*.tar"))
    assert toy.run().records == 12 and toy.hashes() == toy.fresh()


def test_a_file_that_vanished_after_the_plan_costs_its_unit(toy: Toy) -> None:
    toy.fill(3)
    recipe = load_recipe("toy")

    def plan(raw: Path, options: object) -> object:
        found = recipe.plan(raw, options)
        (toy.raw / "u01.txt").unlink(missing_ok=True)
        return found

    summary = toy.run(recipe=dataclasses.replace(recipe, plan=plan), max_reject=1.0)
    assert summary.rejects == [Reject("u01", "", "u01.txt", "read", "FileNotFoundError: u01.txt")]


@pytest.mark.parametrize("trick", ["unplanned", "twice", "forgotten"])
def test_a_reader_that_does_not_keep_to_the_plan_is_found_out(toy: Toy, trick: str) -> None:
    toy.fill(2)
    recipe = load_recipe("toy")

    def read(unit: object, files: object, options: object) -> object:
        samples = list(recipe.read(unit, files, options))  # type: ignore[arg-type]
        if unit.name == "u01":  # type: ignore[attr-defined]
            if trick == "forgotten":
                del samples[1]
            else:
                key = "u01-999" if trick == "unplanned" else "u01-000"
                samples[1] = dataclasses.replace(samples[1], key=key)
        return iter(samples)

    tricked = dataclasses.replace(recipe, read=read)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tessera.pipelines.group.load_recipe", lambda name: tricked)
        summary = toy.run(max_reject=1.0)
    (reject,) = summary.rejects
    assert (reject.unit, reject.key) == ("u01", "") and summary.records == 4
    said = {
        "unplanned": "u01-999",
        "twice": "came twice",
        "forgotten": "gave nothing for 1 planned records, first u01-001",
    }
    assert said[trick] in reject.error
