"""Where a run's OUT is: a local folder, or an object store with a mirror of it on this machine."""

import hashlib
import os
import re
from pathlib import Path

from ..datasets.errors import UsageError


def out_url(out: str | Path | None) -> str | None:
    """The URL where `--out` is one of an object store; None for a local folder, also one given as `file://`.

    Raises:
        UsageError: it is no URL that could be meant.
    """
    text = str(out or "")
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)", text)
    if match is None or match[1] == "file":
        return None
    if not match[2]:
        raise UsageError(f"--out {text}: write a URL with two slashes, such as s3://bucket/folder")
    return text.rstrip("/")


def out_folder(out: str | Path | None, recipe: str) -> Path:
    """The folder that a run works in: OUT, or its mirror where that is on an object store; `out/RECIPE` by default.

    Raises:
        UsageError: as `out_url`.
    """
    url = out_url(out)
    if url is not None:
        return mirror_folder(url)
    return Path(str(out).removeprefix("file://")) if out is not None else Path("out") / recipe


def mirror_folder(url: str) -> Path:
    """Where the mirror of a URL lies, below `$TESSERA_CACHE` (`~/.cache/tessera`); one for each server."""
    cache = Path(os.environ.get("TESSERA_CACHE") or Path.home() / ".cache" / "tessera")
    server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", url.partition("://")[2])[:60].strip("-.")
    return cache.absolute() / "out" / f"{readable}-{hashlib.sha256(f'{url} {server}'.encode()).hexdigest()[:12]}"
