"""Room on the disk, checked before a run starts."""

import shutil
from pathlib import Path

from ..datasets.errors import TesseraError

RESERVE = 1.1


def check_room(out: Path, needed: int, advice: str = "") -> None:
    """Refuse to start a run that would fill the disk.

    Args:
        out: folder that will be written to.
        needed: bytes that the run is expected to add.
        advice: what to do where that is too much, if not to choose another OUT.

    Raises:
        TesseraError: with what is needed and what is free.
    """
    free = shutil.disk_usage(out).free
    if needed * RESERVE > free:
        raise TesseraError(
            f"{out}: about {_readable(needed)} needed, {_readable(free)} free; "
            + (advice or "choose another --out, a smaller --size, or fewer labels (--without)")
        )


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
