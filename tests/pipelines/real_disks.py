"""Runs on file systems that fill up or cannot be written to; a script, started by test_disks.py as

    unshare --user --map-root-user --mount python real_disks.py RECIPE RAW FOLDER

in a namespace of its own, where it may mount what nobody else sees. Prints one JSON object: a list of what happened.
"""

import contextlib
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from tessera.cli import run


def call(name: str, raw: Path, out: Path, *options: str) -> tuple[int, list[str]]:
    """Exit status and error lines of one command."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = run(["shards", name, "--raw", str(raw), "--out", str(out), "--shard-mb", "1", *options])
    return status, said.getvalue().strip().splitlines()


def files(out: Path) -> dict[str, str]:
    """SHA-256 of every file outside `runs/`, and of temporary files anywhere."""
    paths = [path for path in out.rglob("*") if path.is_file()]
    kept = [path for path in paths if path.relative_to(out).parts[0] != "runs" or path.suffix == ".tmp"]
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def mount(out: Path, options: str) -> None:
    """Mount, or mount otherwise, a file system in memory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(out)], check=True)


def filled(name: str, raw: Path, out: Path, options: str, *arguments: str, promised: int = 1 << 40) -> dict[str, Any]:
    """A run on too small a disk that promises `promised` bytes, and the same again once it has grown."""
    mount(out, options)
    try:
        with mock.patch("shutil.disk_usage", lambda path: SimpleNamespace(free=promised)):
            status, said = call(name, raw, out, *arguments)
        left = files(out)
        mount(out, "remount,size=64m,nr_inodes=100000")
        again, _ = call(name, raw, out, *arguments)
        return {
            "out": str(out),
            "options": options,
            "status": status,
            "said": said,
            "left": left,
            "again": again,
            "end": files(out),
        }
    finally:
        subprocess.run(["umount", str(out)], check=True)


def read_only(name: str, raw: Path, out: Path) -> list[dict[str, Any]]:
    """A run into an empty OUT that cannot be written to, and into a finished one after a change."""
    found = []
    mount(out, "size=64m")
    for change in (False, True):
        if change:
            mount(out, "remount,rw")
            call(name, raw, out, "--workers", "0")
            (raw / "u02.txt").write_text("changed words here")
        before = files(out)
        mount(out, "remount,ro")
        for place in (out, out / "below"):
            status, said = call(name, raw, place, "--workers", "0")
            found.append({"status": status, "said": said, "same": files(out) == before})
    subprocess.run(["umount", str(out)], check=True)
    return found


def main() -> None:
    """Everything, on one folder."""
    name, raw, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    happened: dict[str, list[dict[str, Any]]] = {}
    sizes = [f"size={kilobytes}k" for kilobytes in range(8, 240, 4)] + [f"nr_inodes={n}" for n in range(3, 34)]
    happened["small"] = [filled(name, raw, out, "size=64m", "--workers", "0", promised=1 << 16)]
    happened["full"] = [filled(name, raw, out, options, "--workers", "0") for options in sizes]
    happened["workers"] = [filled(name, raw, out, "size=100k", "--workers", "2")]
    happened["read_only"] = read_only(name, raw, out)
    print(json.dumps(happened))


if __name__ == "__main__":
    main()
