"""The benchmarks of the stream run, every loader gives the same tensors, and what they measure is what they say."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tessera.benchmarks import codecs, start, stream
from tessera.benchmarks.streams import checks, deliver
from tessera.benchmarks.streams import race as race_module
from tessera.benchmarks.streams.apart import RunError, apart
from tessera.benchmarks.streams.byte_index import ByteIndex
from tessera.benchmarks.streams.choices import rows as codec_rows
from tessera.benchmarks.streams.copy_rate import copy_rate
from tessera.benchmarks.streams.huge import write_huge
from tessera.benchmarks.streams.measure import Measured, measure
from tessera.benchmarks.streams.peers import PEERS, Job
from tessera.benchmarks.streams.profiles import PROFILES, SPLIT, TABLE
from tessera.benchmarks.streams.race import Cell, _prepare, race, row
from tessera.benchmarks.streams.shards import write
from tessera.datasets import Dataset, Field, Octahedral, UsageError

RECORDS = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profiles as small data sets."""
    folder = tmp_path_factory.mktemp("profiles")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        for name, profile in PROFILES.items():
            write(profile, folder / name / "set", 0, RECORDS, shards=4)
    return folder


def job_of(folder: Path, peer: str, profile: str = "arrays", **options) -> Job:
    return Job(peer, profile, folder / profile / "set", folder / profile / "own", **options)


@pytest.mark.parametrize("name", PROFILES)
def test_the_byte_index_reads_what_the_table_reads(folder: Path, name: str) -> None:
    profile = PROFILES[name]
    table = Dataset(folder / name / "set").table(TABLE)
    index = ByteIndex(profile, folder / name / "set")
    assert index.keys == list(table.keys()) and len(index) == RECORDS
    key, stored = index.stored(7)
    record = deliver.decoded(profile, key, stored)
    for item in profile.items:
        whole = table[key][item.name]
        if item.name in profile.sliced:
            wanted = np.concatenate([whole, whole])[deliver.first(profile, key) :][: profile.take]
        else:
            wanted = deliver.cropped(profile, key, whole) if item.picture else whole
        assert np.array_equal(record[item.name], wanted)
        if item.dtype != "json":
            assert record[item.name].shape == profile.shape(item.name)


def test_slices_go_around_the_end() -> None:
    assert deliver.around(np.arange(10), 8, 5).tolist() == [8, 9, 0, 1, 2]
    starts = {deliver.first(PROFILES["arrays"], f"u0-r{n:06d}") for n in range(200)}
    assert len(starts) > 190 and max(starts) > 8192 - 2048  # some do


@pytest.mark.parametrize("name", PEERS)
def test_every_loader_gives_the_records_of_the_tars(folder: Path, name: str) -> None:
    if PEERS[name].missing:
        pytest.skip(f"{PEERS[name].title} is not installed ({', '.join(PEERS[name].missing)})")
    job = job_of(folder, name, batch_size=4, threads=1)
    apart(_prepare, job)
    found = measure(job, check=True)
    assert found.check == f"{RECORDS} of {RECORDS} records, all equal"
    assert found.records % RECORDS == 0 and found.bytes == found.records * PROFILES["arrays"].bytes_a_record
    assert found.memory > found.private > 1 << 20 and found.seconds > 0 and found.first > 0 and found.processor > 0


@pytest.mark.parametrize("profile", ["human", "jpeg", "human_pictures"])
def test_the_other_profiles(folder: Path, profile: str) -> None:
    found = measure(job_of(folder, "ours", profile, batch_size=4), check=True)
    assert found.check == f"{RECORDS} of {RECORDS} records, all equal"


def batch_of(folder: Path, name: str) -> tuple[Job, dict]:
    profile = PROFILES[name]
    index = ByteIndex(profile, folder / name / "set")
    records = [deliver.decoded(profile, *index.stored(n)) for n in range(RECORDS)]
    return job_of(folder, "dataloader", name), deliver.stacked(records)


def test_the_check_sees_one_wrong_number(folder: Path) -> None:
    job, batch = batch_of(folder, "arrays")
    assert checks.compare(job, iter([batch])).startswith(f"{RECORDS} of")
    batch["sdf"][3, 17] += 1
    with pytest.raises(AssertionError, match=r"u0-r000003, field sdf"):
        checks.compare(job, iter([batch]))


def test_the_check_sees_records_that_come_twice_or_not_at_all(folder: Path) -> None:
    job, batch = batch_of(folder, "jpeg")
    with pytest.raises(AssertionError, match="came twice"):
        checks.compare(job, iter([batch, batch]))
    with pytest.raises(AssertionError, match="4 of 24 records"):
        checks.compare(job, iter([{name: column[:4] for name, column in batch.items()}]))


def test_a_crop_is_found_in_its_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 4, (40, 50, 3)).astype(np.uint8)
    assert checks.is_part(picture[7:27, 30:50], picture)
    assert not checks.is_part(picture[7:27, 30:50] ^ 1, picture)


def test_pictures_weigh_what_real_ones_do(folder: Path) -> None:
    sizes = {name: next(iter(Dataset(folder / name / "set").table(TABLE))).stored_bytes() for name in PROFILES}
    assert 60_000 < sizes["jpeg"]["image"] < 72_000
    assert sum(sizes["arrays"].values()) == pytest.approx(140_000, rel=0.01)
    assert sum(sizes["human"].values()) == pytest.approx(2.5e6, rel=0.01)
    assert 40_000 < sizes["human_pictures"]["normal_f"] < 200_000


WORK = """
import os, subprocess, sys, time

def holds(megabytes, fails=False):
    held = b"1" * (megabytes << 20)
    code = "x = b'1' * (50 << 20); print(flush=True); import time; time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()
    time.sleep(0.3)
    yield child.pid
    if fails:
        raise ValueError("after the result")

def dies():
    yield os._exit(3)

def hangs():
    yield time.sleep(60)
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Functions that fresh processes can import."""
    (tmp_path / "stream_bench_work.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("stream_bench_work")
    del sys.modules["stream_bench_work"]


def test_memory_of_children_counts_and_nothing_outlives_a_run(work) -> None:
    (child,), few = apart(work.holds, 50)
    _, many = apart(work.holds, 250)
    assert few.private > 100 << 20  # the child's 50 MiB, too
    assert 190 << 20 < many.private - few.private < 210 << 20
    status = Path(f"/proc/{child}/status")
    assert not status.exists() or "Z (zombie)" in status.read_text()  # where nobody collects it


def test_a_run_that_fails_dies_or_hangs_says_so(work) -> None:
    with pytest.raises(RunError, match=r"ValueError.*after the result"):
        apart(work.holds, 1, True)
    with pytest.raises(RunError, match="died"):
        apart(work.dies)
    with pytest.raises(RunError, match="nothing came"):
        apart(work.hangs, limit=1.0)


def test_the_copy_rate_counts_its_bytes() -> None:
    found = copy_rate(34816, 2)
    assert found.bytes == found.records * 34816 and found.bytes / found.seconds > 1e8


def test_rows_hold_the_best_and_the_median() -> None:
    runs = [Measured(100, 1000, seconds, 0.1 * seconds, 0.5, 3 << 20, 1 << 20) for seconds in (1.0, 2.0, 4.0)]
    line = row("x", runs, copies=2000)
    assert (line["best records/s"], line["median records/s"]) == (100, 50)
    assert (line["of copy rate"], line["CPU ms a record"], line["peak MiB"]) == (0.5, pytest.approx(1.0), 3)


def test_a_race_and_its_verdict(tmp_path: Path) -> None:
    cell = Cell(4, 1)
    rows, notes = race("arrays", tmp_path, ["dataloader", "ours"], 1, [cell], RECORDS)
    assert [line["loader"] for line in rows[cell]] == [
        "copy of the same bytes", PEERS["dataloader"].title, PEERS["ours"].title,
    ]  # fmt: skip
    assert all(note.endswith("all equal") for note in notes) and len(notes) == 2
    (line,) = stream.verdict("arrays", cell, rows[cell])
    ours, theirs = (rows[cell][at]["best records/s"] for at in (2, 1))
    assert line["best peer"] == PEERS["dataloader"].title and line["times it, best"] == pytest.approx(ours / theirs)


def test_a_loader_with_other_tensors_has_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(job: Job, check: bool = False) -> Measured:
        if job.peer == "dataloader" and check:
            raise RunError("AssertionError: record u0-r000003, field sdf: not what the tar holds")
        return Measured(1, 1, 1.0, 1.0, 1.0, check="all equal" if check else "")

    monkeypatch.setattr(race_module, "measure", measured)
    rows, notes = race("arrays", tmp_path, ["dataloader", "ours"], 2, [Cell(4, 1)], RECORDS)
    assert [line["loader"] for line in rows[Cell(4, 1)]] == ["copy of the same bytes", PEERS["ours"].title]
    assert any("u0-r000003" in note and note.endswith("(left out)") for note in notes)


def test_absent_peers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PEERS, "lit", type(PEERS["lit"])("litdata", ("no_such_module",)))
    found = stream.tables(1, ["arrays"], ["lit"], [Cell(4, 1)], RECORDS)
    assert found["notes"][0]["note"] == "litdata: not installed (no_such_module), left out"
    with pytest.raises(UsageError, match="no profile 'nothing'"):
        stream.tables(profiles=["nothing"])


def test_a_huge_data_set_is_a_real_one(tmp_path: Path) -> None:
    write_huge(tmp_path / "set", shards=3, records=5)
    table = Dataset(tmp_path / "set").table(TABLE)
    record = table["u000002-r000004"]
    assert len(table) == 15 and record["points"].shape == (8192, 3) and not record["points"].any()
    tar = tmp_path / "set" / SPLIT / "records-000002.tar"
    assert tar.stat().st_blocks * 512 < tar.stat().st_size


def test_starts_and_checksums_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    found = start.tables(shards=2, rounds=1, profiles=("arrays",), records=RECORDS)
    begins = found["first batch of 2 shards, 2,000 records"]
    assert [line["what"] for line in begins] == ["start", "resume in the middle"]
    assert all(line["first batch ms"] > line["make ms"] > 0 for line in begins)
    epochs = ["first, from disk", "first, from the page cache", "second"]
    assert [line["epoch"] for line in found["checksums"]] == epochs
    assert all(line["with checksums s"] > 0 < line["without s"] for line in found["checksums"])


def test_every_codec_gives_back_what_it_was_given() -> None:
    normal = np.dstack([np.full((40, 50), 0.6), np.zeros((40, 50)), np.full((40, 50), 0.8)]).astype(np.float32)
    entry = Field("normal", "float32", (40, 50, 3), "blosc", storage=Octahedral(14))
    found = list(codec_rows(entry, [normal]))
    assert {line["storage"] for line in found} == {"octahedral", "float32, as it is"}
    (chosen,) = (line for line in found if line["in the schema"])
    assert chosen["codec"] == "blosc zstd 5, byte shuffle" and 0 < chosen["of plain"] < 0.1
    (plain,) = (line for line in found if line["codec"] == "npy" and line["storage"] != "octahedral")
    assert plain["of plain"] == 1 and plain["KB a record"] == normal.nbytes / 1e3


def test_codecs_of_a_made_frame(tmp_path: Path) -> None:
    found = codecs.tables(tmp_path, names=("semantic",))
    assert list(found) == ["semantic (int16), 1 records of a frame made here"]


def test_codecs_of_a_data_set(folder: Path) -> None:
    found = codecs.tables(folder / "jpeg" / "set", records=2)
    (lines,) = found.values()
    assert [line["codec"] for line in lines if line["in the schema"]] == ["jpg 90 (lossy)"]


def test_peers_import_no_part_of_ours() -> None:
    """Imports of a peer's process count as its memory."""
    code = "import sys, tessera.benchmarks.streams.sources; print([n for n in sys.modules if 'tessera.datasets' in n])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_tensors_are_those_of_the_fields(folder: Path) -> None:
    _, batch = batch_of(folder, "human")
    assert batch["albedo"].dtype == torch.uint8 and batch["points"].shape == (RECORDS, 8000, 3)
