"""Raw files on an object store, by any URL that fsspec knows: `s3://bucket/folder`."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import fsspec

from ..datasets.errors import TesseraError, UsageError
from .raw_store import State, StoreError

TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
VERSIONS = ("ETag", "etag", "md5Hash", "generation", "content_md5")
SECOND = 10**9


@dataclass(frozen=True)
class RemoteStore:
    """A folder of an object store.

    What was listed once is not listed again while a run lasts: each process of a run sees its files at one moment.

    Attributes:
        url: of the folder, without a slash at its end.
        run: a name of the run's own, so that the next run looks again.
    """

    url: str
    run: str

    def __str__(self) -> str:
        """The folder's URL."""
        return self.url

    def locate(self, path: str) -> str:
        """The URL of a file; nothing leads out of a store's folder."""
        return f"{self.url}/{path}".removesuffix("/")

    def state(self, path: str) -> State | None:
        """State of a path, from the listings of the folders above it.

        Raises:
            StoreError: the store cannot be reached or refuses.
        """
        folder, _, name = path.rpartition("/")
        if not path:
            return State(0, 0, "folder") if self._listing("") else None
        if folder:
            above = self.state(folder)
            if above is None or above.kind != "folder":
                return None
        return self._listing(folder).get(name)

    def entries(self, folder: str) -> Mapping[str, bool]:
        """Names in a folder, and whether each is a folder.

        Raises:
            StoreError: as `state`.
        """
        above = self.state(folder)
        listing = self._listing(folder) if above is not None and above.kind == "folder" else {}
        return {name: state.kind == "folder" for name, state in listing.items()}

    def read(self, path: str, start: int = 0, size: int | None = None) -> bytes:
        """Content of a file or of a part of it; only that part is fetched.

        Raises:
            FileNotFoundError: it is not there any more.
            StoreError: as `state`.
        """
        files, root = _filesystem(self.url, self.run, os.getpid())
        with _named(self.locate(path)):
            if size is None:
                return bytes(files.cat_file(f"{root}/{path}"))
            return bytes(files.cat_file(f"{root}/{path}", start=start, end=start + size)) if size else b""

    def _listing(self, folder: str) -> Mapping[str, State]:
        return _listing(self, folder, os.getpid())


def open_remote(url: str) -> RemoteStore:
    """The store that a URL names.

    Raises:
        UsageError: no library here knows such URLs, or it is a chain of them.
    """
    store = RemoteStore(url.rstrip("/"), os.urandom(8).hex())
    if "::" in url:
        raise UsageError(f"{url}: a chain of URLs is not supported; name the folder itself")
    _filesystem(store.url, store.run, os.getpid())
    return store


@lru_cache(maxsize=4)
def _filesystem(url: str, run: str, process: int) -> tuple[Any, str]:
    """fsspec's object for a URL and the path in it; one for each process, for its connections survive no fork."""
    with _named(url):
        try:
            files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
        except ImportError as error:
            raise UsageError(f"{url}: {error}; for s3:// do pip install -e '.[s3]' in the checkout") from error
        except ValueError as error:
            raise UsageError(f"{url}: {error}; name a local folder or a URL such as s3://bucket/folder") from error
    return files, root.rstrip("/")


@lru_cache(maxsize=512)
def _listing(store: RemoteStore, folder: str, process: int) -> Mapping[str, State]:
    """States of what lies in a folder, by name; names that would be no path are passed over."""
    files, root = _filesystem(store.url, store.run, process)
    key = f"{root}/{folder}".rstrip("/")
    try:
        with _named(store.locate(folder)):
            found = files.ls(key, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    states: dict[str, State] = {}
    for info in found:
        above, _, name = str(info["name"]).rstrip("/").rpartition("/")
        if above.strip("/") != key.strip("/") or name in ("", ".", "..") or not name.isprintable() or "\\" in name:
            continue
        if info["type"] == "directory":
            states[name] = State(0, 0, "folder")
        elif name not in states:
            states[name] = State(int(info.get("size") or 0), _stamp(info, store.run), "file")
    return states


def _stamp(info: Mapping[str, Any], run: str) -> int:
    """A file's time of modification; below the second, which stores do not tell, a hash of its version.

    Where a store tells neither, each run has a stamp of its own, so that contents are compared.
    """
    time = next((info[name] for name in TIMES if info.get(name)), None)
    versions = [str(info[name]) for name in VERSIONS if info.get(name)]
    known = [str(time), *versions] if time is not None or versions else [run]
    seconds = time.timestamp() if isinstance(time, datetime) else time if isinstance(time, int | float) else 0
    return int(seconds) * SECOND + int.from_bytes(hashlib.sha256("\0".join(known).encode()).digest()[:8]) % SECOND


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Errors of a store in one line that names the URL.

    Raises:
        StoreError: for all but a file that is not there.
    """
    try:
        yield
    except (TesseraError, FileNotFoundError, NotADirectoryError):
        raise
    except Exception as error:  # each store has kinds of its own
        line = (str(error).strip().splitlines() or [""])[0][:300]
        where = " (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)" if url.startswith("s3:") else ""
        raise StoreError(
            f"{url}: the store cannot be read ({type(error).__name__}: {line}); "
            f"check the URL, the connection and the credentials{where}"
        ) from error
