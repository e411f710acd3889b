"""Runs under fire, the short version; and proof that the checks see what they are there for."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tessera.benchmarks import kill
from tessera.benchmarks.fire import remains, strikes


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kill.Arena]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kill, "PAUSE", {0: "0.004", 2: "0.03"})
        yield kill.Arena(tmp_path_factory.mktemp("arena"))


@pytest.fixture
def out(arena: kill.Arena) -> Path:
    """The unbroken data set as OUT, to be spoilt."""
    shutil.rmtree(arena.out, ignore_errors=True)
    return Path(shutil.copytree(arena.root / "wanted", arena.out))


def compared(arena: kill.Arena) -> kill.Row:
    row = kill.Row("spoilt")
    arena.compare(row)
    return row


def test_the_unbroken_data_set_passes(arena: kill.Arena, out: Path) -> None:
    assert compared(arena).clean and compared(arena) == kill.Row("spoilt")
    assert len(arena.wanted) > 30 and "train/words-000001-1.tar" in arena.wanted


def test_older_raw_data_are_another_data_set(arena: kill.Arena) -> None:
    shutil.rmtree(arena.out, ignore_errors=True)
    shutil.copytree(arena.root / "older", arena.out)
    row = compared(arena)
    assert row.differing > 5 and row.lost > 0 and row.doubled > 0 and not row.partial and not row.problems


SHARD = "train/words-000001"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-600])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        (f"{SHARD}.tar", flip), (f"{SHARD}.tar", cut), (f"{SHARD}.tar", Path.unlink), (f"{SHARD}.parquet", cut),
        (f"{SHARD}.parquet", Path.unlink), ("dataset.json", cut), ("rejects.parquet", cut),
        ("runs/notes/train-000001.json", cut),
    ],
)  # fmt: skip
def test_a_spoilt_file_is_seen(arena: kill.Arena, out: Path, name: str, spoil: object) -> None:
    assert remains.partial_files(out) == []
    spoil(out / name)
    assert remains.partial_files(out)
    if name.endswith(".tar"):
        row = compared(arena)
        assert row.differing and row.partial and row.problems and not row.clean


def test_a_tar_without_index_is_no_promise_while_the_data_set_is_building(out: Path) -> None:
    catalog = out / "dataset.json"
    catalog.write_text(catalog.read_text().replace('"state": "complete"', '"state": "building"'))
    for part in ("", "-1", "-2"):
        (out / f"{SHARD}{part}.parquet").unlink()
    assert remains.partial_files(out) == []
    cut(out / "val/words-000000.tar")
    assert remains.partial_files(out) == ["val/words-000000.parquet"]


@pytest.mark.parametrize("name", ["train/.words-000001.tar.dead.tmp", "train/stray.txt", "runs/notes/.x.dead.tmp"])
def test_a_file_too_many_is_seen(arena: kill.Arena, out: Path, name: str) -> None:
    (out / name).write_text("left over")
    assert not compared(arena).clean


def test_lost_and_doubled_records_are_counted(out: Path) -> None:
    planned = kill.planned()
    assert remains.lost_and_doubled(out, planned) == (0, 0, 0)
    more = {**planned, "words": planned["words"] | {"u00-777", "u00-778"}}
    assert remains.lost_and_doubled(out, more)[:2] == (2, 0)
    fewer = {**planned, "texts": planned["texts"] - {"u00", "u01", "u02"}}
    assert remains.lost_and_doubled(out, fewer)[:2] == (0, 3)
    catalog = json.loads((out / "dataset.json").read_text())
    twice = next(shard for shard in catalog["shards"] if shard["table"] == "texts")
    catalog["shards"].append(twice)
    (out / "dataset.json").write_text(json.dumps(catalog))
    lost, doubled, problems = remains.lost_and_doubled(out, planned)
    assert (lost, doubled) == (0, twice["records"]) and problems


def test_processes_that_stay_are_counted_and_ended() -> None:
    rng = np.random.default_rng(0)
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60'])\nif len(sys.argv) > 1: sys.stdin.read()"
    left = subprocess.Popen(["python3", "-c", script], start_new_session=True)
    left.wait()
    assert strikes.end_survivors({left.pid}, 0.2) == 1 and strikes.end_survivors({left.pid}, 5) == 0
    assert not strikes.kill_driver(left, rng) and not strikes.kill_worker(left, rng)
    busy = subprocess.Popen(["python3", "-c", script, "wait"], start_new_session=True, stdin=subprocess.PIPE)
    while len(strikes.session({busy.pid})) < 2:
        time.sleep(0.01)
    assert strikes.kill_session(busy, rng)
    assert strikes.end_survivors({busy.pid}, 5) == 0


@pytest.mark.slow
def test_killed_at_random_moments(arena: kill.Arena) -> None:
    row = kill.kills(arena, "alone", 0, strikes.kill_driver, 8)
    assert row.clean and row.kills >= 8 and row.resumed >= 8, row


@pytest.mark.slow
@pytest.mark.parametrize("strike", [strikes.kill_driver, strikes.kill_worker, strikes.kill_session])
def test_killed_at_random_moments_with_ray(
    arena: kill.Arena, strike: strikes.Strike, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Ray's own agents take a minute to notice that their driver is dead: the benchmark waits for them, this does not
    monkeypatch.setattr(kill, "end_survivors", partial(strikes.end_survivors, title=strikes.BUSY))
    row = kill.kills(arena, strike.__name__, 2, strike, 1)
    assert row.clean and row.kills >= 1, row
