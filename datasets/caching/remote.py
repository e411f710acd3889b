"""Bytes of files below a URL, asked for again where the connection fails; any URL that fsspec knows."""

import asyncio
import gc
import re
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import fsspec

from ..errors import FormatError, StoreError, UsageError
from ..regular import LARGEST
from .counters import Counters

WAITS = (0.1, 0.3, 1.0, 3.0)  # seconds before each further attempt; fixed, so that a test can say what happens
AGAIN = (408, 425, 429)  # of the answers 4xx, those that ask for patience


class _Short(Exception):
    """Fewer bytes came than were asked for."""


class _Long(Exception):
    """More bytes came than were asked for."""


FINAL = (FileNotFoundError, PermissionError, ValueError, TypeError, NotImplementedError, _Long)  # the same once more


class Remote:
    """The folder that a URL names.

    It belongs to one process: fsspec's connections survive no fork.

    Args:
        url: of the folder.
        counters: where `requests`, `retries` and `bytes_fetched` are added.
        waits: seconds before each further attempt.

    Raises:
        UsageError: no library here knows such URLs, or it is a chain of them.
    """

    def __init__(self, url: str, counters: Counters, waits: tuple[float, ...] = WAITS) -> None:
        self.url = re.sub(r"//[^/@]*@", "//", url.rstrip("/"))  # as it is shown: without a password
        self._counters, self._waits = counters, waits
        self._closing = threading.Event()
        self._flying: set[asyncio.Task[Any]] = set()
        self._files: Any
        self._files, self._root = _filesystem(url, self.url)

    def read(self, name: str, start: int, size: int) -> bytes:
        """Bytes `start` to `start + size` of a file.

        Raises:
            FormatError: it is not there, or ends before.
            StoreError: the store cannot be reached or refuses.
        """

        def once() -> bytes:
            data = self._cat(name, start, start + size)
            if len(data) < size:
                raise _Short(f"{len(data)} of {size} bytes came from byte {start}; is the file whole?")
            if len(data) > size:
                raise _Long(f"{len(data)} bytes came where {size} were asked for")
            return data

        return self._tried(name, once)

    def whole(self, name: str) -> bytes:
        """Content of a file that is read as a whole, such as an index.

        Raises:
            FormatError, StoreError: as `read`; also where it is too large to be one.
        """
        data = self._tried(name, lambda: self._cat(name, 0, LARGEST))
        if len(data) >= LARGEST:
            raise FormatError(f"{self.url}/{name}: {LARGEST} bytes or more; refused: such a file has fewer")
        return data

    def cancel(self) -> None:
        """End waits and requests: what is on its way fails, and so does what is asked for from now on."""
        self._closing.set()
        for task in tuple(self._flying):
            task.get_loop().call_soon_threadsafe(task.cancel)  # whoever waits for it is told when it has ended

    def close(self) -> None:
        """End connections, after `cancel`."""
        self._files = None
        gc.collect()  # fsspec's objects are cycles, and close their connections when they are collected

    def _cat(self, name: str, start: int, end: int) -> bytes:
        path, data = f"{self._root}/{name}", b""
        if getattr(self._files, "async_impl", False):
            data = self._awaited(self._files._cat_file(path, start=start, end=end))
        else:
            data = self._files.cat_file(path, start=start, end=end)
        self._counters.add(bytes_fetched=len(data))
        return data

    def _awaited(self, request: Coroutine[Any, Any, bytes]) -> bytes:
        """What a request gives, unless `cancel` ends it: one that hangs would keep its thread for half a minute."""
        future = asyncio.run_coroutine_threadsafe(self._cancellable(request), self._files.loop)
        try:
            return future.result()
        finally:
            future.cancel()  # nobody waits for it any more where this was interrupted

    async def _cancellable(self, request: Coroutine[Any, Any, bytes]) -> bytes:
        task = asyncio.current_task()
        assert task is not None
        self._flying.add(task)
        try:
            if self._closing.is_set():  # before `cancel` could know of it
                task.cancel()
            return await request
        finally:
            self._flying.discard(task)

    def _tried(self, name: str, once: Callable[[], bytes]) -> bytes:
        for number, wait in enumerate((*self._waits, None), 1):
            if self._closing.is_set():
                raise self._closed(name)
            self._counters.add(requests=1)
            try:
                return once()
            except Exception as error:  # each store has kinds of its own
                if wait is None or _is_final(error) or self._closing.wait(wait):
                    raise self._named(name, number, error) from error
            self._counters.add(retries=1)
        raise AssertionError  # the last wait is None

    def _closed(self, name: str) -> StoreError:
        return StoreError(f"{self.url}/{name}: the stream was closed while it was read")

    def _named(self, name: str, attempts: int, error: Exception) -> FormatError:
        """The error in one line."""
        if self._closing.is_set():
            return self._closed(name)
        where, status = f"{self.url}/{name}", _status(error)
        line = f"{type(error).__name__.lstrip('_')}: {(str(error).strip().splitlines() or [''])[0][:300]}"
        tried = f"after {attempts} attempt{'s' if attempts > 1 else ''}"
        if isinstance(error, FileNotFoundError) or status == 404:
            return FormatError(f"{where}: is not there; check the URL, or copy the data set there as a whole")
        if isinstance(error, _Short) or status == 416:
            return FormatError(f"{where}: truncated, {tried} ({error}); copy it there again")
        if isinstance(error, _Long):
            return StoreError(f"{where}: {error}; the server knows no byte ranges, use another")
        keys = " (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...)" if self.url.startswith("s3:") else ""
        return StoreError(
            f"{where}: cannot be read {tried} ({line}); check the URL, the connection and the credentials{keys}"
        )


def _filesystem(url: str, shown: str) -> tuple[Any, str]:
    """fsspec's object for a URL, one of its own, and the path in it."""
    if "::" in url:
        raise UsageError(f"{shown}: a chain of URLs is not supported; name the folder itself")
    try:
        options = _options(url.partition(":")[0])
        files, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False, **options)
    except ImportError as error:
        hint = "pip install -e '.[s3]' in the checkout" if url.startswith("s3:") else "install what it names"
        raise UsageError(f"{shown}: {error}; {hint}") from error
    except ValueError as error:
        raise UsageError(f"{shown}: {error}; name a folder, or a URL such as s3://bucket/folder") from error
    if hasattr(files, "retries"):
        files.retries = 1  # s3fs: attempts within attempts would take minutes, and would be counted nowhere
    return files, root.rstrip("/")


def _options(protocol: str) -> dict[str, Any]:
    """One attempt a request, and waits that end; what the user's fsspec configuration says goes first."""
    configured = fsspec.config.conf.get(protocol, {})
    if protocol in ("s3", "s3a"):
        config = {"retries": {"total_max_attempts": 1}, "max_pool_connections": 32}
        return {"config_kwargs": config | configured.get("config_kwargs", {})}
    if protocol in ("http", "https"):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
        return {"client_kwargs": {"timeout": timeout} | configured.get("client_kwargs", {})}
    return {}


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error of s3fs, aiohttp or gcsfs tells of."""
    response = getattr(error.__cause__ or error, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _is_final(error: Exception) -> bool:
    status = _status(error)
    refused = status is not None and 400 <= status < 500 and status not in AGAIN
    return refused or isinstance(error, FINAL) or "Credentials" in type(error).__name__
