"""Six faults in a thousand units: 994 delivered, six named; mended, `--retry-failed` does those six and no others."""

import json
import os
from pathlib import Path

import numpy as np
import psutil
import pytest
from tessera.datasets import Dataset, verify
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import read_rejects

from .conftest import RECIPES, Toy, file_hashes

FAULTS = {"u0100": "exception", "u0300": "hang", "u0400": "segfault", "u0500": "killed"}
NAN, CUT = "u0200", "u0600"
SETTINGS = {"shard_mb": 1, "unit_timeout": 4.0}
NAMED = [
    Reject("u0100", "u0100", "u0100.bin", "squares", "ValueError: told to raise"),
    Reject("u0200", "u0200", "u0200.bin", "encode", "field 'squares': 1 of 3 values are NaN or infinite"),
    Reject("u0300", "", "u0300.bin", "squares", "took longer than --unit-timeout 4"),
    Reject("u0400", "", "u0400.bin", "squares", "its worker process crashed: Segmentation fault"),
    Reject(
        "u0500", "", "u0500.bin", "squares", "its worker process was killed (was the memory full?) or ended itself"
    ),
    Reject("u0600", "", "u0600.bin", "read", "u0600.bin: is truncated: 10 of 16 bytes"),
]  # fmt: skip


def write_unit(raw: Path, unit: str) -> None:
    values = np.arange(1 + int(unit[1:]) % 5, dtype="<f4") + int(unit[1:])
    (raw / f"{unit}.bin").write_bytes(np.uint32(len(values)).tobytes() + values.tobytes())


@pytest.fixture
def six(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A thousand sound units in 40 groups."""
    monkeypatch.setenv("TESSERA_RECIPES", str(RECIPES))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    toy = Toy(tmp_path, "six")
    toy.raw.mkdir()
    for number in range(1000):
        write_unit(toy.raw, f"u{number:04d}")
    return toy


def harm(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """All six faults at once."""
    monkeypatch.setenv("SIX_FAULTS", json.dumps(FAULTS))
    data = np.array([1, np.nan, 3], "<f4").tobytes()
    (toy.raw / f"{NAN}.bin").write_bytes(np.uint32(3).tobytes() + data)
    (toy.raw / f"{CUT}.bin").write_bytes(np.uint32(3).tobytes() + data[:6])


def mend(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SIX_FAULTS")
    for unit in (NAN, CUT):
        write_unit(toy.raw, unit)


def tars(hashes: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in hashes.items() if name.endswith(".tar")}


def check_delivery(toy: Toy, clean: dict[str, str]) -> None:
    """994 records and six names; the other groups' files are those of a clean run."""
    assert read_rejects(toy.out) == NAMED
    wanted = {f"u{number:04d}" for number in range(1000)} - {reject.unit for reject in NAMED}
    assert set(Dataset(toy.out).table("numbers").keys()) == wanted and len(wanted) == 994
    assert not [problem for _, found in verify(toy.out) for problem in found]
    harmed = {event["group"] for event in toy.events("group") if {r.unit for r in NAMED} & set(event["units"])}
    own = {name for group in harmed for name in (f"numbers-{group[6:]}.tar", f"numbers-{group[6:]}.parquet")}
    found = toy.hashes()
    assert len(harmed) == 6 and len(tars(found)) == 40
    differ = {Path(name).name for name in clean if found[name] != clean[name]}
    assert differ == own | {"dataset.json", "rejects.parquet"}


@pytest.mark.slow
def test_six_faults_in_a_thousand_units(six: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean = six.fresh(shard_mb=1)
    harm(six, monkeypatch)
    summary = six.run(workers=2, **SETTINGS)
    assert (summary.status, summary.complete, summary.lost_units, summary.records) == (0, True, 6, 994)
    check_delivery(six, clean)

    for reject in NAMED:
        os.rename(six.raw / f"{reject.unit}.bin", tmp_path / f"{reject.unit}.bin")
    without = tmp_path / "without"
    six.run(without, shard_mb=1)
    assert tars(file_hashes(without)) == tars(six.hashes()), "what is left is as if the six had never been there"
    for reject in NAMED:
        os.rename(tmp_path / f"{reject.unit}.bin", six.raw / f"{reject.unit}.bin")

    assert six.run(**SETTINGS).built_groups == 0, "what failed is not tried again unasked"
    mend(six, monkeypatch)
    log, before = tmp_path / "read.txt", len(six.events("group"))
    monkeypatch.setenv("SIX_LOG", str(log))
    mended = six.run(workers=2, retry_failed=True, **SETTINGS)
    events = six.events("group")[before:]
    assert sorted(log.read_text().split()) == sorted(reject.unit for reject in NAMED)
    assert (mended.built_groups, mended.built_records - mended.reused_records) == (6, 6) == (len(events), 6)
    assert (mended.status, mended.complete, mended.records, mended.rejects) == (0, True, 1000, [])
    assert six.hashes() == clean and not list(six.out.rglob("*.tmp"))


@pytest.mark.slow
def test_a_unit_that_eats_memory_is_killed_by_ray_and_named(six: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own monitor, told that the memory is full two gigabytes from where it stands."""
    memory = psutil.virtual_memory()
    if memory.available < 6 << 30:
        pytest.skip("less than 6 GB of memory are free")
    for path in sorted(six.raw.glob("*.bin"))[50:]:
        path.unlink()
    monkeypatch.setenv("SIX_FAULTS", json.dumps({"u0007": "eat"}))
    monkeypatch.setenv("SIX_MEALS", "96")
    monkeypatch.setenv("RAY_memory_usage_threshold", str((memory.total - memory.available + (2 << 30)) / memory.total))
    summary = six.run(workers=1, retries=0, unit_timeout=60.0, shard_mb=1, max_reject=1.0)
    text = "its worker process was killed for lack of memory"
    assert summary.rejects == [Reject("u0007", "", "u0007.bin", "squares", text)]
    assert summary.records == 49 and summary.complete


@pytest.mark.slow
def test_workers_that_find_no_memory_at_their_start_are_one_clear_line(
    six: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.001")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "20")
    done = six.call("--workers", "1")
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("tessera shards: Ray's workers die at their start (OutOfMemoryError); fewer --workers")
    assert done.returncode == 1 and six.hashes().keys() <= {"dataset.json"}
