"""Where a worker stands, in a small file that outlives it: a crash or a hang is laid to the right unit."""

import json
import mmap
from dataclasses import dataclass
from pathlib import Path

SIZE = 1024


@dataclass
class Standing:
    """What a worker is doing; `settled` counts its group's planned records that are written or left out so far."""

    unit: str = ""
    key: str = ""
    stage: str = ""
    settled: int = 0
    rejects: int = 0


class StatusFile:
    """Writer of one group's standing. A memory map costs a microsecond an update and survives SIGKILL.

    The raw files that the unit has opened stand beside it, one a line, as JSON: a name may hold a line break.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SIZE))
        with path.open("r+b") as stream:
            self._map = mmap.mmap(stream.fileno(), SIZE)
        self._opened = opened_path(path).open("w", buffering=1)
        self.standing = Standing()

    def set(self, **changes: str | int) -> None:
        """Change and publish the standing; another unit has opened no file yet."""
        if changes.get("unit", self.standing.unit) != self.standing.unit:
            self._opened.seek(0)
            self._opened.truncate()
        for name, value in changes.items():
            setattr(self.standing, name, value)
        text = json.dumps(vars(self.standing)).encode()[:SIZE]
        self._map[:SIZE] = text.ljust(SIZE, b"\0")

    def opens(self, path: str) -> None:
        """Note that the unit is about to read a raw file."""
        self._opened.write(f"{json.dumps(path)}\n")

    def close(self) -> None:
        """Unmap and close the files; they stay on disk."""
        self._map.close()
        self._opened.close()


def opened_path(status: Path) -> Path:
    """Where the raw files are noted that the unit of a standing has opened."""
    return status.with_suffix(".opened")


def read_opened(status: Path) -> tuple[str, ...]:
    """Raw files that the unit of a standing had opened; empty where none were noted."""
    try:
        *lines, _ = opened_path(status).read_text().split("\n")  # what follows the last line break was torn
    except FileNotFoundError:
        return ()
    return tuple(dict.fromkeys(json.loads(line) for line in lines))


def read_standing(path: Path) -> Standing:
    """The last standing that a worker published; an empty one where it published none (or was torn in a write)."""
    try:
        return Standing(**json.loads(path.read_bytes().rstrip(b"\0")))
    except (FileNotFoundError, ValueError, TypeError):
        return Standing()
