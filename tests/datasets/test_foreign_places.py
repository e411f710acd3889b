"""Where indexes of strangers' tars lie: links and pipes that came with the tars, and folders that hold other things."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tessera.cli import run
from tessera.datasets import Stream, foreign_index
from tessera.datasets.errors import FormatError
from tessera.datasets.foreign_index import open_foreign
from tessera.datasets.indexing.folder import find_tars, state_name
from tessera.datasets.indexing.places import FOLDER, index_folders

from .test_foreign_index import compare, write

HEX = [f"{i:032x}" for i in range(4)]
STATE = "STATE"  # stands for the name of the folder that indexes of the present tars get
FOLDERS = [FOLDER, f"{FOLDER}/scans", f"{FOLDER}/{STATE}", f"{FOLDER}/{STATE}/train"]


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    """A stranger's data set of one tar."""
    return write(tmp_path / "set" / "a.tar", {"k": {"cls": 1}}).parent


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A user's folder, in which each kind of file bears a name that once was deleted or written over."""
    folder = tmp_path / "data"
    names = ["index.json", "lock", "train/records-000000.parquet", "index.json.bak"]
    names += [f"{part}{name}.parquet" for part in ("", "scans/", "train/") for name in ("frames-000000", *HEX)]
    names += [f"{name}/index.json" for name in ("train", "val", "test", "scans", *HEX)]  # MDS and litdata have one
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"the user's {name}")
    return folder


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Path of all that lies below a folder to its bytes, or to where a link leads."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        else:
            found[str(path)] = path.read_bytes() if path.is_file() else "a folder"
    return found


def place(tars: Path, name: str) -> Path:
    """Path of something that comes with the tars, the folders around it made."""
    path = tars / name.replace(STATE, state_name(find_tars(tars)))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def index_often(tars: Path, **options: Any) -> None:
    """Index a data set that changes, so that there is something to delete each time."""
    for name in "bcde":
        write(tars / f"{name}.tar", {f"{name}0": {"cls": 1}})
        assert compare(open_foreign(tars, **options)) == len(list(tars.glob("*.tar")))


# ---- planted with the tars


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("way", ["open", "stream", "command"])
def test_trap_a_planted_link_costs_no_file(tars: Path, data: Path, name: str, way: str, capsys: Any) -> None:
    """Found here: all Parquet files of the folder that `scans` led to were deleted, and all folders with an
    index.json but two of the one that `.tessera-index` led to."""
    link = place(tars, name)
    link.symlink_to(data)
    before = snapshot(tars.parent)
    said = f"{link}: a symbolic link, where the index has a folder of its own; delete it, or name another folder"
    if way == "command":
        assert run(["index", str(tars)]) == 1
        assert capsys.readouterr().err.startswith(f"tessera index: {said}")
    else:
        with pytest.raises(FormatError) as caught:
            open_foreign(tars) if way == "open" else Stream(tars)
        assert str(caught.value) == f"{said} with --index-dir"
    assert snapshot(tars.parent) == before
    link.unlink()  # as the message says
    assert compare(open_foreign(tars)) == 1


@pytest.mark.parametrize("name", [*FOLDERS, f"{FOLDER}/lock"])
def test_trap_a_planted_link_makes_nothing_where_it_leads(tars: Path, tmp_path: Path, name: str) -> None:
    place(tars, name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="a symbolic link, where the index has"):
        open_foreign(tars)
    assert not (tmp_path / "elsewhere").exists()


def test_trap_a_planted_lock_is_not_opened_through(tars: Path, data: Path) -> None:
    place(tars, f"{FOLDER}/lock").symlink_to(data / "lock")
    before = snapshot(data)
    with pytest.raises(FormatError, match=r"lock: a symbolic link, where the index has a file of its own; delete it"):
        open_foreign(tars)
    assert snapshot(data) == before


def test_trap_a_pipe_as_lock_is_not_waited_for(tars: Path) -> None:
    os.mkfifo(place(tars, f"{FOLDER}/lock"))
    code = """if True:
        import sys
        from pathlib import Path
        from tessera.datasets.errors import FormatError
        from tessera.datasets.foreign_index import open_foreign
        from tessera.datasets.indexing.places import locked
        for attempt in (lambda: open_foreign(sys.argv[1]), lambda: locked(Path(sys.argv[1], sys.argv[2])).__enter__()):
            try:
                attempt()
            except FormatError as error:
                print(error)
    """
    command = [sys.executable, "-c", code, tars, FOLDER]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert len(said) == 2 and all("lock: " in line and "; delete it, or name" in line for line in said)
    assert "neither a file nor a folder, where the index has a file of its own" in said[0]


ODD = [(name, kind) for name in FOLDERS for kind in ("pipe", "file")] + [(f"{FOLDER}/lock", "folder")]
ODD.remove((FOLDER, "file"))  # like a folder that cannot be written to: test_foreign_index.py


@pytest.mark.parametrize(("name", "kind"), ODD)
def test_what_is_no_folder_or_no_file_is_refused(tars: Path, name: str, kind: str) -> None:
    path = place(tars, name)
    {"pipe": os.mkfifo, "file": Path.touch, "folder": Path.mkdir}[kind](path)
    with pytest.raises(FormatError, match=rf"{path}: .*, where the index has a .* of its own; delete it"):
        open_foreign(tars)
    path.rmdir() if kind == "folder" else path.unlink()
    assert compare(open_foreign(tars)) == 1


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
@pytest.mark.parametrize("what", ["state", "index", "scan"])
def test_trap_links_in_place_of_files_are_replaced_and_not_followed(
    tars: Path, data: Path, what: str, kind: str
) -> None:
    scan = f"{FOLDER}/scans/{find_tars(tars)[0].mark}.parquet"
    names = {"state": f"{FOLDER}/{STATE}/index.json", "index": f"{FOLDER}/{STATE}/train/records-000000.parquet"}
    path = place(tars, names.get(what, scan))
    before = snapshot(data)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(data / ("index.json" if kind == "link" else "absent"))
    if kind == "folder":
        with pytest.raises(FormatError, match=rf"{path}: a folder, where the index has a file of its own; delete it"):
            open_foreign(tars)
    else:
        assert compare(open_foreign(tars)) == 1 and path.is_file() and not path.is_symlink()
    assert snapshot(data) == before


def test_trap_only_what_bears_our_names_is_swept(tars: Path, data: Path) -> None:
    shutil.copytree(data, tars / FOLDER)
    for name in HEX:  # these are of our names: regular ones may go, what links lead to must not
        shutil.rmtree(tars / FOLDER / name)
        (tars / FOLDER / name).symlink_to(data / "train")
        (tars / FOLDER / "scans" / f"{name}.parquet").unlink()
        (tars / FOLDER / "scans" / f"{name}.parquet").symlink_to(data / "index.json")
    (tars / FOLDER / ("f" * 32)).mkdir()  # not a state: another process may be building it
    (tars / FOLDER / ("A" * 32)).mkdir()
    (tars / FOLDER / ("A" * 32) / "index.json").write_text("the user's")
    before, user = snapshot(tars / FOLDER), snapshot(data)
    index_often(tars)
    after = snapshot(tars / FOLDER)
    assert {path: after.get(path) for path in before} == before and snapshot(data) == user
    ours = {path for path in after if path not in before}
    assert len([path for path in ours if path.endswith("/index.json")]) == 2
    assert len([path for path in ours if "/scans/" in path]) == 5


def test_trap_states_of_a_stranger_do_not_outlive_the_new_one(tars: Path) -> None:
    """Found here: two folders whose times lie ahead, and the index that was just made was deleted."""
    for name in HEX:
        path = place(tars, f"{FOLDER}/{name}/index.json")
        path.write_text("{}")
        os.utime(path, (1 << 33, 1 << 33))
    found = open_foreign(tars)
    assert compare(found) == 1 and open_foreign(tars) == found
    assert [name for name in HEX if (tars / FOLDER / name).exists()] == HEX[-1:]


# ---- a folder that the user names


def test_trap_a_named_folder_keeps_what_the_user_has_there(tars: Path, data: Path) -> None:
    """Found here: `tessera index DIR --index-dir /data` deleted its Parquet files, and its folders of MDS shards."""
    before = snapshot(data)
    index_often(tars, index_dir=data)
    after = snapshot(data)
    assert {path: after.get(path) for path in before} == before
    (own,) = set(data.iterdir()) - set(map(Path, before))
    assert own in index_folders(tars, data) and len(list(own.glob("*/index.json"))) == 2


def test_trap_two_data_sets_share_a_named_folder(tars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found here: each deleted the scans of the other."""
    other = write(tmp_path / "other" / "a.tar", {"l": {"x.txt": "text"}}).parent
    scan, read = foreign_index.scan_tar, []
    monkeypatch.setattr(foreign_index, "scan_tar", lambda path: (read.append(str(path)), scan(path))[1])
    shared = tmp_path / "indexes"
    first = [open_foreign(folder, index_dir=shared) for folder in (tars, other)]
    assert read == [str(tars / "a.tar"), str(other / "a.tar")]
    for _ in range(2):
        assert [open_foreign(folder, index_dir=shared) for folder in (tars, other)] == first and len(read) == 2
    for folder in (tars, other):  # another state of each: the scans of tars that stayed are still there
        write(folder / "b.tar", {"m": {"cls": 1}})
        assert len(open_foreign(folder, index_dir=shared).catalog.shards) == 2
    assert read[2:] == [str(tars / "b.tar"), str(other / "b.tar")]
    (tmp_path / "link").symlink_to(tars)
    assert compare(open_foreign(tmp_path / "link", index_dir=shared)) == 2 and len(read) == 4


def test_a_named_folder_may_be_a_link_and_spares_the_one_of_the_tars(tars: Path, data: Path, tmp_path: Path) -> None:
    (tars / FOLDER).symlink_to(data)
    (tmp_path / "disk").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "disk")
    before = snapshot(data)
    index_often(tars, index_dir=tmp_path / "named")
    assert snapshot(data) == before and len(list((tmp_path / "disk").glob("*/*/index.json"))) == 2


def test_trap_a_link_in_a_named_folder_or_the_cache_is_refused(
    tars: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tars / FOLDER).touch()  # no folder there: the cache is taken
    before = snapshot(data)
    for named in (tmp_path / "named", None):
        path = index_folders(tars, named)[-1]
        path.parent.mkdir(parents=True)
        path.symlink_to(data)
        with pytest.raises(FormatError, match=rf"{path}: a symbolic link, where the index has a folder of its own"):
            open_foreign(tars, index_dir=named)
    assert snapshot(data) == before
