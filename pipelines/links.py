"""Symbolic links in OUT, which may be a stranger's data set: a run writes nowhere else."""

from collections.abc import Iterable
from pathlib import Path

from ..datasets.errors import UsageError


def refuse_links(out: Path, splits: Iterable[str]) -> None:
    """Refuse an OUT in which a folder or lock that a run writes to is a symbolic link; OUT itself may be one.

    Other files are no danger: they are replaced by renaming, which does not follow links.

    Raises:
        UsageError: with the link.
    """
    runs = out / "runs"
    for path in (*(out / split for split in splits), out / "assets", runs, runs / "notes", *sorted(runs.glob("lock*"))):
        if path.is_symlink():
            raise UsageError(
                f"{path}: a symbolic link, and a run writes nowhere but in --out; put the folder itself there, or "
                "make --out as a whole a link"
            )
