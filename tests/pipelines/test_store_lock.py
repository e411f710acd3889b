"""The lock of an OUT in an object store: one run at a time, and a dead one hinders nobody for long."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tessera.pipelines import store_lock
from tessera.pipelines.out_store import OutError, OutStore
from tessera.pipelines.store_lock import LOCK, check_held, hold_store

from .conftest import Toy


@pytest.fixture
def url(bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setattr(store_lock, "SETTLE", 0.3)
    monkeypatch.setenv("TESSERA_CACHE", str(tmp_path / "cache"))
    return f"{bucket}/out"


def put_lock(url: str, **changes: Any) -> None:
    entry = json.loads(store_lock._entry("other")) | {"host": "elsewhere", **changes}
    OutStore(url).write(LOCK, json.dumps(entry).encode())


def test_held_while_a_run_lasts(url: str) -> None:
    store = OutStore(url)
    with hold_store(url, "first"):
        check_held(store, "first")
        with (
            pytest.raises(OutError, match=r"run first on .* is writing here; wait for it") as caught,
            hold_store(url, "b"),
        ):
            pass
        assert "process" in str(caught.value) and "5 minutes" in str(caught.value)
    assert store.list() == {}


def test_the_lock_of_a_dead_process_of_this_machine_is_taken_over_at_once(url: str) -> None:
    put_lock(url, pid=2**22 + 1)
    with hold_store(url, "next"):
        check_held(OutStore(url), "next")
    put_lock(url, pid=1)  # which lives
    with pytest.raises(OutError, match="run other on elsewhere"), hold_store(url, "next"):
        pass


def test_a_lock_of_this_process_whose_run_has_ended_is_no_hindrance(url: str) -> None:
    put_lock(url)  # its release found no connection
    with hold_store(url, "next"):
        check_held(OutStore(url), "next")


def test_a_run_on_another_machine_is_dead_when_the_store_has_not_heard_of_it(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the store's clock: that of either machine may be wrong."""
    put_lock(url, machine="another", pid=1, time="1999-01-01T00:00:00+00:00")
    with pytest.raises(OutError, match="last heard of 1999"), hold_store(url, "next"):
        pass
    monkeypatch.setattr(time, "time", lambda now=time.time(): now + 1e6)
    with pytest.raises(OutError, match="last heard of 1999"), hold_store(url, "next"):
        pass
    monkeypatch.setattr(store_lock, "DEAD", 1.0)
    time.sleep(2.1)
    with hold_store(url, "next"):
        assert set(OutStore(url).list()) == {LOCK}


def test_signs_of_life_come_again_and_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_lock, "BEAT", 0.05)
    beats = threading.Event()
    write = OutStore.write
    monkeypatch.setattr(OutStore, "write", lambda self, name, data: (write(self, name, data), beats.set())[0])
    with hold_store(url, "run"):
        beats.clear()
        assert beats.wait(10)
        put_lock(url)  # taken over
        time.sleep(0.3)
        assert json.loads(OutStore(url).read(LOCK) or b"")["run"] == "other"
    assert set(OutStore(url).list()) == {LOCK}  # it is not ours to delete


@pytest.mark.parametrize("conditional", [True, False])
def test_of_many_at_once_one_gets_it(url: str, monkeypatch: pytest.MonkeyPatch, conditional: bool) -> None:
    """Also on a store that cannot create an object only where there is none."""
    if not conditional:
        monkeypatch.setattr(OutStore, "create", lambda self, name, data: None)
        monkeypatch.setattr(store_lock, "SETTLE", 1.5)
    got, refused, start, done = [], [], threading.Barrier(6), threading.Barrier(6)

    def contend(number: int) -> None:
        start.wait()
        try:
            with hold_store(url, f"run{number}"):
                got.append(number)
                done.wait()
        except OutError:
            refused.append(number)
            done.wait()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1 and len(refused) == 5


def test_a_damaged_lock_is_dead_when_it_is_old(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    OutStore(url).write(LOCK, b"\xff not json")
    with pytest.raises(OutError, match="run \\? on \\?"), hold_store(url, "next"):
        pass
    monkeypatch.setattr(store_lock, "DEAD", -1.0)
    with hold_store(url, "next"):
        pass


def test_a_run_that_was_taken_over_publishes_nothing_more(toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    put = OutStore.put

    def taken_over(self: OutStore, name: str, path: Path) -> None:
        put(self, name, path)
        if name.endswith(".tar"):
            put_lock(url)

    monkeypatch.setattr(OutStore, "put", taken_over)
    with pytest.raises(OutError, match="run other on elsewhere has taken over; nothing more is written"):
        toy.run(url, shard_mb=1)
    names = set(OutStore(url).list())
    assert len(names) == 3 and {"dataset.json", LOCK} < names  # and a tar without an index


def test_two_runs_of_one_machine(toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(12)
    process = toy.start("--workers", "0", out=url, TOY_SECONDS="0.2")
    while OutStore(url).read(LOCK) is None and process.poll() is None:
        time.sleep(0.02)
    said = []
    for cache in ("cache", "other"):
        monkeypatch.setenv("TESSERA_CACHE", str(toy.root / cache))
        done = toy.call("--workers", "0", out=url)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
        said.append(done.stderr)
    assert "another run on this machine is at work" in said[0] and f"(process {process.pid}," in said[1]
    assert process.poll() is None
    process.kill()
    process.communicate()
