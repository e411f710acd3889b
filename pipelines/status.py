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
    """Writer of one group's standing. A memory map costs a microsecond an update and survives SIGKILL."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(SIZE))
        with path.open("r+b") as stream:
            self._map = mmap.mmap(stream.fileno(), SIZE)
        self.standing = Standing()

    def set(self, **changes: str | int) -> None:
        """Change and publish the standing."""
        for name, value in changes.items():
            setattr(self.standing, name, value)
        text = json.dumps(vars(self.standing)).encode()[:SIZE]
        self._map[:SIZE] = text.ljust(SIZE, b"\0")

    def close(self) -> None:
        """Unmap the file; it stays on disk."""
        self._map.close()


def read_standing(path: Path) -> Standing:
    """The last standing that a worker published; an empty one where it published none (or was torn in a write)."""
    try:
        return Standing(**json.loads(path.read_bytes().rstrip(b"\0")))
    except (FileNotFoundError, ValueError, TypeError):
        return Standing()
