"""How a worker process died, told from what it left behind."""

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

FATAL = "Fatal Python error: "


@contextmanager
def fault_trace(path: Path) -> Iterator[None]:
    """Leave the signal's name and all threads' tracebacks in `path` when native code crashes; else nothing is left.

    Nothing can be left by a process that is killed, or that ends itself by `_exit`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        faulthandler.enable(stream)
        try:
            yield
        finally:
            faulthandler.enable(all_threads=False)  # as Ray has it
    path.unlink(missing_ok=True)


def cause_of_death(error: Exception, trace: Path) -> str:
    """Why a worker died, from Ray's error and the file of `fault_trace`; the same words on every machine."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its worker process was killed for lack of memory"
    if isinstance(error, ray.exceptions.NodeDiedError):
        return "its node died"
    lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
    if lines and lines[0].startswith(FATAL):
        return f"its worker process crashed: {lines[0].removeprefix(FATAL)}"
    return "its worker process was killed (was the memory full?) or ended itself"
