"""Raw folders and data sets of strangers: no code runs, memory stays bounded, nothing outside OUT is touched.

HDF5 of every odd kind: readers/test_hdf5*.py. Paths and links that leave RAW: test_rawfiles.py. What `datasets` reads:
tests/datasets/test_hostile.py.
"""

import io
import os
import pickle
import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from rich.console import Console
from tessera.cli import run
from tessera.commands.console import table_console
from tessera.datasets import RawDataError, SchemaError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.journal import read_journals
from tessera.pipelines.progress import RunProgress
from tessera.pipelines.rawfiles import LARGEST, RawFiles
from tessera.pipelines.readers.hdf5 import decode_hdf5
from tessera.pipelines.recipe import Plan, Reject, Sample, Unit
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.status import StatusFile, read_opened
from tessera.pipelines.summary import reject_table

from .conftest import Toy, file_hashes

ESCAPES = "\x1b]0;title\x07\x1b[2J\r\n\x85\u2028\u202e\x7f\udcff"  # clears a screen, forges lines, is no UTF-8
TERMINAL = {"force_terminal": True, "width": 200, "color_system": None}


def is_plain(text: str) -> bool:
    """Whether a terminal would show it as it is."""
    return all(character.isprintable() or character == "\n" for character in text)


def snapshot(folder: Path, without: Path) -> dict[str, tuple[int, int, int]]:
    """Inode, size and time of everything below a folder except one."""
    paths = (path for path in folder.rglob("*") if without not in (path, *path.parents))
    states = {path.as_posix(): path.lstat() for path in paths}
    return {name: (state.st_ino, state.st_size, state.st_mtime_ns) for name, state in states.items()}


# ---- names in RAW


@pytest.mark.parametrize(
    "name", ["u\n01", "u\x1b[2J01", os.fsdecode(b"u\xff01"), "u" * 200, "u.01", "u 01", "[x]", "ü"]
)
def test_a_unit_whose_name_can_be_no_key_is_one_plain_line_and_nothing_is_written(
    toy: Toy, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    toy.fill(2)
    toy.unit(name, "x yy")
    assert run(toy.command("--workers", "0")[3:]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and is_plain(said) and "key" in said
    assert not toy.out.exists()


def test_a_raw_folder_of_any_name_works_and_leaves_no_trace_of_it(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    toy.fill(3)
    toy.unit("bad", "x raise")
    odd = toy.root / f"[red]raw {os.fsdecode(bytes([0xFF]))}\n\x1b[2J"
    shutil.copytree(toy.raw, odd)
    toy.run(max_reject=1.0)
    command = [part if part != str(toy.raw) else str(odd) for part in toy.command(out=toy.root / "other")]
    done = subprocess.run([*command, "--workers", "0", "--max-reject", "1"], capture_output=True, cwd=toy.root)
    assert done.returncode == 0 and b"\x1b" not in done.stdout + done.stderr, done.stderr
    assert file_hashes(toy.root / "other") == toy.hashes()
    assert read_journals(toy.root / "other", "options")[0]["raw"] == str(odd)
    again = subprocess.run([*command, "--workers", "0", "--only", "nothing"], capture_output=True, cwd=toy.root)
    assert again.returncode == 2 and again.stderr.count(b"\n") == 1


def tricked(toy: Toy, monkeypatch: pytest.MonkeyPatch, read: object, units: int = 1) -> object:
    """The toy recipe with another reader."""
    recipe = replace(load_recipe("toy"), read=read)
    monkeypatch.setattr("tessera.pipelines.group.load_recipe", lambda name: recipe)
    return recipe


def test_a_raw_file_of_any_name_is_read_noted_and_known_again(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found here: a name that is no UTF-8 ended the run when its unit was fingerprinted."""
    toy.unit("u01", "x yy")
    names = ["a\nb.txt", "a\x1b[2J.txt", os.fsdecode(b"a\xff.txt"), "ä \u202e.txt", "c" * 250 + ".txt"]
    for name in names:
        (toy.raw / "deep").mkdir(exist_ok=True)
        (toy.raw / "deep" / name).write_text("3")

    def read(unit: Unit, files: RawFiles, options: object) -> object:
        for key in unit.records:
            yield Sample(key, float(sum(int(files.read(f"deep/{name}")) for name in names)), "numbers", {"line": 0})

    recipe = tricked(toy, monkeypatch, read)
    assert toy.run(recipe=recipe).rejects == []
    assert toy.run(recipe=recipe).built_groups == 0
    (toy.raw / "deep" / names[2]).write_text("44")
    assert toy.run(recipe=recipe).built_groups == 1
    assert toy.hashes() == toy.fresh(recipe=recipe)


def test_the_files_of_a_crashed_unit_are_known_whatever_their_names(tmp_path: Path) -> None:
    """Found here: a line break in a name made two names of it."""
    status = StatusFile(tmp_path / "status.json")
    names = ("a\nb", "\x1b[2J", os.fsdecode(b"\xff"), "a\u2028b", '"', "c")
    for name in names:
        status.opens(name)
    assert read_opened(tmp_path / "status.json") == names
    with (tmp_path / "status.opened").open("a") as stream:
        stream.write('"torn')
    assert read_opened(tmp_path / "status.json") == names
    status.close()


def test_rejects_hold_plain_text_only(toy: Toy, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> None:
    toy.unit("u01", "a b c")

    def read(unit: Unit, files: RawFiles, options: object) -> object:
        first, second, third = unit.records
        yield Reject(unit.name, first, f"folder/{ESCAPES}.txt", "read", f"line {ESCAPES} [/x] is wrong")
        yield Sample(second, 3.0, "numbers", {"line": "[/x]" + ESCAPES})
        raise ValueError(f"{ESCAPES} [/x]") if third == "" else RawDataError(f"{ESCAPES}[/x]: bad")

    summary = toy.run(recipe=tricked(toy, monkeypatch, read), max_reject=1.0)
    assert summary.rejects == read_rejects(toy.out) and len(summary.rejects) == 1
    assert all(is_plain(text) and "\n" not in text for reject in summary.rejects for text in vars(reject).values())
    told = Reject("u", "k", ESCAPES, "read", f"{ESCAPES}[/x]")
    assert told.path == r"\x1b]0;title\x07\x1b[2J\r\n\x85\u2028\u202e\x7f\udcff" and replace(told) == told
    table_console().print(reject_table([told]))
    assert is_plain(capfd.readouterr().out)


def test_progress_shows_any_name_and_takes_it_for_no_markup() -> None:
    """Found here: a key such as [/x] ended a run on a terminal in a traceback."""
    stream = io.StringIO()
    with RunProgress("toy", 3, Console(file=stream, markup=False, **TERMINAL)) as progress:
        progress.update(1, 0, f"[/x]{ESCAPES}: square")
    shown = stream.getvalue()
    assert r"[/x]\x1b]0;title\x07\x1b[2J\r\n\x85" in shown and "\x07" not in shown and "\x1b[2J\r" not in shown


def test_what_a_verb_prints_is_plain_whatever_a_plan_or_a_data_set_says(capfd: pytest.CaptureFixture[str]) -> None:
    console = table_console()
    console.print(f"{ESCAPES}[/x] frames were left out", highlight=False)
    assert is_plain(capfd.readouterr().out)


def test_a_key_that_is_none_costs_its_record_only(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = ["u01-a/../../x", "u01-\n", "u01-" + "k" * 300, "u01-ok"]
    toy.unit("u01", "x")
    recipe = load_recipe("toy")
    plan = Plan((Unit("u01", "train", dict.fromkeys(keys, 0)),))

    def read(unit: Unit, files: RawFiles, options: object) -> object:
        yield from (Sample(key, 1.0, "numbers", {"line": 0}) for key in unit.records)

    tricky = replace(recipe, plan=lambda raw, options: plan, read=read)
    monkeypatch.setattr("tessera.pipelines.group.load_recipe", lambda name: tricky)
    before = snapshot(toy.root, toy.out)
    summary = toy.run(recipe=tricky)
    assert (summary.records, len(summary.rejects)) == (1, 3) and snapshot(toy.root, toy.out) == before
    assert all("key" in reject.error and is_plain(reject.key + reject.error) for reject in summary.rejects)


def test_a_unit_name_too_long_for_any_tar_member_is_refused_when_planning(toy: Toy) -> None:
    """A worker's standing has room for names of this length; longer ones would hide which unit crashed it."""
    toy.fill(1)
    plan = Plan((Unit("u" * 5000, "train", {"u" * 5000: 0}),))
    with pytest.raises(SchemaError, match=r"5000 characters, tar members' names have room for 88") as caught:
        toy.run(recipe=replace(load_recipe("toy"), plan=lambda raw, options: plan))
    assert len(str(caught.value)) < 300


def test_a_reader_that_ends_the_process_costs_its_unit_only(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.unit("u01", "x")
    toy.unit("u02", "x")

    def read(unit: Unit, files: RawFiles, options: object) -> object:
        if unit.name == "u01":
            sys.exit(f"{unit.name} wants to go")
        yield from (Sample(key, 1.0, "numbers", {"line": 0}) for key in unit.records)

    summary = toy.run(recipe=tricked(toy, monkeypatch, read), max_reject=1.0)
    assert summary.rejects == [Reject("u01", "", "u01", "read", "SystemExit: u01 wants to go")]
    assert summary.records == 1


# ---- files in RAW


def test_a_link_that_leads_back_to_itself_is_bad_raw_data(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "folder").symlink_to("folder")
    with pytest.raises(RawDataError, match=r"^a: a symbolic link leads back to itself; refused$"):
        RawFiles(tmp_path).read("a")
    with pytest.raises(FileNotFoundError, match="folder/x"):
        RawFiles(tmp_path).read("folder/x")


def test_links_of_a_stranger_in_raw_give_nothing_away_and_cost_their_unit_only(toy: Toy) -> None:
    toy.fill(2)
    (toy.root / "secret").write_text("secret words of somebody")
    (toy.raw / "u01.plus").symlink_to(toy.root / "secret")
    before = snapshot(toy.root, toy.out)
    summary = toy.run(max_reject=1.0)
    (reject,) = summary.rejects
    assert reject.unit == "u01" and reject.error.startswith("u01.plus: a symbolic link leaves the raw folder; refused")
    assert summary.records == 4 and snapshot(toy.root, toy.out) == before
    assert not [path for path in toy.out.rglob("*") if path.is_file() and b"secret words" in path.read_bytes()]


def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A sparse file costs its giver nothing."""
    with (tmp_path / "huge.hdf5").open("wb") as stream:
        stream.truncate(1 << 42)
    with pytest.raises(RawDataError, match=rf"huge\.hdf5: {1 << 42} bytes; refused: files of up to {LARGEST}"):
        RawFiles(tmp_path).read("huge.hdf5")


MEASURED = """
import resource, sys
from tessera.datasets import RawDataError
from tessera.pipelines.readers.hdf5 import decode_hdf5
data = sys.stdin.buffer.read()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_hdf5(data, source="x", shapes=[(None, 3, 3)], dtypes=["f8"], **eval(sys.argv[1]))
except RawDataError as error:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)
"""


def bomb(rows: int, deflated: int) -> bytes:
    """An HDF5 file of (rows, 3, 3) float64 whose one chunk inflates to `deflated` bytes."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        made = file.create_dataset("dataset", (rows, 3, 3), "f8", chunks=(rows, 3, 3), compression="gzip")
        made.id.write_direct_chunk((0, 0, 0), zlib.compress(bytes(deflated), 9))
    return memory.getvalue()


@pytest.mark.parametrize(
    ("rows", "deflated", "options", "why"),
    [
        (4096, 1000 * 4096 * 72, {}, "damaged chunk"),  # 1000 times what the header says
        (4_000_000, 4_000_000 * 72, {"most": 720_000}, "more than 720000 bytes"),  # what it says, and that is too much
        (20_000_000, 8, {}, "more than 1073741824 bytes"),
    ],
)
def test_a_file_that_inflates_to_a_thousand_times_its_size(
    rows: int, deflated: int, options: dict[str, int], why: str
) -> None:
    data = bomb(rows, deflated)
    done = subprocess.run([sys.executable, "-c", MEASURED, repr(options)], input=data, capture_output=True, check=True)
    kilobytes, said = done.stdout.decode().split(" ", 1)
    assert why in said and int(kilobytes) < 20_000, (kilobytes, said)
    assert len(data) < 1 << 20


def test_pickles_in_place_of_raw_files_are_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    trap = pickle.dumps(type("Trap", (), {"__reduce__": lambda self: (os.mkdir, (str(canary),))})())
    array = io.BytesIO()
    np.save(array, np.array([trap], object), allow_pickle=True)
    for data in (trap, array.getvalue()):
        with pytest.raises(RawDataError, match="not an HDF5 file"):
            decode_hdf5(data, source="x", shapes=None, dtypes=["f8"])
    pickle.loads(trap)
    assert canary.exists(), "the trap has to be one"
