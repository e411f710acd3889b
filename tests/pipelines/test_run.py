"""A run in this process: what it writes, says and refuses."""

import dataclasses
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tessera.datasets import Catalog, Dataset, RawDataError, TesseraError, UsageError, verify
from tessera.pipelines import disk, progress
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


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ({}, {"with_": "cube"}, r"another schema in table numbers \(cube differ\)"),
        ({}, {"without": "square"}, r"another schema in table numbers \(square differ\)"),
        ({}, {"points": 9}, r"another schema in table numbers \(shapes or encodings differ\)"),
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
    assert "File too large" in line and "the same command again goes on from here" in line
    assert not [path for path in toy.out.rglob("*") if path.suffix in (".tar", ".tmp")]
    assert read_rejects(toy.out) == []
    assert toy.run().records == 12 and toy.hashes() == toy.fresh()


def test_progress_in_plain_lines_counts_up_to_the_plan(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    toy.fill(4, records=5)
    toy.unit("u05", "x x truncated x x")
    toy.unit("u06", "x badline nan x x")
    console = Console(file=StringIO(), width=60)
    toy.run(console=console, max_reject=1.0)
    lines = console.file.getvalue().splitlines()
    done = [int(line.split()[1].split("/")[0]) for line in lines]
    assert all(line.startswith("toy: ") and "/30 records, " in line for line in lines), lines
    assert done == sorted(done) and done[-1] == 30
    assert lines[-1].endswith("0 s left, 3 rejected") and "\x1b" not in console.file.getvalue()


def test_progress_bar_on_a_terminal(toy: Toy) -> None:
    toy.fill(4, records=5)
    console = Console(file=StringIO(), width=120, force_terminal=True)
    toy.run(console=console)
    shown = console.file.getvalue()
    assert "\x1b[" in shown and "━" in shown and "20/20" in shown and "0 rejected" in shown


def test_progress_is_quiet_where_that_is_asked_for(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    toy.fill(2)
    toy.run(quiet=True)
    assert capfd.readouterr() == ("", "")


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
