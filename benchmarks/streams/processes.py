"""What a process and all those that it started take: processor time and memory, from `/proc`."""

import os
import threading
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PERIOD = 0.05  # seconds between looks at the memory


def tree(root: int) -> list[int]:
    """A process and its descendants."""
    found, todo = [], [root]
    while todo:
        process = todo.pop()
        found.append(process)
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            todo += [int(child) for child in _read(task).split()]
    return found


def processor_seconds(root: int) -> float:
    """User and system time of the tree, those of its processes that have ended included."""
    total = 0
    for process in tree(root):
        fields = _read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
        total += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return total / TICK


def memory(root: int) -> tuple[int, int]:
    """Bytes of the tree: proportional set size, and the part of it that is no file's (the page cache's)."""
    total = private = 0
    for process in tree(root):
        sizes = {line.split(":")[0]: line.split() for line in _read(Path(f"/proc/{process}/smaps_rollup")).splitlines()}
        total += int(sizes["Pss"][1]) if "Pss" in sizes else 0
        private += sum(int(sizes[name][1]) for name in ("Pss_Anon", "Pss_Shmem") if name in sizes)
    return total << 10, private << 10


class MemoryPeak:
    """Looks at a tree's memory every 50 ms, in a thread, while the context is open; then `total` and `private`."""

    def __init__(self, root: int) -> None:
        self.total = self.private = 0
        self._root, self._end = root, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "MemoryPeak":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(PERIOD):
            total, private = memory(self._root)
            self.total, self.private = max(self.total, total), max(self.private, private)


def _read(path: Path) -> str:
    """A file's text; empty where the process is gone."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
