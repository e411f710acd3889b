"""`tessera stream`: what it prints, and how it refuses."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tessera.cli import run
from tessera.datasets import Catalog, Field, Schema, ShardWriter
from tessera.datasets.catalog import scan_shards

SCHEMA = Schema((Field("points", "float32", ("n", 3), "npy"), Field("sdf", "float16", ("n",), "npy")), {"n": None})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stream") / "set"
    for group in range(2):
        with ShardWriter(root / "train", "shapes", "train", group, SCHEMA, run="run") as writer:
            writer.begin(f"u{group}")
            for number in range(10):
                values = {"points": np.ones((50, 3), np.float32), "sdf": np.ones(50, np.float16)}
                writer.add(f"u{group}-{number:04d}", values, {})
            writer.commit({f"u{group}": "f"}, [], {})
    blank = Catalog("shapes", "x", "building", {}, {}, {}, 1, {"train": 2}, 1 << 30, {"shapes": SCHEMA}, "0.1")
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "run")
    return root


def said(capfd: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = run(["stream", *map(str, arguments)])
    except SystemExit as stop:
        status = int(stop.code or 0)
    shown = capfd.readouterr()
    return status, shown.out, shown.err


def test_rates_batches_and_costs_are_shown(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, err = said(capfd, whole, "--fields", "points, sdf", "--batch", 4, "--sample", "points=10")
    assert (status, err) == (0, "")
    assert re.search(r"first batch after \d+\.\d\d s", out)
    assert re.search(r"points +\S* *float32 +\S* *4 x 10 x 3 ", out)
    assert re.search(r"sdf +\S* *float16 +\S* *4 x 10 ", out)
    assert len(re.findall(r"epoch [01]: 5 steps, 20 records, \d+ records/s, \d+ MB/s", out)) == 2
    assert re.search(r"(?m)^\W*(points|sdf|index)\W+[\d.]+\W+\d+%", out)


def test_all_fields_one_epoch_no_threads(whole: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capfd, whole, "--epochs", 1, "--threads", 0, "--order", "sequential", "--split", "train")
    assert status == 0 and "epoch 0: 3 steps, 24 records" in out and "epoch 1" not in out and "points.offsets" in out


@pytest.mark.parametrize("arguments, says", [
    (["--fields", "normal"], "no 'normal'"), (["--batch", "0"], "batch_size 0"),
    (["--sample", "points"], "NAME=NUMBER"),
    (["--sample", "points=0"], "no number of elements"), (["--sample", "points=-3"], "NAME=NUMBER"),
    (["--sample", "points=²"], "NAME=NUMBER"), (["--sample", "points=9,sdf=9"], "drawn from twice"),
    (["--sample", "colour=9"], "no field or dimension 'colour'"), (["--table", "frames"], "no table 'frames'"),
    (["--threads", "-1"], "threads -1"), (["--fields", "subject.points"], "no reference 'subject'"),
    (["--epochs", "0"], "--epochs 0"), (["--seconds", "nan"], "--seconds nan"),
    (["--split", "test"], "no split 'test'"),
])  # fmt: skip
def test_bad_arguments_are_one_line(
    whole: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    status, _, err = said(capfd, whole, *arguments)
    assert status in (1, 2) if "split" in says else status == 2
    assert err.startswith("tessera stream: ") and says in err and err.count("\n") == 1


def test_unknown_options_and_no_folder(whole: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in ([], [whole, "--nothing"], [whole, "--order", "none"], [whole, "--batch", "x"]):
        status, _, err = said(capfd, *arguments)
        assert status == 2 and "Traceback" not in err
    status, _, err = said(capfd, tmp_path / "gone")
    assert status == 1 and err.count("\n") == 1 and "there is no such folder" in err


@pytest.mark.parametrize("name", ["set", "[/x]", "[red]"])
def test_a_damaged_set_fails_or_is_skipped(
    whole: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    shutil.copytree(whole, tmp_path / name)
    os.truncate(tmp_path / name / "train" / "shapes-000001.tar", 700)
    status, _, err = said(capfd, tmp_path / name, "--batch", 3)
    assert status == 1 and err.count("\n") == 1 and "shapes-000001.tar, record u1-000" in err and "truncated" in err
    status, out, err = said(capfd, tmp_path / name, "--batch", 3, "--on-error", "skip", "--epochs", 1)
    assert status == 0 and out.count("skipped: ") == 10 and f"{name}/train/shapes-000001.tar" in out.replace("\n", "")
