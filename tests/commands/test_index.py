"""`tessera index`: what is found, what is left out and why, and what to do next."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tessera.datasets
import webdataset
from tessera.cli import run


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for split in ("train", "val"):
        with webdataset.TarWriter(str(folder / f"{split}-000.tar")) as writer:
            for i in range(3):
                values = {"points.npy": np.zeros((i + 2, 3), np.float32), "cls": i}
                extra = {"x.pyd": {"a": 1}} if split == "val" else {"t.txt": "text"}
                writer.write({"__key__": f"{split}{i}", **values, **extra})
    return folder


def test_the_report_shows_fields_and_what_is_left_out(tars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["index", str(tars)]) == 0
    said = capsys.readouterr().out
    assert f"{tars}: 2 tars, 0.0 MiB, 6 records (train 3, val 3)" in said
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in said.splitlines() if line[:1] in "│┃"]
    assert ["points", "points.npy", "float32", "(points_length, 3)", "npy", "6"] in rows
    assert ["t", "t.txt", "json", "()", "text", "3"] in rows and ["cls", "cls", "int64", "()", "cls", "6"] in rows
    assert ["x.pyd", "a pickle, which could run code: never read", "3", "val-000.tar, val0"] in rows
    assert f"Stream('{tars}'" in said
    assert run(["index", str(tars)]) == 0 and capsys.readouterr().out == said


def test_the_index_lies_where_it_is_told_to(tars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["index", str(tars), "--index-dir", str(tmp_path / "own"), "--threads", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"indexes: {tmp_path / 'own'}" in said
    line = said.partition("next, in Python: ")[2]
    assert len(list(eval(line, {"tessera": tessera}))) > 0, "the line that it prints finds them"
    assert sorted(path.name for path in tars.iterdir()) == ["train-000.tar", "val-000.tar"]


def test_errors_are_one_line_with_the_tar(tars: Path, tmp_path: Path) -> None:
    whole = (tars / "val-000.tar").read_bytes()
    (tars / "val-000.tar").write_bytes(whole[:2000])
    for arguments, status, said in (
        ([tars], 1, f"tessera index: {tars}/val-000.tar: truncated: the file ends at byte 2000 inside member"),
        ([tmp_path / "no"], 1, f"tessera index: {tmp_path}/no: cannot be read"),
        ([tars, "--threads", "0"], 2, "tessera index: --threads 0: at least one is needed"),
    ):
        command = [sys.executable, "-m", "tessera", "index", *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status and done.stderr.startswith(said), done.stderr
        assert done.stderr.count("\n") == 1 and done.stdout == ""
