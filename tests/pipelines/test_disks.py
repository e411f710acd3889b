"""Disks that are full, or cannot be written to: real ones, mounted in a namespace of the test's own."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tessera.datasets import TesseraError
from tessera.pipelines.status import StatusFile

from .conftest import Toy


def _namespace() -> str:
    """Why no file system can be mounted here; empty where it can."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return "there is no `unshare` here"
    command = [unshare, "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    done = subprocess.run(command, capture_output=True, text=True)
    return "" if done.returncode == 0 else f"nothing can be mounted here: {done.stderr.strip()}"


@pytest.fixture
def happened(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What real_disks.py tells."""
    if why := _namespace():
        pytest.skip(why)
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    toy.out.mkdir()
    script = str(Path(__file__).with_name("real_disks.py"))
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, script, "toy"]
    done = subprocess.run([*command, str(toy.raw), str(toy.out)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_full(disk: dict[str, Any], wanted: dict[str, str]) -> None:
    """One line that names OUT and the fault; whole shards or none, no temporary file; the same command ends it."""
    line = disk["said"][-1]  # after lines of progress, where it took long
    assert not [said for said in disk["said"][:-1] if not said.startswith("toy: ")]
    assert disk["status"] == 1 and line.startswith(f"tessera shards: --out {disk['out']}: OSError: [Errno 28] No space")
    assert line.endswith("goes on from here")
    assert {name: wanted[name] for name in disk["left"] if name != "dataset.json"} == {
        name: digest for name, digest in disk["left"].items() if name != "dataset.json"
    }, disk["options"]
    assert (disk["again"], disk["end"]) == (0, wanted), disk["options"]


@pytest.mark.slow
def test_full_and_read_only_disks(toy: Toy, happened: dict[str, Any]) -> None:
    toy.fill(12)
    wanted = toy.fresh(shard_mb=1)
    full = [disk for disk in happened["full"] if disk["status"]]
    assert len(full) > 70 and {len(disk["left"]) for disk in full} >= {0, 1, 4, 7, 11, 13}
    for disk in full + happened["workers"]:
        check_full(disk, wanted)
    (small,) = happened["small"]
    (line,) = small["said"]
    assert "about 5.7 MB needed, 0.1 MB free; choose another --out" in line and small["status"] == 1
    assert small["left"] == {} and (small["again"], small["end"]) == (0, wanted)
    assert len(happened["read_only"]) == 4
    for disk in happened["read_only"]:
        (line,) = disk["said"]
        assert disk["status"] == 1 and disk["same"] and "Read-only file system" in line


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_cannot_be_noted_of_a_unit_is_no_fault_of_the_unit(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, fault: int
) -> None:
    """Found here: for a moment there is no room to note that a raw file is opened, and the unit was left out."""
    toy.fill(3)
    with monkeypatch.context() as patch:
        patch.setattr(StatusFile, "opens", lambda *_: (_ for _ in ()).throw(OSError(fault, os.strerror(fault))))
        with pytest.raises(TesseraError, match=rf"--out .*{os.strerror(fault)}; the same command again goes on"):
            toy.run()
    assert not list(toy.out.rglob("*.tar")) and not list(toy.out.rglob("*.tmp"))
    assert toy.run().rejects == [] and toy.hashes() == toy.fresh()
