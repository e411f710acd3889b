"""OUT on an object store, by any URL that fsspec knows and that puts whole objects: `s3://bucket/folder`."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from ..datasets.errors import TesseraError
from .raw_remote import TIMES, VERSIONS

WAITS = (1.0, 5.0, 20.0)  # seconds between attempts; the libraries below have made some of their own in each
FINAL = (FileNotFoundError, FileExistsError, PermissionError, ValueError)  # what no second attempt changes
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # of this machine's disk, not of the store
AT_ONCE = 2  # parts of one upload in memory, each of 50 MB
SECOND, MICROSECOND = 10**9, 10**3
Result = TypeVar("Result")


class OutError(TesseraError):
    """The store cannot be reached or refuses, which ends the run; nothing half-written has a final name."""


@dataclass(frozen=True)
class OutStore:
    """A folder of an object store. Names are POSIX paths relative to it.

    Attributes:
        url: of the folder, without a slash at its end.
        waits: seconds before each further attempt when the connection is lost.
    """

    url: str
    waits: tuple[float, ...] = field(default_factory=lambda: WAITS)

    def list(self, beginning: str = "") -> dict[str, tuple[int, int]]:
        """Size and stamp (see `stamp`) of every object whose name begins so; all where it is empty.

        Raises:
            OutError: there is no such bucket, or the store cannot be listed.
        """
        folder, slash, stem = beginning.rpartition("/")
        found = self._tried(lambda files, root: _find(files, f"{root}/{folder}".rstrip("/"), stem))
        return {f"{folder}{slash}{name}": (int(info["size"]), stamp(info)) for name, info in found.items()}

    def read(self, name: str) -> bytes | None:
        """Content of an object; None where there is none (or no bucket)."""
        try:
            return self._tried(lambda files, root: bytes(files.cat_file(f"{root}/{name}")), missing_ok=True)
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Put an object."""
        self._tried(lambda files, root: files.pipe_file(f"{root}/{name}", data))

    def create(self, name: str, data: bytes) -> None:
        """Put an object where there is none; nothing tells whether that was done, so read it back.

        Stores that do not know the condition refuse or overwrite.

        Raises:
            OutError: the store cannot be reached.
        """
        try:
            self._once(lambda files, root: files.pipe_file(f"{root}/{name}", data, mode="create"))
        except (OSError, NotImplementedError):  # the former is also what refusals are told as
            return
        except Exception as error:  # each store has kinds of its own
            raise self._error(error) from error

    def put(self, name: str, path: Path) -> None:
        """Put a file as an object: all of it or nothing."""
        self._tried(lambda files, root: files.put_file(str(path), f"{root}/{name}"))

    def get(self, names: Sequence[str], folder: Path) -> None:
        """Fetch objects into a folder, several at once."""
        local = [str(folder / name) for name in names]
        self._tried(lambda files, root: files.get([f"{root}/{name}" for name in names], local))

    def delete(self, name: str) -> None:
        """Delete an object; nothing happens where there is none."""
        with suppress(FileNotFoundError):
            self._tried(lambda files, root: files.rm_file(f"{root}/{name}"), missing_ok=True)

    def _once(self, work: Callable[[Any, str], Result]) -> Result:
        return work(*_filesystem(self.url, os.getpid()))

    def _tried(self, work: Callable[[Any, str], Result], missing_ok: bool = False) -> Result:
        """Do it, several times where the connection is lost.

        Raises:
            OutError: it cannot be done.
            OSError: the disk is full or cannot be written to.
            FileNotFoundError: with `missing_ok`.
        """
        for wait in (*self.waits, None):
            try:
                return self._once(work)
            except Exception as error:  # each store has kinds of its own
                if missing_ok and isinstance(error, FileNotFoundError):
                    raise
                if isinstance(error, OSError) and error.errno in DISK_FAULTS:
                    raise
                if wait is None or isinstance(error, FINAL) or "Credentials" in type(error).__name__:
                    raise self._error(error) from error
                time.sleep(wait)
        raise AssertionError  # the last wait is None

    def _error(self, error: Exception) -> OutError:
        line = (str(error).strip().splitlines() or [""])[0][:300]
        where = " (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)" if self.url.startswith("s3:") else ""
        return OutError(
            f"--out {self.url}: {type(error).__name__}: {line}; check the URL, the connection and the "
            f"credentials{where}; the same command goes on from here"
        )


@lru_cache(maxsize=8)
def _filesystem(url: str, process: int) -> tuple[Any, str]:
    """fsspec's object for a URL and the path in it; one for each process, for its connections survive no fork."""
    options = {"max_concurrency": AT_ONCE} if url.startswith("s3:") else {}
    files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
    return files, root.rstrip("/")


def _find(files: Any, folder: str, stem: str) -> dict[str, Mapping[str, Any]]:
    """What lies below a folder, by path in it. Not every library heeds `prefix`."""
    start = f"{folder}/"
    found = files.find(folder, detail=True, prefix=stem)
    below = {name.removeprefix(start): info for name, info in found.items() if name.startswith(start)}
    return {name: info for name, info in below.items() if name.startswith(stem) and info["type"] == "file"}


def stamp(info: Mapping[str, Any]) -> int:
    """An object's modification time in nanoseconds; below the second, which stores do not tell, a hash of its version.

    That is in whole microseconds, which a copy on disk can have as its time, too.

    Raises:
        OutError: the store tells no time of its objects.
    """
    when = next((info[name] for name in TIMES if info.get(name)), None)
    seconds = when.timestamp() if isinstance(when, datetime) else when
    if not isinstance(seconds, int | float):
        raise OutError(f"{info.get('name')}: the store tells no time of its objects, so that it cannot be an --out")
    version = "\0".join(str(info[name]) for name in VERSIONS if info.get(name))
    below = int.from_bytes(hashlib.sha256(version.encode()).digest()[:8]) % (SECOND // MICROSECOND)
    return int(seconds) * SECOND + below * MICROSECOND
