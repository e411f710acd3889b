"""OUT, where it is a stranger's data set: nothing outside it is touched, whatever links, notes and logs it holds."""

import json
import os
import shutil
from pathlib import Path

import pytest
from tessera.cli import run
from tessera.datasets import UsageError

from .conftest import Toy
from .test_hostile import is_plain, snapshot


def evil_out(toy: Toy, name: str, target: Path) -> None:
    """A finished data set, one of whose folders or files was replaced by a link to `target`."""
    toy.run()
    path = toy.out / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["train", "val", "runs", "runs/notes", "runs/lock", "runs/lock-finish"])
@pytest.mark.parametrize("there", [True, False])
def test_links_in_out_are_not_written_through(toy: Toy, name: str, there: bool) -> None:
    """Found here: a link in place of runs/lock emptied the file that it led to."""
    toy.fill(11, 2)
    precious = toy.root / "precious"
    folder = "lock" not in name
    if there and folder:
        precious.mkdir()
        (precious / "numbers-000000.tar").write_text("mine")
    elif there:
        precious.write_text("mine")
    evil_out(toy, name, precious)
    toy.unit("u01", "changed words")
    before = snapshot(toy.root, toy.out)
    with pytest.raises(UsageError, match=rf"out/{name}: a symbolic link, and a run writes nowhere but in --out"):
        toy.run()
    assert snapshot(toy.root, toy.out) == before


@pytest.mark.parametrize("name", ["dataset.json", "rejects.parquet", "train/numbers-000000.tar",
                                  "train/numbers-000000.parquet", "runs/notes/train-000000.json"])  # fmt: skip
def test_links_in_place_of_files_are_replaced_and_not_followed(toy: Toy, name: str) -> None:
    toy.fill(3)
    toy.run()
    precious = toy.root / "precious"
    precious.write_bytes((toy.out / name).read_bytes())
    evil_out(toy, name, precious)
    toy.unit("u01", "changed words")
    before = snapshot(toy.root, toy.out)
    toy.run()
    assert snapshot(toy.root, toy.out) == before and toy.hashes() == toy.fresh()
    assert (toy.out / name).is_symlink() == (name == "rejects.parquet")  # says the same as before: not written


def test_out_as_a_whole_may_be_a_link(toy: Toy) -> None:
    toy.fill(2)
    (toy.root / "disk").mkdir()
    toy.out.symlink_to(toy.root / "disk")
    assert toy.run().complete and toy.hashes() == toy.fresh()


@pytest.mark.parametrize(
    "line", ["[]", "3", "null", '"x"', '{"event": [1]}', "{}", "[" * 100_000, '{"event": "group"}', "\udcff\udcff",
             '{"event": "group", "stages": {"x": "y"}, "records": 1, "reused": 0, "retries": 0}',
             '{"event": "group", "stages": {"\\u001b[2J[/x]": 1.0}, "records": 1, "reused": 0, "retries": 0}',
             '{"event": "group", "stages": 3, "records": "x", "reused": 0, "retries": null}'],
)  # fmt: skip
def test_info_of_a_stranger_log_is_no_traceback(toy: Toy, line: str, capfd: pytest.CaptureFixture[str]) -> None:
    toy.fill(2)
    toy.run()
    (path,) = toy.out.glob("runs/*/log.jsonl")
    path.write_bytes(path.read_bytes() + os.fsencode(line) + b"\n")
    assert run(["info", str(toy.out)]) == 0
    assert is_plain(capfd.readouterr().out)


def test_notes_of_a_stranger_name_no_file_outside_raw(toy: Toy) -> None:
    """Notes say which files to look at: a path that leaves RAW is not opened, and its unit is built again."""
    toy.fill(2)
    toy.run()
    path = toy.out / "runs/notes/train-000000.json"
    note = json.loads(path.read_text())
    unit = note["units"]["u01"]
    unit["files"]["../secret"] = {**unit["files"]["u01.txt"], "size": 6}
    path.write_text(json.dumps(note))
    (toy.root / "secret").write_text("secret")
    assert toy.run().built_groups == 1
    assert toy.hashes() == toy.fresh()
