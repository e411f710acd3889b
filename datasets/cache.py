"""Data sets on an object store, opened by any URL that fsspec knows: `s3://bucket/folder`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from .caching.files import CachedFiles
from .caching.parts import CACHE_BYTES, CacheOptions
from .catalog import Catalog
from .errors import FormatError


def open_remote(
    url: str, cache_dir: str | Path | None = None, cache_bytes: int = CACHE_BYTES, **options: Any
) -> tuple[Catalog, CachedFiles]:
    """Catalog and files of a data set at a URL. Labels that are still being added to it are left out.

    Args:
        url: of the data set's folder.
        cache_dir: the cache folder, whose parent must be there; `tessera` in `XDG_CACHE_HOME` or `~/.cache` by default.
        cache_bytes: bytes that the folder may hold; data sets and processes share them.
        options: further ones of `CacheOptions`: chunk, waits, threads.

    Raises:
        FormatError: there is no data set, it is damaged, newer than this code, or not complete.
        UsageError: the cache folder cannot be written to, or no library here knows such URLs.
    """
    files = CachedFiles(url, cache_folder(cache_dir), CacheOptions(cache_bytes, **options))
    try:
        return _read(*files.catalog()), files
    except BaseException:
        files.close()
        raise


def cache_folder(cache_dir: str | Path | None) -> Path:
    """The cache folder that is meant, as an absolute path; only the default one's parents are made."""
    if cache_dir is not None:
        return Path(cache_dir).absolute()
    above = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    above.mkdir(parents=True, exist_ok=True)
    return above / "tessera"


def _read(path: Path, url: str) -> Catalog:
    """The catalog in a cached `dataset.json`; its shards are those that it lists, since a store is not searched."""
    try:
        catalog = Catalog.read(path.parent, scan=False)
    except FormatError as error:
        raise FormatError(str(error).replace(str(path), url)) from error
    if catalog.state != "complete":
        raise FormatError(f"{url}: this data set is still being built; wait until `tessera shards` has ended")
    return replace(catalog, sidecars={name: x for name, x in catalog.sidecars.items() if x.state == "complete"})
