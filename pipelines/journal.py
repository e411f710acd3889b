"""The log of one run in `runs/`: options, machine, git state, stage timings, retries, tracebacks."""

import json
import os
import platform
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from .. import __version__
from ..datasets.checkout import ask_git


def new_run() -> str:
    """A run's id: the time and a random part; nothing in the data set's own files depends on it."""
    return time.strftime("%Y%m%dT%H%M%S-") + os.urandom(4).hex()


def git_state() -> str:
    """Commit of the checkout that this code runs from, with `+` where it has changes; empty outside a checkout."""
    return ask_git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*").strip()


class Journal:
    """Appends events to `runs/RUN/log.jsonl`, one JSON object a line, flushed as they come."""

    def __init__(self, out: Path, run: str) -> None:
        self.path = out / "runs" / run / "log.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self.path.open("a")
        self.write("start", machine=platform.platform(), python=platform.python_version(), cpus=os.cpu_count(),
                   host=platform.node(), version=__version__, git=git_state())  # fmt: skip

    def write(self, event: str, **values: Any) -> None:
        """Append one event with the time."""
        self._stream.write(json.dumps({"event": event, "time": time.time(), **values}, default=str) + "\n")
        self._stream.flush()

    def __enter__(self) -> "Journal":
        """The journal itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; what ended the run before its time is written down."""
        with self._stream:
            if error is not None:
                self.write("failed", traceback="".join(traceback.format_exception(error)))


def read_journals(out: Path, event: str) -> list[dict[str, Any]]:
    """All events of one kind from all runs of a data set, oldest run first; lines that are none are passed over."""
    found = []
    for path in sorted(out.glob("runs/*/log.jsonl")):
        for line in path.read_text(errors="replace").splitlines():
            try:
                values = json.loads(line)
            except (ValueError, RecursionError):  # the line being written when the run was killed; a stranger's
                continue
            if isinstance(values, dict) and values.get("event") == event:
                found.append(values)
    return found
