"""The folder where indexes of strangers' tars lie; it may come with the tars, and only what is ours is touched."""

import errno
import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from ..commit import write_file
from ..errors import FormatError
from .folder import mark_of

FOLDER = ".tessera-index"
LOCK = "lock"
SCANS = "scans"
STATE = "index.json"
KEPT = 2  # states of a folder: readers of the one before this go on
MARK = re.compile(r"[0-9a-f]{32}")  # `mark_of`
SCAN = re.compile(r"[0-9a-f]{32}\.parquet")
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
ADVICE = "delete it, or name another folder with --index-dir"
A_FILE, A_FOLDER, A_LINK, ODD = "a file", "a folder", "a symbolic link", "neither a file nor a folder"


def index_folders(folder: Path, chosen: Path | None) -> list[Path]:
    """Where indexes may lie: below the chosen folder, or else in the data set's folder, or in the user's cache.

    A folder that the user names may hold anything, such as the indexes of other data sets: this one has a folder of
    its own there, named by its path.
    """
    own = mark_of([str(folder.resolve())])
    if chosen is not None:
        return [chosen / own]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return [folder / FOLDER, cache / "tessera" / "index" / own]


def refuse_planted(place: Path, state: str, splits: Iterable[str]) -> None:
    """Refuse a place in which a link, or anything else, lies where a folder or the lock should.

    Through a link, files would be written and deleted in whatever folder a stranger has thought of. Links in place of
    files are no danger: see `put`. A file in place of all is none, either: the next place is taken (`writable`).

    Raises:
        FormatError: with the path, and what to do.
    """
    _refuse_unless(place, A_FOLDER, A_FILE)
    for path in (place / SCANS, place / state, *(place / state / split for split in splits)):
        _refuse_unless(path, A_FOLDER)
    _refuse_unless(place / LOCK, A_FILE)


def writable(folders: list[Path]) -> Path:
    """The first folder that can be written to, made where it is not there.

    Raises:
        FormatError: none can.
    """
    reasons = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror}")
            continue
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
        reasons.append(f"{folder}: read-only")
    raise FormatError(f"no place for the index ({'; '.join(reasons)}); name a folder with --index-dir")


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """One process at a time builds in a place; others wait, and then find it done.

    Raises:
        FormatError: the lock cannot be opened.
    """
    with _open_lock(place / LOCK) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            # a file system without locks: two then do the same work, and every file is renamed into its place whole
            if error.errno not in NO_LOCKS:
                raise
        try:
            yield
        finally:
            with suppress(OSError):  # a process forked meanwhile has the file open, too: closing it would free nothing
                fcntl.flock(stream, fcntl.LOCK_UN)


def kept(path: Path) -> bool:
    """Whether a file of the index is there; a link or a pipe is as good as none, and is not followed or waited for."""
    return _kind(path) == A_FILE


def put(path: Path, data: bytes, run: str) -> None:
    """Commit a file of the index, by renaming: a link or a pipe in its place is replaced, and not written through.

    Raises:
        FormatError: a folder is in its place.
    """
    _refuse_unless(path, A_FILE, A_LINK, ODD)
    write_file(path, data, run)


def sweep(place: Path, state: str, scans: set[str]) -> None:
    """Delete scans of tars that are gone, and states but this one and the last before it.

    Only what bears a name that we give, and is no link, is deleted: the place may be a stranger's.

    Args:
        place: the index's folder.
        state: name of the state that was just made. It stays whatever the times of others say.
        scans: names of the scans that stay.
    """
    for name in _names(place / SCANS):
        path = place / SCANS / name
        if SCAN.fullmatch(name) and name not in scans and kept(path):
            path.unlink(missing_ok=True)
    others = [place / name for name in _names(place) if MARK.fullmatch(name) and name != state]
    made = [(time, path) for path in others if (time := _made(path)) is not None]
    for _, path in sorted(made, reverse=True)[KEPT - 1 :]:
        shutil.rmtree(path, ignore_errors=True)  # links in it go, what they lead to stays


def _made(state: Path) -> int | None:
    """When a state was made; None where this is none."""
    try:
        return (state / STATE).lstat().st_mtime_ns if _kind(state) == A_FOLDER and kept(state / STATE) else None
    except OSError:  # where there are no locks, another process may have deleted it
        return None


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if _kind(folder) == A_FOLDER else []


def _kind(path: Path) -> str | None:
    """What lies there, links not followed; None where nothing does, or none that can be looked at."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    kinds = {stat.S_IFREG: A_FILE, stat.S_IFDIR: A_FOLDER, stat.S_IFLNK: A_LINK}
    return kinds.get(stat.S_IFMT(mode), ODD)


def _refuse_unless(path: Path, *wanted: str) -> None:
    found = _kind(path)
    if found is not None and found not in wanted:
        raise FormatError(f"{path}: {found}, where the index has {wanted[0]} of its own; {ADVICE}")


def _open_lock(path: Path) -> TextIO:
    """The lock's file, made where it is not there; whatever lies there by now, no link is followed, no pipe waited for.

    Raises:
        FormatError: it cannot be opened.
    """
    try:
        return open(path, "a", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666))
    except OSError as error:
        raise FormatError(f"{path}: cannot be opened ({error.strerror}); {ADVICE}") from error
