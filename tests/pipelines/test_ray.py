"""Runs with Ray workers: the same bytes; and crashes, hangs and kills that cost one unit only.

Each start of Ray takes seconds, so that each run here is asked many things.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import ray
from tessera.datasets import Dataset, TesseraError, verify
from tessera.pipelines.cluster import MOST_NODES, _after_crash, _Flight, start_ray
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.group import build_group
from tessera.pipelines.limits import python_time_limit
from tessera.pipelines.lock import lock_out
from tessera.pipelines.prepare import prepare
from tessera.pipelines.raw import open_raw
from tessera.pipelines.recipe import Reject
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.settings import RunSettings
from tessera.pipelines.status import StatusFile, read_standing

from .conftest import Toy, file_hashes

ROOT = Path(__file__).resolve().parents[2]


def test_workers_give_the_same_bytes_and_find_hugging_faces_datasets(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Run where it is hardest: in the checkout's root, which the path names, too."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.unit("u03", "x nan raise")
    options = ("--shard-mb", "1", "--max-reject", "1")
    done = toy.call("--workers", "2", *options, cwd=ROOT, PYTHONPATH=str(ROOT), TOY_IMPORT=str(tmp_path / "found"))
    assert done.returncode == 0, done.stderr
    assert "in 6 of 6 groups" in done.stdout and "44 records" in done.stdout
    assert "Traceback" not in done.stderr and "WARNING" not in done.stderr
    assert toy.hashes() == toy.fresh(shard_mb=1, max_reject=1.0)
    found = (tmp_path / "found").read_text().splitlines()
    assert len(found) == 12 and all("site-packages" in path for path in found), found
    one = tmp_path / "one"
    assert toy.run(one, workers=1, shard_mb=1, max_reject=1.0).built_groups == 6
    assert file_hashes(one) == toy.hashes()


KILLED = "its worker process was killed (was the memory full?) or ended itself"
CRASHES = {
    "u02": ("hang", "took longer than --unit-timeout 20"),
    "u04": ("segfault", "its worker process crashed: Segmentation fault"),
    "u06": ("exit", KILLED),
    "u08": ("raise", "ValueError: the toy was told to raise"),
    "u09": ("truncated", "u09.txt: truncated"),
}


def test_crashes_and_hangs_cost_their_unit_only(toy: Toy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOY_BYTES", "118000")
    monkeypatch.setenv("TOY_MARKER", str(tmp_path / "struck"))
    toy.fill(12)
    for unit, (word, _) in CRASHES.items():
        toy.unit(unit, f"x {word} xx")
    toy.unit("u11", "x once nan xx")
    settings = {"shard_mb": 1, "max_reject": 1.0}
    summary = toy.run(workers=2, unit_timeout=20.0, **settings)
    expected = [Reject(unit, "", f"{unit}.txt", "read", error) for unit, (_, error) in CRASHES.items()]
    expected.append(Reject("u11", "u11-002", "u11.txt", "encode", "field 'vector': 8 of 8 values are NaN or infinite"))
    assert read_rejects(toy.out) == expected
    assert sorted(summary.rejects, key=lambda reject: reject.unit) == expected
    keys = set(Dataset(toy.out).table("numbers").keys())
    good = {f"u{u:02d}-{i:03d}" for u in (0, 1, 3, 5, 7, 10) for i in range(4)}
    assert keys == good | {"u11-000", "u11-001", "u11-003"}
    assert summary.retries == 2 + 2 + 1 + 1  # segfault, exit: both attempts; hang: none again; once: one
    assert (summary.status, summary.complete) == (0, True)
    assert not list(toy.out.rglob("*.tmp")) and not [p for _, found in verify(toy.out) for p in found]
    traces = list(toy.out.glob("runs/*/status/*.hung.txt"))
    assert [path.name.split("-")[2] for path in traces] == ["u02.hung.txt"] and "toy.py" in traces[0].read_text()
    (trace,) = toy.out.glob("runs/*/status/*.crash.txt")
    assert trace.name.endswith("-u04.crash.txt") and "toy.py" in trace.read_text()

    assert toy.run(**settings).built_groups == 0, "crashed units are not tried again unasked"
    words = {"u02": "x hung xx", "u04": "x mended xx"}
    for unit, text in words.items():
        toy.unit(unit, text)
    mended = toy.run(**settings)  # an ordinary run sees that the files of crashed units have changed
    assert mended.built_records - mended.reused_records == 6
    for unit in ("u06", "u08", "u09"):
        toy.unit(unit, "x yy zzz")
    toy.run(retry_failed=True, **settings)
    assert [reject.key for reject in read_rejects(toy.out)] == ["u11-002"]
    assert toy.hashes() == toy.fresh(**settings)


def test_strict_ends_the_run_at_a_crash(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.unit("u04", "x segfault xx")
    done = toy.call("--workers", "2", "--strict", "--shard-mb", "1", "--retries", "0")
    assert done.returncode == 1
    said = done.stderr.strip().splitlines()[-1]  # after lines of progress, where it took long
    assert said == "tessera shards: u04 (u04.txt): read: its worker process crashed: Segmentation fault", done.stderr
    assert not list(toy.out.rglob("*.tmp"))
    assert not {p.with_suffix("") for p in toy.out.glob("*/*.tar")} ^ {
        p.with_suffix("") for p in toy.out.glob("*/*.parquet")
    }
    assert "StopRun" in toy.events("failed")[0]["traceback"]
    toy.unit("u04", "x yy zzz")
    assert toy.run(shard_mb=1).complete and toy.hashes() == toy.fresh(shard_mb=1)


@pytest.fixture
def flight(toy: Toy) -> _Flight:
    """The group of u01 and u02 in flight."""
    toy.unit("u01", "x yy")
    toy.unit("u02", "x yy")
    recipe = load_recipe("toy")
    (task,) = prepare(recipe, recipe.options(), open_raw(toy.raw), RunSettings(out=toy.out), "run").tasks
    return _Flight(task)


def crash(
    flight: _Flight, unit: str = "u01", stage: str = "read", files: tuple[str, ...] = (),
    error: Exception = RuntimeError("died"),
) -> _Flight:  # fmt: skip
    """What follows when the group's worker dies while it works at `unit`."""
    status = StatusFile(flight.task.status_path)
    status.set(unit=unit, stage=stage)
    for path in files:
        status.opens(path)
    status.close()
    return _after_crash(flight, error, retries=1)


def test_a_unit_is_given_up_after_its_second_crash(flight: _Flight) -> None:
    flight = crash(flight)
    assert (flight.task.attempt, flight.task.skip) == (2, {})
    flight = crash(flight, "u02")
    assert (flight.task.attempt, flight.task.skip) == (3, {})
    flight = crash(flight, files=("u01.txt", "u01.plus", "u01.txt"))
    assert flight.task.skip == {"u01": Reject("u01", "", "u01.txt", "read", KILLED)}
    assert flight.task.opened == {"u01": ("u01.txt", "u01.plus")}
    assert set(crash(flight, "u02").task.skip) == {"u01", "u02"}


def test_a_hung_unit_is_given_up_at_once(flight: _Flight) -> None:
    trace = flight.task.status_path.with_suffix(".timeout")
    trace.parent.mkdir(parents=True)
    trace.write_text("Timeout (1:00:00)!")
    flight = crash(flight, "u02", "square")
    assert flight.task.skip["u02"] == Reject("u02", "", "u02", "square", "took longer than --unit-timeout 3600")
    assert crash(flight, "u01").task.skip.keys() == {"u02"}, "the next crash is no hang"


@pytest.mark.parametrize(("unit", "stage"), [("", ""), ("u02", "commit"), ("u01", "start")])
def test_deaths_outside_a_units_work_are_no_units_fault_and_do_not_go_on_for_ever(
    flight: _Flight, unit: str, stage: str
) -> None:
    if unit == "u01":  # it is only copied
        flight.task = dataclasses.replace(flight.task, keep={"u01": "fingerprint"})
    for _ in range(3):
        flight = crash(flight, unit, stage)
    assert flight.task.skip == {}
    with pytest.raises(TesseraError, match=r"train-000000: its worker died 4 times outside any unit"):
        crash(flight, unit, stage)


def test_workers_killed_for_memory_before_any_unit_say_what_to_do(flight: _Flight) -> None:
    """Ray's monitor looks four times a second: what finds no memory may die after the warm-up as well as in it."""
    full = ray.exceptions.OutOfMemoryError("killed")
    for _ in range(3):
        flight = crash(flight, "", "", error=full)
    with pytest.raises(TesseraError, match=r"die at their start \(OutOfMemoryError\); fewer --workers"):
        crash(flight, "", "", error=full)


NODE_DIED = ray.exceptions.NodeDiedError("gone")


def test_a_unit_is_not_blamed_for_its_node_until_it_happens_again_and_again(flight: _Flight) -> None:
    for attempt in range(MOST_NODES):
        flight = crash(flight, error=NODE_DIED)
        assert flight.task.attempt == attempt + 2 and not flight.task.skip and not flight.strikes
    flight = crash(flight)
    assert flight.strikes == {"u01": 1} and not flight.task.skip, "its own first crash"
    assert crash(flight, error=NODE_DIED).task.skip["u01"].error == "its node died"


def test_nodes_that_die_outside_any_unit_are_no_units_fault(flight: _Flight) -> None:
    for _ in range(MOST_NODES):
        flight = crash(flight, "u02", "commit", error=NODE_DIED)
    assert not flight.task.skip and not flight.strikes and flight.lost == 0


def test_a_worker_that_is_cut_off_with_its_node_does_not_write_into_the_files_of_its_successor(
    toy: Toy, flight: _Flight
) -> None:
    """Ray takes it for dead while it builds on: both attempts come to their end, one within the other."""
    second, built = crash(flight, error=NODE_DIED).task, []
    limit = partial(python_time_limit, 0)

    def build_meanwhile() -> None:
        if not built:
            built.append(0)
            built.append(build_group(second, limit).records)

    with lock_out(toy.out, flight.task.run, None):
        assert build_group(flight.task, limit, build_meanwhile).records == built[1] == 4
    toy.run()
    assert toy.hashes() == toy.fresh() and not list(toy.out.rglob("*.tmp"))


ORPHAN = """
import signal, sys
from pathlib import Path
from tessera.pipelines.cluster import _worker
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.lock import lock_out
from tessera.pipelines.prepare import prepare
from tessera.pipelines.raw import open_raw
from tessera.pipelines.settings import RunSettings

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ray does
recipe, raw, out = load_recipe("toy"), open_raw(sys.argv[1]), Path(sys.argv[2])
(task,) = prepare(recipe, recipe.options(), raw, RunSettings(out=out), "run").tasks
with lock_out(out, "run", None):
    _worker(task)
"""


def test_a_worker_whose_driver_was_killed_does_not_blame_its_unit(toy: Toy) -> None:
    """Found by `tessera bench kill`: Ray sends it SIGTERM; the unit was rejected for that, and its group committed."""
    toy.unit("u01", "x " * 50)
    env = {**os.environ, "TOY_SECONDS": "0.1"}
    orphan = subprocess.Popen([sys.executable, "-c", ORPHAN, toy.raw, toy.out], env=env, cwd=toy.root)
    while not any(read_standing(path).unit == "u01" for path in toy.out.glob("runs/run/status/*.json")):
        assert orphan.poll() is None
        time.sleep(0.01)
    orphan.terminate()
    assert orphan.wait(timeout=30) == -signal.SIGTERM
    assert not list(toy.out.glob("*/*.parquet")) and not list(toy.out.glob("runs/notes/*.json"))
    assert toy.run().records == 50


def test_a_cluster_that_cannot_be_joined_is_named() -> None:
    with pytest.raises(TesseraError, match=r"--ray-address nonsense: this cluster cannot be joined \(ValueError"):
        start_ray(2, "nonsense", "toy")
