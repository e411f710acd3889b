"""A run in this process: what it writes, says and refuses."""

import dataclasses
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tessera.datasets import Catalog, Dataset, TesseraError, UsageError, verify
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.settings import RunSettings
from tessera.pipelines.summary import print_summary

from .conftest import Toy, file_hashes


def problems(out: Path) -> list[str]:
    return [f"{name}: {problem}" for name, found in verify(out) for problem in found]


def test_a_run_writes_what_the_reader_gave(toy: Toy) -> None:
    toy.fill(12)
    summary = toy.run(scale=2.0)
    assert (summary.records, summary.built_records, summary.status, summary.complete) == (48, 48, 0, True)
    assert problems(toy.out) == []
    data = Dataset(toy.out)
    assert data.catalog.splits == {"train": {"numbers": 40}, "val": {"numbers": 8}}
    records = data.table("numbers")
    assert len(records) == 48 and set(records.keys()) == {f"u{u:02d}-{i:03d}" for u in range(12) for i in range(4)}
    for u, i in ((0, 0), (7, 3), (11, 2)):
        record = records[f"u{u:02d}-{i:03d}"]
        value = float(len((toy.raw / f"u{u:02d}.txt").read_text().split()[i]) + i)
        assert np.array_equal(record["vector"], np.full(8, 2 * value, np.float32))
        assert record["square"] == value**2
    assert set(file_hashes(toy.out)) >= {"dataset.json", "rejects.parquet", "train/numbers-000000.tar"}
    assert summary.bytes == sum(path.stat().st_size for path in toy.out.glob("*/*.tar"))


def test_two_tables_with_references(pairs: Toy) -> None:
    pairs.fill(5)
    assert pairs.run().records == 25
    assert problems(pairs.out) == []
    assert Catalog.read(pairs.out).splits == {"train": {"files": 4, "words": 16}, "val": {"files": 1, "words": 4}}
    assert pairs.run().built_groups == 0


def test_a_unit_larger_than_a_shard_fills_several(pairs: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "1")
    pairs.unit("u1", "word " * 100)
    pairs.unit("u2", "word " * 3)
    assert pairs.run(shard_mb=1).records == 105
    assert sorted(path.name for path in (pairs.out / "train").glob("words-*.tar")) == [
        "words-000000-1.tar", "words-000000-2.tar", "words-000000.tar"
    ]  # fmt: skip
    assert problems(pairs.out) == []
    pairs.unit("u2", "word " * 4)
    assert pairs.run(shard_mb=1).reused_records == 101
    assert pairs.hashes() == pairs.fresh(shard_mb=1)
    pairs.unit("u1", "word")
    pairs.run(shard_mb=1)
    assert pairs.hashes() == pairs.fresh(shard_mb=1)


def test_summary_says_what_was_done_and_that_nothing_is_left_to_do(toy: Toy) -> None:
    toy.fill(3)
    toy.unit("u03", "x xx badline xxx")

    def said(**settings: object) -> str:
        console = Console(file=StringIO(), width=150)
        print_summary(toy.run(max_reject=0.2, **settings), RunSettings(max_reject=0.2), console)
        return console.file.getvalue()

    first = said()
    assert "built 15 records in 2 of 2 groups" in first and "15 records, 0.0 MB, complete" in first
    assert "bad line" in first and "1 left out" in first
    second = said()
    assert "nothing to do: 15 records are up to date" in second and "1 left out" in second


def test_runs_log_holds_options_stages_and_rejects(toy: Toy) -> None:
    toy.fill(2)
    toy.unit("u03", "x raise")
    toy.run(max_reject=1.0)
    (start,), (options,), (end,) = toy.events("start"), toy.events("options"), toy.events("end")
    assert start["python"] == sys.version.split()[0] and start["machine"]
    assert options["recipe"] == "toy" and options["settings"]["max_reject"] == 1.0
    groups = {event["group"]: event for event in toy.events("group")}
    assert set(groups) == {"train-000000", "val-000000"}
    assert set(groups["train-000000"]["stages"]) >= {"read", "vector", "square", "encode", "commit"}
    assert "the toy was told to raise" in groups["train-000000"]["tracebacks"][0]["traceback"]
    assert end["records"] == 8 and end["rejects"] == 1 and end["status"] == 0


def test_a_run_that_ends_with_an_error_leaves_its_traceback_in_the_log(toy: Toy) -> None:
    toy.unit("u01", "x raise")
    with pytest.raises(TesseraError, match="told to raise"):
        toy.run(strict=True)
    (failed,) = toy.events("failed")
    assert "ValueError: the toy was told to raise" in failed["traceback"] and "toy.py" in failed["traceback"]


def test_seed_moves_units_between_groups(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.run(shard_mb=1)
    toy.run(toy.root / "other", shard_mb=1, seed=1)
    first, second = ({s.units for s in Catalog.read(out).shards} for out in (toy.out, toy.root / "other"))
    assert first != second
    assert {u for units in first for u in units} == {u for units in second for u in units}


def test_limit_takes_the_first_records_and_only_takes_matching_units(toy: Toy) -> None:
    toy.fill(4, records=3)
    toy.run(limit=4)
    assert set(Dataset(toy.out).table("numbers").keys()) == {"u00-000", "u00-001", "u00-002", "u01-000"}
    toy.run(toy.root / "other", only="u0[13]", limit=5)
    keys = set(Dataset(toy.root / "other").table("numbers").keys())
    assert keys == {"u01-000", "u01-001", "u01-002", "u03-000", "u03-001"}
    with pytest.raises(UsageError, match=r"--only 'z\*' matches none of 4 units \(u00, u01, u02, u03, \.\.\.\)"):
        toy.run(only="z*")
    assert toy.run(toy.root / "more", limit=1000).records == 12


def test_units_without_records_are_no_trouble(toy: Toy) -> None:
    toy.unit("u00", "")
    toy.unit("u01", "x")
    assert toy.run().records == 1
    assert problems(toy.out) == []
    assert toy.run().built_groups == 0
    (toy.raw / "u01.txt").unlink()
    assert toy.run(toy.root / "empty").records == 0


def test_a_disk_that_fills_up_ends_the_run_and_rejects_nothing(toy: Toy) -> None:
    """Files may grow to 3 kB only: the second record of a shard cannot be written."""
    toy.fill(3)
    code = (
        "import resource, sys\nfrom tessera.cli import run\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", code, *toy.command("--workers", "0")[3:]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "File too large" in line and "the same command" in line
    assert not [path for path in toy.out.rglob("*") if path.suffix in (".tar", ".tmp")]
    assert read_rejects(toy.out) == []
    assert toy.run().records == 12 and toy.hashes() == toy.fresh()


def test_raw_files_that_change_while_they_are_read_leave_the_data_set_building(toy: Toy) -> None:
    toy.fill(3)
    recipe = load_recipe("toy")

    def read(unit: Any, files: Any, options: Any) -> Any:
        yield from recipe.read(unit, files, options)
        if unit.name == "u01" and not (toy.root / "changed").exists():
            (toy.root / "changed").touch()
            toy.unit("u01", "now another text than before")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tessera.pipelines.group.load_recipe", lambda name: dataclasses.replace(recipe, read=read))
        summary = toy.run()
    console = Console(file=StringIO(), width=150)
    print_summary(summary, RunSettings(), console)
    assert (summary.complete, summary.status) == (False, 1)
    assert "building: raw files changed meanwhile, run it again" in console.file.getvalue()
    assert toy.run().complete and toy.hashes() == toy.fresh()


MEMORY = """
import sys
from pathlib import Path
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings
recipe = load_recipe("toy")
out, raw = Path(sys.argv[1]), Path(sys.argv[2])
run_recipe(recipe, recipe.options(points=2000), raw, RunSettings(out=out, workers=0, quiet=True, shard_mb=1))
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc (a child inherits ru_maxrss)")
def test_memory_does_not_grow_with_the_number_of_units(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "8500")
    peaks = {}
    for units in (200, 2000):
        raw = toy.root / f"raw{units}"
        raw.mkdir()
        for u in range(units):
            (raw / f"u{u:04d}.txt").write_text("x yy zzz")
        command = [sys.executable, "-c", MEMORY, str(toy.root / f"out{units}"), str(raw)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[units] = int(done.stdout) * 1024
    assert len(list(toy.root.glob("out2000/*/*.tar"))) > 30
    # the plan itself, about 1 kB a record, is all that may grow; the records' bytes (10 kB each) may not
    assert peaks[2000] - peaks[200] < 5400 * 2500, peaks
