"""Tars of strangers that are damaged or mean: refused with path and byte, nothing runs, names are plain text."""

import io
import json
import pickle
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets import foreign_index
from tessera.datasets.errors import FormatError
from tessera.datasets.foreign_index import open_foreign
from tessera.datasets.indexing.arrays import npy, npz
from tessera.datasets.indexing.pictures import picture
from tessera.datasets.indexing.places import FOLDER
from tessera.datasets.indexing.scan import scan_tar

from .trap import Trap, nothing_ran  # noqa: F401

ESCAPES = "\x1b]0;title\x07\x1b[2J\r\n\x85\u2028\u202e\x7f"


def tar(path: Path, names: list[str], data: bytes = b"1", **info: Any) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as stream:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            for key, value in info.items():
                setattr(member, key, value)
            stream.addfile(member, io.BytesIO(data))
    return path


def message(folder: Path) -> str:
    with pytest.raises(FormatError) as caught:
        open_foreign(folder)
    assert not list(folder.glob(f"{FOLDER}/*/index.json"))
    return str(caught.value)


def test_truncated_tars_are_named_with_the_byte(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tar", ["a.cls", "b.txt"], bytes(600)).read_bytes()
    for size in [*range(513, len(whole), 511), len(whole) // 512 * 512]:
        if size >= 2 * 1536 + 512:  # the end of the archive is there
            continue
        (tmp_path / "a.tar").write_bytes(whole[:size])
        where = "inside member 'a.cls' of 600 bytes at byte 0"
        if size >= 1536:
            where = "inside member 'b.txt' of 600 bytes at byte 1536" if size >= 2048 else "without an end-of-archive"
        if size >= 3072:
            where = "without an end-of-archive"
        assert f"a.tar: truncated: the file ends at byte {size} {where}" in message(tmp_path)


def test_whatever_is_cut_off_is_an_error_and_never_a_shorter_data_set(tmp_path: Path) -> None:
    """WebDataset's reader ends without a word where a tar is cut between two members."""
    whole = tar(tmp_path / "a.tar", ["a.cls", "b.cls"]).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[:1024])
    assert len(list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))) == 1
    assert "without an end-of-archive block" in message(tmp_path)
    subprocess.run(["truncate", "-s", "+1024", tmp_path / "a.tar"], check=True)  # as the message says
    assert sum(x.records for x in open_foreign(tmp_path).catalog.shards) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "not a tar: 0 bytes"), (b"x" * 99, "not a tar: 99 bytes"),
     (b"x" * 5000, "not a tar: no member begins at byte 0"),
     (b"\x1f\x8b" + b"x" * 5000, "unpack it"), (bytes(1024), "no field that can be read (no record)")],
)  # fmt: skip
def test_files_that_are_no_tars(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    assert said in message(tmp_path)


def test_folders_without_tars(tmp_path: Path) -> None:
    assert "no .tar file here" in message(tmp_path)
    assert "cannot be read" in message(tmp_path / "absent")
    (tmp_path / "a.tar.gz").write_bytes(b"")
    assert "a.tar.gz: compressed tars have no random access" in message(tmp_path)
    (tmp_path / "b.tar").symlink_to("nowhere")
    assert "b.tar: cannot be read" in message(tmp_path)
    (tmp_path / "dataset.json").write_text("{}")
    assert "a data set of Tessera's" in message(tmp_path)


@pytest.mark.parametrize(
    ("kind", "what"),
    [(tarfile.SYMTYPE, "a link"), (tarfile.LNKTYPE, "a hard link"), (tarfile.CHRTYPE, "a device"),
     (tarfile.FIFOTYPE, "a device"), (b"Q", "of unknown kind"), (tarfile.GNUTYPE_SPARSE, "a sparse file")],
)  # fmt: skip
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, what: str) -> None:
    tar(tmp_path / "a.tar", ["good.cls"])
    tar(tmp_path / "b.tar", [f"bad{ESCAPES}.cls"], b"", type=kind, linkname="/etc/passwd")
    said = message(tmp_path)
    assert what in said and r"b.tar: member 'bad\\x1b" in said


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "a.tar")
    assert "not a regular file; refused" in message(tmp_path)


def test_members_of_a_key_that_are_not_side_by_side(tmp_path: Path) -> None:
    """Platforms, trap 11: WebDataset's reader makes two records of it, each with half of the fields."""
    path = tar(tmp_path / "x.tar", ["a.cls", "b.cls", "a.txt"])
    assert len(list(webdataset.WebDataset(str(path), shardshuffle=False))) == 3
    said = message(tmp_path)
    assert "x.tar: members of key 'a' are not side by side (again at byte 2048)" in said and "--sort=name" in said


@pytest.mark.parametrize("names", [["a.cls", "a.cls"], ["a.CLS", "a.cls"]])
def test_members_that_are_there_twice(tmp_path: Path, names: list[str]) -> None:
    tar(tmp_path / "x.tar", names)
    assert "x.tar: member 'a.cls' is there twice, again at byte 1024" in message(tmp_path)


def test_keys_with_dots_in_them(tmp_path: Path) -> None:
    """Platforms, trap 11: one key with a field for each record."""
    tar(tmp_path / "x.tar", [f"frame.{i:04d}.txt" for i in range(1100)])
    assert "x.tar: key 'frame' has more than 1024 members; WebDataset ends a key at the first dot" in message(tmp_path)
    for part in range(11):
        tar(tmp_path / "x.tar", [f"k{i // 100}.{i:04d}.txt" for i in range(1100)])
    assert "more than 1024 kinds of members" in message(tmp_path)


def test_damaged_headers_are_named_with_the_byte(tmp_path: Path) -> None:
    whole = bytearray(tar(tmp_path / "a.tar", [f"{i}.cls" for i in range(9)]).read_bytes())
    for at, value in ((3 * 1024 + 5, 7), (3 * 1024 + 130, 0x39), (3 * 1024 + 150, 0x37)):
        damaged = whole.copy()
        damaged[at] = value
        (tmp_path / "a.tar").write_bytes(damaged)
        assert "a.tar: damaged: no member begins at byte 3072" in message(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_an_error_or_another_data_set_and_never_a_traceback(
    tmp_path_factory: Any, flips: Any
) -> None:
    folder = tmp_path_factory.mktemp("flips")
    stream = io.BytesIO()
    np.savez(stream, x=np.arange(3.0))
    data = bytearray(tar(folder / "a.tar", ["a.npz", "b.npz"], stream.getvalue()).read_bytes())
    for at, value in flips:
        data[at % 1024] = value
    (folder / "a.tar").write_bytes(data)
    try:
        open_foreign(folder)
    except FormatError as error:
        assert "a.tar" in str(error) or "no field" in str(error)


def test_bytes_behind_the_end_are_noted(tmp_path: Path) -> None:
    one = tar(tmp_path / "a.tar", ["a.cls"]).read_bytes()
    (tmp_path / "a.tar").write_bytes(one + one)
    found = open_foreign(tmp_path)
    assert found.catalog.splits["train"]["records"] == 1 and "behind the end" in found.left_out[0].why


def test_keys_and_endings_come_out_as_plain_text(tmp_path: Path) -> None:
    """Keys go into messages and batches, and WebDataset allows any."""
    names = [f"../../k{ESCAPES}.a{ESCAPES}.cls", "/etc/x.cls", "\udcff\udcfe.cls", f"z.b{ESCAPES}"]
    tar(tmp_path / "x.tar", names)
    found = open_foreign(tmp_path)
    keys = pq.read_table(found.index_root / found.catalog.shards[0].index)["key"].to_pylist()
    assert keys == ["../../k" + ESCAPES.encode("unicode_escape").decode(), "/etc/x", "\\udcff\\udcfe", "z"]
    texts = [entry.name + entry.meaning for entry in found.catalog.tables["records"].fields]
    texts += [entry.member + entry.why + entry.example for entry in found.left_out]
    assert len(texts) == 3 and all(text.isprintable() for text in texts)


def test_pickles_are_never_read(tmp_path: Path, canary: Path) -> None:
    trap = pickle.dumps(Trap(canary))
    stream = io.BytesIO()
    np.save(stream, np.array([Trap(canary)], object), allow_pickle=True)
    for name, data in (("npy", stream.getvalue()), ("pyd", trap), ("pth", trap), ("pkl", trap), ("json", trap)):
        tar(tmp_path / f"{name}.tar", [f"k.{name}"], data)
    found = open_foreign(tmp_path)
    assert {entry.member for entry in found.left_out} == {"npy", "pyd", "pth", "pkl"}


def header(text: str, data: bytes = b"") -> memoryview:
    return memoryview(b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode() + data)


@pytest.mark.parametrize("shape", ["(-1,)", "(1 << 60,)", f"({1 << 62}, 4)", f"({10**30}, 0)", f"({'9' * 5000},)",
                                   "'x'", "(True, 0.5)", "(" * 3000, f"({'0, ' * 40})"])  # fmt: skip
def test_sizes_in_npy_headers_cost_nothing(shape: str) -> None:
    tracemalloc.start()
    with pytest.raises(FormatError):
        npy(header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 25


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=80), st.sampled_from([b"", b"\x93NUMPY\1\0", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"PK\3\4"])
)
def test_headers_of_noise(noise: bytes, start: bytes) -> None:
    for read in (npy, picture, lambda data: list(npz(data))):
        with pytest.raises(FormatError):
            read(memoryview(start + noise))


def test_archives_whose_contents_lie(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", bytes(99))
    whole = stream.getvalue()
    at = whole.index(b"PK\1\2")
    for offset, value in ((20, 1 << 31), (24, 98), (42, 1 << 30), (42, 3)):
        damaged = bytearray(whole)
        damaged[at + offset : at + offset + 4] = struct.pack("<I", value)
        with pytest.raises(FormatError):
            list(npz(memoryview(damaged)))
    damaged = bytearray(whole)
    damaged[26:28] = b"\xff\xff"  # length of the name in front of the data
    with pytest.raises(FormatError, match="cut off"):
        list(npz(memoryview(damaged)))
    assert [(name, size) for name, _, size in npz(memoryview(whole))] == [("x.npy", 99)]


def test_pictures_larger_than_memory_are_left_out(tmp_path: Path) -> None:
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 1 << 31, 1 << 31, 8, 2, 0, 0, 0, 0)
    with pytest.raises(FormatError, match="128 million"):
        picture(memoryview(png))
    with pytest.raises(FormatError, match="128 million"):
        picture(memoryview(png[:16] + bytes(8) + png[24:]))


def test_sizes_that_only_a_pax_header_tells(tmp_path: Path) -> None:
    """Files above 8 GiB: the size does not fit the plain header."""
    info = tarfile.TarInfo("a.cls")
    info.pax_headers = {"size": "3"}
    data = bytearray(info.tobuf(tarfile.PAX_FORMAT) + b"123" + bytes(509 + 1024))
    assert int(data[1024 + 124 : 1024 + 135], 8) == 0
    (tmp_path / "a.tar").write_bytes(data)
    with tarfile.open(tmp_path / "a.tar") as other:
        assert other.getmembers()[0].size == 3
    found = open_foreign(tmp_path)
    row = pq.read_table(found.index_root / found.catalog.shards[0].index).to_pylist()[0]
    assert (row["cls.offset"], row["cls.size"]) == (1536, 3)


def test_tars_that_are_still_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tar(tmp_path / "a.tar", ["a.cls"])

    def scan(path: Path) -> bytes:
        found = scan_tar(path)
        with path.open("ab") as stream:
            stream.write(bytes(512))
        return found

    monkeypatch.setattr(foreign_index, "scan_tar", scan)
    assert f"{path}: changed while it was indexed" in message(tmp_path)


@pytest.mark.parametrize("name", ["../a.tar", "/etc/passwd", "b.tar"])
def test_an_index_that_comes_with_the_tars_names_no_other_file(tmp_path: Path, name: str) -> None:
    tar(tmp_path / "a.tar", ["a.cls"])
    first = open_foreign(tmp_path)
    path = first.index_root / "index.json"
    values = json.loads(path.read_text())
    for key in ("tar", "index"):
        values["catalog"]["shards"][0][key] = name
        path.write_text(json.dumps(values))
        assert open_foreign(tmp_path) == first


def test_trap_the_parser_of_another_thread_spoils_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython 3.11 counts the depth of all threads' parsers together, and then fails (its issue 106905)."""
    stream, real, failed = io.BytesIO(), np.lib.format.read_array_header_1_0, []
    np.save(stream, np.zeros((3, 41), np.float32))

    def spoilt(file: Any) -> Any:
        if len(failed) < 2:
            failed.append(file.read())
            raise SystemError("AST constructor recursion depth mismatch (before=54, after=51)")
        return real(file)

    monkeypatch.setattr(np.lib.format, "read_array_header_1_0", spoilt)
    found = npy(memoryview(stream.getvalue()))
    assert (found.dtype, found.shape, len(failed)) == ("float32", (3, 41), 2)
