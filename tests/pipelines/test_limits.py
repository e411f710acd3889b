"""Limits inside a worker: time, threads and the import path."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tessera.datasets.checkout import guard_import_path
from tessera.pipelines.limits import THREAD_VARIABLES, UnitTimeout, python_time_limit

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, cwd="/")


def test_python_time_limit_cuts_a_sleep_and_puts_the_handler_back() -> None:
    before = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    with pytest.raises(UnitTimeout, match=r"took longer than --unit-timeout 0\.1"), python_time_limit(0.1):
        time.sleep(30)
    assert time.monotonic() - start < 10
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_python_time_limit_leaves_no_alarm_behind() -> None:
    with python_time_limit(0.05):
        pass
    time.sleep(0.1)


@pytest.mark.parametrize("seconds", [0, 0.05])
def test_no_time_limit_at_zero_and_outside_the_main_thread(seconds: float) -> None:
    done = []

    def work() -> None:
        with python_time_limit(seconds):
            time.sleep(0.1)
        done.append(True)

    if seconds == 0:
        work()
    else:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert done == [True]


def test_process_time_limit_ends_native_code_and_leaves_the_traceback(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    done = python(
        "import ctypes, pathlib\n"
        "from tessera.pipelines.limits import process_time_limit\n"
        f"with process_time_limit(0.3, pathlib.Path({str(trace)!r})):\n"
        "    ctypes.PyDLL(None).sleep(60)\n",  # holds the interpreter lock all the while
        timeout=30,
    )
    assert done.returncode == 1
    assert "Timeout" in trace.read_text() and "<string>" in trace.read_text()


def test_process_time_limit_leaves_nothing_after_success(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    done = python(
        "import pathlib, time\n"
        "from tessera.pipelines.limits import process_time_limit\n"
        f"with process_time_limit(0.2, pathlib.Path({str(trace)!r})): pass\n"
        "time.sleep(0.4); print('alive')\n"
    )
    assert done.stdout.strip() == "alive" and not trace.exists()


def test_numerical_libraries_run_one_thread() -> None:
    done = python(
        "import os\n"
        "for name in list(os.environ):\n"
        "    if name.endswith('_NUM_THREADS'): del os.environ[name]\n"
        "import numpy, cv2\n"
        "from tessera.pipelines.limits import use_one_thread\n"
        "use_one_thread()\n"
        "from threadpoolctl import threadpool_info\n"
        "print(cv2.getNumThreads(), {pool['num_threads'] for pool in threadpool_info()})\n"
        f"print([os.environ[name] for name in {THREAD_VARIABLES!r}])\n"
    )
    assert done.stdout.splitlines() == ["1 {1}", str(["1"] * len(THREAD_VARIABLES))], done.stderr


def test_the_checkout_is_taken_off_the_import_path_however_it_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(ROOT)
    others = [str(tmp_path), str(ROOT / "tests")]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", ["", ".", str(ROOT), f"{ROOT}{os.sep}", str(link), *others])
    guard_import_path()
    assert sys.path == others
