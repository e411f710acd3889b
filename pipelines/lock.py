"""Lock on OUT: keeps two runs apart, lets the parts of one plan work side by side, and dies with its process."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..datasets.errors import TesseraError


def lock_name(part: tuple[int, int] | None) -> str:
    """File in `runs/` that holds the id of the run that may commit."""
    return "lock" if part is None else f"lock-{part[0]}-of-{part[1]}"


@contextmanager
def lock_out(out: Path, run: str, part: tuple[int, int] | None) -> Iterator[None]:
    """Hold OUT for this run: alone, or as one part of several.

    The kernel drops the lock with the process, so nothing is left to clean after a kill.

    Raises:
        TesseraError: another run holds it.
    """
    folder = out / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as whole, (folder / lock_name(part)).open("a+") as own:
        try:
            fcntl.flock(whole, (fcntl.LOCK_EX if part is None else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            if part is not None:
                fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            what = "another run" if part is None else f"another run, or another part {part[0]}/{part[1]},"
            raise TesseraError(f"{out}: {what} is writing here; wait for it, or use another --out") from error
        if part is not None:
            _write(whole, "parts")  # a worker that outlived a whole run must not find its own id there
        _write(own, run)
        yield


def _write(stream: TextIO, text: str) -> None:
    stream.seek(0)
    stream.truncate()
    stream.write(text)
    stream.flush()


@contextmanager
def lock_finish(out: Path) -> Iterator[None]:
    """Wait for, then hold, the right to write catalog and rejects: of parts that end together, the last sees all."""
    with (out / "runs" / "lock-finish").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def lock_commit(out: Path) -> Iterator[None]:
    """Hold the right to commit groups, as others may at the same time, but none while the shards are being listed."""
    with (out / "runs" / "lock-finish").open("a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield
