"""Room on the disk, checked before a run starts."""

import shutil
from pathlib import Path

from ..datasets.errors import TesseraError

RESERVE = 1.1


def check_room(out: Path, needed: int) -> None:
    """Refuse to start a run that would fill the disk.

    Args:
        out: folder that will be written to.
        needed: bytes that the run is expected to add.

    Raises:
        TesseraError: with what is needed and what is free.
    """
    free = shutil.disk_usage(out).free
    if needed * RESERVE > free:
        raise TesseraError(
            f"{out}: about {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free; "
            "choose another --out, a smaller --size, or fewer labels (--without)"
        )
