"""Files of a data set that may come from a stranger: ordinary ones, and no larger than they can be."""

import os
import stat
from pathlib import Path

from .errors import FormatError

LARGEST = 1 << 30  # bytes of a file that is read as a whole: a catalog, an index, a log


def regular(path: Path, most: int | None = LARGEST) -> Path:
    """`path`, where an ordinary file or nothing lies there.

    Args:
        path: a file.
        most: bytes that it may have (a sparse file costs its giver nothing); None where it is read piece by piece.

    Raises:
        FormatError: it is a pipe, which would be waited for, or a device, which would never end; or it is too large.
    """
    try:
        state = os.stat(path)
    except OSError:
        return path
    if not stat.S_ISREG(state.st_mode):
        raise FormatError(f"{path}: not a regular file; refused")
    if most is not None and state.st_size > most:
        raise FormatError(f"{path}: {state.st_size} bytes; refused: such a file has at most {most}")
    return path
