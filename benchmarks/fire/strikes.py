"""Ways to kill a run: the command alone, one of its Ray workers, or everything that it has started."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil
from numpy.random import Generator

Run = subprocess.Popen[bytes]
Strike = Callable[[Run, Generator], bool]
BUSY = "ray::_worker"  # title of a Ray worker that builds a group


def kill_driver(run: Run, rng: Generator) -> bool:
    """Kill the command itself; False where it was over."""
    alive = run.poll() is None
    run.kill()
    run.wait()
    return alive


def kill_session(run: Run, rng: Generator) -> bool:
    """Kill the command and all processes that it has started; False where it was over."""
    alive = run.poll() is None
    for one in session({run.pid}):
        kill(one)
    run.wait()
    return alive


def kill_worker(run: Run, rng: Generator) -> bool:
    """Kill one of the Ray workers that is building a group, as soon as there is one; False where none was found."""
    while run.poll() is None:
        workers = [one for one in session({run.pid}) if _title(one).startswith(BUSY)]
        if workers:
            return kill(workers[int(rng.integers(len(workers)))])
        time.sleep(0.01)
    return False


def session(leaders: set[int]) -> list[psutil.Process]:
    """Living processes of the sessions that these processes lead, or led."""
    found = []
    for one in psutil.process_iter():
        try:
            if os.getsid(one.pid) in leaders and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return found


def end_survivors(leaders: set[int], patience: float, title: str = "") -> int:
    """Wait for all processes of these sessions to end by themselves; returns how many did not, and are ended.

    With `title`, only those whose title begins so are waited for, and counted; the others are ended at once after them.
    """
    deadline = time.monotonic() + patience
    while (left := [one for one in session(leaders) if _title(one).startswith(title)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for one in session(leaders):
        kill(one)
    return len(left)


def kill(process: psutil.Process) -> bool:
    """Send SIGKILL; False where the process was gone."""
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return False
    return True


def _title(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""
