"""Lock on an OUT in an object store: an object that names the run and shows signs of life."""

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from .out_store import SECOND, OutError, OutStore

LOCK = "runs/lock.json"
BEAT = 30.0  # seconds between signs of life
DEAD = 300.0  # seconds without one, by the store's own clock, after which a run on another machine is taken for dead
SETTLE = 1.0  # seconds after which two that have both written the lock see which of them was the last
_OURS: set[str] = set()  # runs of this process that hold their OUT


@contextmanager
def hold_store(url: str, run: str) -> Iterator[None]:
    """Hold OUT for this run until the context ends.

    Raises:
        OutError: another run holds it, or the store cannot be written to.
    """
    store = OutStore(url, waits=())  # refused at once where there is no such bucket, no right, no connection
    _take(store, run)
    _OURS.add(run)
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, run, stop), name="store lock", daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()
        _OURS.discard(run)
        with suppress(OutError):  # what is left is the lock of a dead run, which the next one takes over
            if _holder(store).get("run") == run:
                store.delete(LOCK)


def check_held(store: OutStore, run: str) -> None:
    """A run that was taken for dead must not write into a later one.

    Raises:
        OutError: OUT is no longer held by this run.
    """
    holder = _holder(store)
    if holder.get("run") != run:
        who = f"run {holder['run']} on {holder.get('host')} has taken over" if holder else f"{LOCK} was deleted"
        raise OutError(f"--out {store.url}: {who}; nothing more is written, the same command goes on from here")


def _take(store: OutStore, run: str) -> None:
    """Write the lock, where no living run has it, and see whether it is still ours then."""
    holder = _holder(store)
    if holder:
        if _alive(store, holder, run):
            raise _refusal(store, holder)
        store.write(LOCK, _entry(run))
        time.sleep(SETTLE)
    else:
        store.create(LOCK, _entry(run))
        if not _holder(store):  # the store does not know how to create
            store.write(LOCK, _entry(run))
            time.sleep(SETTLE)
    holder = _holder(store)
    if holder.get("run") != run:
        raise _refusal(store, holder)


def _refusal(store: OutStore, holder: dict[str, Any]) -> OutError:
    return OutError(
        f"--out {store.url}: run {holder.get('run')} on {holder.get('host')} (process {holder.get('pid')}, last heard "
        f"of {holder.get('time')}) is writing here; wait for it, or use another --out. The lock of a killed run ends "
        f"at once on its own machine, on others {DEAD / 60:.0f} minutes after it was last heard of"
    )


def _alive(store: OutStore, holder: dict[str, Any], run: str) -> bool:
    """Whether the process is there, on this machine; on another, whether it was heard of lately."""
    if holder.get("machine") == _machine():
        ours = holder.get("pid") == os.getpid()
        return holder.get("run") in _OURS if ours else _is_process(holder.get("pid"))
    probe = f"runs/clock-{run}.json"  # the clock of this machine may be wrong
    store.write(probe, b"{}")
    try:
        last, now = _time(store, LOCK), _time(store, probe)
    finally:
        store.delete(probe)
    return now - last < DEAD


def _time(store: OutStore, name: str) -> float:
    """When an object was written, by the store's clock; 0 where there is none."""
    return store.list(name).get(name, (0, 0))[1] / SECOND


def _is_process(number: object) -> bool:
    try:
        os.kill(int(str(number)), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _beat(store: OutStore, run: str, stop: threading.Event) -> None:
    """Show a sign of life again and again, as long as the lock is ours."""
    while not stop.wait(BEAT):
        with suppress(OutError):  # whoever writes to the store finds that out, too; the next beat may get through
            if _holder(store).get("run") != run:
                return
            store.write(LOCK, _entry(run))


def _holder(store: OutStore) -> dict[str, Any]:
    """What the lock says; empty where there is none."""
    data = store.read(LOCK)
    if data is None:
        return {}
    try:
        return dict(json.loads(data))
    except (ValueError, TypeError):
        return {"run": "?", "host": "?"}


def _entry(run: str) -> bytes:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = {"run": run, "host": platform.node(), "machine": _machine(), "pid": os.getpid(), "time": now}
    return (json.dumps(entry) + "\n").encode()


@lru_cache(maxsize=1)
def _machine() -> str:
    """Where a process number means something: this machine since it was started, and its container."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{platform.node()} {uuid.getnode()}"
