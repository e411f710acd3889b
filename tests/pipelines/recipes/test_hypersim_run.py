"""The same bytes from every way of running the Hypersim recipe, and the tools on what it wrote."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tessera.datasets import Dataset, verify

from .conftest import JOINT

OPTIONS = ("--size", "96x128", "--with", "intrinsic,semantic", "--shard-mb", "1")
LEAN = (*OPTIONS, "--without", "points,probes,octree_seen,scene")  # a fourth of the time


def tessera(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tessera", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check, cwd="/")


def hashes(out: Path) -> dict[str, str]:
    """sha256 of every file outside `runs/`."""
    files = [path for path in out.rglob("*") if path.is_file() and path.relative_to(out).parts[0] != "runs"]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def reference(faulty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "out"
    tessera("shards", "hypersim", "--raw", faulty, "--out", out, "--workers", 0, *OPTIONS)
    assert sum(name.endswith(".tar") for name in hashes(out)) >= 3
    return out


@pytest.fixture(scope="module")
def lean(faulty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lean") / "out"
    tessera("shards", "hypersim", "--raw", faulty, "--out", out, "--workers", 0, *LEAN)
    assert sum(name.endswith(".tar") for name in hashes(out)) >= 3
    return out


def test_ray_gives_the_same_bytes(faulty: Path, reference: Path, tmp_path: Path) -> None:
    tessera("shards", "hypersim", "--raw", faulty, "--out", tmp_path / "out", "--workers", 2, *OPTIONS)
    assert hashes(tmp_path / "out") == hashes(reference)


def test_one_worker_gives_the_same_bytes(faulty: Path, lean: Path, tmp_path: Path) -> None:
    tessera("shards", "hypersim", "--raw", faulty, "--out", tmp_path / "out", "--workers", 1, *LEAN)
    assert hashes(tmp_path / "out") == hashes(lean)


def test_parts_give_the_same_bytes(faulty: Path, lean: Path, tmp_path: Path) -> None:
    for part in ("2/3", "0/3", "1/3"):
        tessera("shards", "hypersim", "--raw", faulty, "--out", tmp_path / "out", "--part", part, *LEAN)
    assert hashes(tmp_path / "out") == hashes(lean)


def test_a_killed_and_resumed_run_gives_the_same_bytes(faulty: Path, lean: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["shards", "hypersim", "--raw", str(faulty), "--out", str(out), "--workers", "0", *LEAN]
    process = subprocess.Popen([sys.executable, "-m", "tessera", *arguments], stderr=subprocess.DEVNULL)
    for _ in range(600):  # until the first group is there
        if list(out.glob("*/frames-*.parquet")) or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "complete" not in (out / "dataset.json").read_text(), "killed too late for this test to mean anything"
    tessera(*arguments)
    assert hashes(out) == hashes(lean)
    assert "nothing to do" in tessera(*arguments).stdout


def test_plan_states_bytes_within_a_tenth(faulty: Path, reference: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = tessera("shards", "hypersim", "--raw", faulty, "--out", out, "--plan", *OPTIONS).stdout
    assert not out.exists()
    total = float(plan.split("records, ")[-1].split(" MB")[0])
    tars = sum(path.stat().st_size for path in reference.rglob("*.tar")) / 1e6
    assert abs(total / tars - 1) < 0.1
    for name in ("hdr", "distance", "normal", "octree_split", "albedo"):
        assert name in plan


def test_verify_info_and_show(reference: Path, tmp_path: Path) -> None:
    assert [problem for _, problems in verify(reference) for problem in problems] == []
    info = tessera("info", reference).stdout
    assert "complete" in info and "inflate" in info and "octree" in info
    key = next(Dataset(reference).table("frames").keys())
    tessera("show", reference, key, "--out", tmp_path)
    picture = np.asarray(Image.open(tmp_path / f"{key}.png"))
    assert picture.ndim == 3 and picture.std() > 20
    tessera("show", reference, "--out", tmp_path, "--count", 5)
    assert Image.open(tmp_path / "contact_sheet.png").size[0] > 256
    tessera("show", reference, key, "--html", "--out", tmp_path)
    assert "scatter3d" in (tmp_path / f"{key}.html").read_text()


def test_without_and_with_choose_labels(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tessera("shards", "hypersim", "--raw", demo, "--out", out, "--workers", 0, "--size", "96x128", "--limit", 4,
            "--without", f"hdr,octree,normal,{JOINT}")  # fmt: skip
    assert list(Dataset(out).catalog.tables) == ["frames"]
    frames = Dataset(out).table("frames")
    assert len(frames) == 4
    assert set(frames.schema.by_name) == {
        "intrinsics", "world_from_camera", "raw_cam_from_uv", "image", "tone_scale", "frame_tone_scale", "distance",
        "flags",
    }  # fmt: skip
    refused = tessera("shards", "hypersim", "--raw", demo, "--out", out, "--size", "96x128", "--limit", 4, check=False)
    assert refused.returncode == 1 and "another schema" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.slow
def test_make_needs_no_environment(demo: Path, tmp_path: Path) -> None:
    """As a user would: `make shards` with RAW and OUT, an environment that is nearly empty, and no terminal."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".venv" / ".installed").exists():
        pytest.skip("not installed by make")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    command = ["make", "shards", "DATASET=hypersim", f"RAW={demo}", f"OUT={tmp_path / 'out'}", "ARGS=--size 96x128"]
    subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    assert len(Dataset(tmp_path / "out").table("frames")) == 24
