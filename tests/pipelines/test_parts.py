"""`--part i/n`: parts in any order, also side by side, give the data set of one run."""

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tessera.datasets import Catalog, TesseraError, UsageError
from tessera.pipelines import run
from tessera.pipelines.lock import lock_commit, lock_finish, lock_out
from tessera.pipelines.status import read_standing

from .conftest import Toy


@pytest.fixture
def raw(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """Twelve units in six groups (see test_stale), not built yet."""
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    return toy


@pytest.mark.parametrize("order", list(itertools.permutations(range(3)))[1::2])
def test_parts_in_any_order_make_the_whole(raw: Toy, order: tuple[int, ...]) -> None:
    built = []
    for i in order:
        summary = raw.run(part=f"{i}/3", shard_mb=1)
        built.append(summary.built_groups)
        assert summary.complete == (i == order[-1]) and summary.status == 0
    assert built == [2, 2, 2]
    assert raw.hashes() == raw.fresh(shard_mb=1)
    assert raw.run(part="1/3", shard_mb=1).built_groups == 0
    assert raw.run(shard_mb=1).built_groups == 0


def test_other_parts_and_whole_runs_go_on_from_parts(raw: Toy) -> None:
    raw.run(part="0/3", shard_mb=1)
    assert raw.run(part="1/2", shard_mb=1).built_groups == 3 - 1  # groups 1, 3, 5; the first third had 0 and 3
    assert raw.run(shard_mb=1).built_groups == 2
    assert raw.hashes() == raw.fresh(shard_mb=1)


def test_a_part_with_nothing_in_it(toy: Toy) -> None:
    toy.unit("u01", "a b")
    assert toy.run(part="4/5").built_groups == 0
    assert toy.run(part="0/5").complete
    assert toy.hashes() == toy.fresh()


def test_parts_side_by_side_as_processes(raw: Toy) -> None:
    for step in ("build", "build again"):
        processes = [raw.start("--part", f"{i}/2", "--shard-mb", "1") for i in range(2)]
        said = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], said
        assert raw.hashes() == raw.fresh(shard_mb=1), step
        assert Catalog.read(raw.out).state == "complete"
        for u in (1, 3, 5, 11):
            raw.unit(f"u{u:02d}", "x xx xxx xxxxxxxxx")


def test_two_parts_that_finish_at_once_leave_a_complete_data_set(raw: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Part 0 judges the data set incomplete; before it says so, part 1 has come to commit and to finish, too."""
    scan, others = run.scan_shards, []

    def committing() -> bool:
        standings = [read_standing(path) for path in raw.out.glob("runs/*/status/*.json")]
        return any(standing.stage == "commit" for standing in standings)

    def slow_scan(*arguments: object) -> object:
        if not others:
            others.append(raw.start("--part", "1/2", "--shard-mb", "1"))
            deadline = time.monotonic() + 30
            while not committing():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            time.sleep(1.0)
        return scan(*arguments)

    monkeypatch.setattr(run, "scan_shards", slow_scan)
    raw.run(part="0/2", shard_mb=1)
    said = others[0].communicate(timeout=60)
    assert others[0].returncode == 0, said
    assert Catalog.read(raw.out).state == "complete"
    assert raw.hashes() == raw.fresh(shard_mb=1)


def test_parts_notice_removed_units(raw: Toy) -> None:
    raw.run(shard_mb=1)
    (raw.raw / "u03.txt").unlink()  # alone in its group
    for i in range(2):
        raw.run(part=f"{i}/2", shard_mb=1)
    assert raw.hashes() == raw.fresh(shard_mb=1)


def test_a_part_leaves_temporary_files_of_other_parts_alone_and_sweeps_its_own(raw: Toy) -> None:
    raw.run(part="0/2", shard_mb=1)  # train-0, train-2, train-4
    own, other = (raw.out / "train" / f".numbers-00000{g}.tar.dead.tmp" for g in (2, 1))
    own_note, other_note = (raw.out / "runs/notes" / f".train-00000{g}.json.dead.tmp" for g in (2, 1))
    for path in (own, other, own_note, other_note):
        path.write_text("")
    raw.run(part="0/2", shard_mb=1)
    assert not own.exists() and not own_note.exists() and other.exists() and other_note.exists()
    raw.run(shard_mb=1)
    assert not list(raw.out.rglob("*.tmp"))


def test_parts_keep_whole_runs_and_themselves_out(raw: Toy) -> None:
    raw.out.mkdir()
    with lock_out(raw.out, "one", (0, 2)), lock_out(raw.out, "two", (1, 2)):
        with pytest.raises(TesseraError, match=r"out: another run, or another part 0/2, is writing here; wait for it"):
            raw.run(part="0/2")
        with pytest.raises(TesseraError, match=r"out: another run is writing here; wait for it, or use another --out"):
            raw.run()
    with lock_out(raw.out, "one", None), pytest.raises(TesseraError, match="is writing here"):
        raw.run(part="0/2")


@pytest.mark.parametrize("part", ["3/3", "-1/3", "0/0", "x", "1", "0/3/1", "1/x", "", "1.5/2"])
def test_parts_that_make_no_sense(raw: Toy, part: str) -> None:
    with pytest.raises(UsageError, match=rf"--part {part}"):
        raw.run(part=part)
    assert not raw.out.exists()


def test_parts_do_not_start_ray(raw: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.init", lambda *a, **k: pytest.fail("Ray was started"))
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert raw.run(part="0/1", workers=2).complete
    assert raw.run(raw.root / "other", workers=0).complete


@pytest.mark.parametrize("first", [lock_finish, lock_commit])
def test_shards_are_listed_while_nobody_else_commits_or_lists(tmp_path: Path, first: Any) -> None:
    (tmp_path / "runs").mkdir()
    seen = []

    def finish() -> None:
        with lock_finish(tmp_path):
            seen.append("second")

    with first(tmp_path):
        thread = threading.Thread(target=finish)
        thread.start()
        time.sleep(0.2)
        seen.append("first")
    thread.join(10)
    assert seen == ["first", "second"]
    with lock_commit(tmp_path), lock_commit(tmp_path):
        pass
