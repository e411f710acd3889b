"""Commit of files: written under a temporary name with the run's id, flushed, renamed; all of it or nothing."""

import os
from pathlib import Path

TEMPORARY = ".tmp"


def temporary_name(path: Path, run: str) -> Path:
    """Where a run writes what will become `path`: hidden, beside it, named by the run."""
    return path.with_name(f".{path.name}.{run}{TEMPORARY}")


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries, so that renames survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, data: bytes, run: str) -> None:
    """Write `data` as `path`, atomically and durably; the old file stays until the new one is whole."""
    temporary = temporary_name(path, run)
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path, stem: str = "") -> int:
    """Delete temporary files of dead runs whose target's name begins with `stem`; the caller holds the lock."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return 0
    dead = [name for name in names if name.startswith(f".{stem}") and name.endswith(TEMPORARY)]
    for name in dead:
        (folder / name).unlink(missing_ok=True)
    return len(dead)
