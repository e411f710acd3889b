"""Zip archives read in place: against Python's own reader, and made by somebody who means ill."""

import io
import re
import stat
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.datasets import RawDataError
from tessera.pipelines import raw_archives, raw_zip, raw_zip_directory
from tessera.pipelines.raw import open_raw
from tessera.pipelines.raw_zip import Archive
from tessera.pipelines.raw_zip_directory import ArchiveError

from .conftest import Toy
from .places import change_entry, pack, rename_member

METHOD, PACKED, SIZE, ATTRIBUTES, OFFSET = (10, "<H"), (20, "<L"), (24, "<L"), (38, "<L"), (42, "<L")  # of an entry
names = st.text("abcdefgh .-_é", min_size=1, max_size=8).filter(lambda name: name.strip(". ") == name)
comments = st.binary(max_size=40).filter(lambda comment: b"PK" not in comment)  # Python's own reader stumbles
members = st.dictionaries(st.lists(names, min_size=1, max_size=3).map("/".join), st.binary(max_size=500), max_size=12)


def opened(data: bytes, root: str = "x") -> Archive:
    return Archive(f"{root}.zip", len(data), lambda start, size: data[start : start + size], root)


def archive(
    write: Callable[[zipfile.ZipFile], None], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b""
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        write(target)
        target.comment = comment
    return stream.getvalue()


def simple(*extra: tuple[zipfile.ZipInfo | str, bytes]) -> bytes:
    """One honest member and others."""

    def write(target: zipfile.ZipFile) -> None:
        for name, data in (("x/honest.txt", b"honest"), *extra):
            target.writestr(name, data)

    return archive(write)


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("x/placeholder")
    entry.filename, entry.external_attr = name, mode << 16  # so that ZipInfo does not tidy the name
    return entry


@given(members, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), comments, st.booleans())
def test_members_are_what_pythons_reader_gives(
    files: dict[str, bytes], method: int, comment: bytes, large: bool
) -> None:
    files = {n: d for n, d in files.items() if not any(m.startswith(f"{n}/") for m in files)}

    def write(target: zipfile.ZipFile) -> None:
        target.mkdir("x")
        for name, data in files.items():
            with target.open(f"x/{name}", "w", force_zip64=large) as stream:
                stream.write(data)

    data = archive(write, method, comment)
    ours = opened(data)
    with zipfile.ZipFile(io.BytesIO(data)) as theirs:
        for entry in theirs.infolist():
            if not entry.is_dir():
                assert ours.read(entry.filename) == theirs.read(entry)
                assert ours.size(entry.filename) == entry.file_size

    def walk(folder: str) -> set[str]:
        found = set()
        for name, is_folder in ours.entries(folder).items():
            found |= walk(f"{folder}/{name}") if is_folder else {f"{folder}/{name}"}
        return found

    assert walk("x") == {f"x/{name}" for name in files}


def test_an_archive_of_64_bit_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of more than 4 GB is; Python's limit is lowered instead."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)
    files = {f"x/{i}.bin": bytes([i]) * 700 for i in range(20)}
    data = archive(lambda target: [target.writestr(*item) for item in files.items()], zipfile.ZIP_STORED)
    data = data[:-12] + b"\xff" * 10 + data[-2:]  # the older end record says no more than: look at the larger one
    ours = opened(data)
    assert {name: ours.read(name) for name in files} == files
    at = data.index(b"PK\x06\x06")
    for place in (at + 40, at + 48):  # length and position of the directory
        with pytest.raises(ArchiveError):
            opened(data[:place] + struct.pack("<Q", 1 << 62) + data[place + 8 :])


def test_a_streamed_archive_whose_sizes_stand_behind_the_data() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, block: bytes) -> int:
            self.data += block
            return len(block)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("x/a", b"abc" * 100)
        target.writestr("x/b", b"b")
    ours = opened(bytes(pipe.data))
    assert ours.read("x/a") == b"abc" * 100 and ours.read("x/b") == b"b"


def test_long_extra_fields_before_the_data() -> None:
    entry = zipfile.ZipInfo("x/long")
    entry.extra = struct.pack("<2H", 0xCAFE, 4000) + bytes(4000)
    assert opened(simple((entry, b"content"))).read("x/long") == b"content"


@pytest.mark.parametrize(
    "name",
    ["../evil", "x/../../evil", "/etc/evil", "x//evil", "x/./evil", "x\\..\\evil", "C:/evil", "c:evil", "x/a\nb",
     "x/a\0b", "x/\x1b[2J", "..", "x/..", "/"],
)  # fmt: skip
def test_members_that_leave_their_folder_or_are_misnamed(name: str) -> None:
    """Also where nobody asks for them: who writes such a name means ill."""
    with pytest.raises(ArchiveError, match=r"^x\.zip: member .* leaves its folder or is misnamed; refused$") as caught:
        opened(simple((info(name), b"evil")))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices(kind: int) -> None:
    with pytest.raises(ArchiveError, match=r"x\.zip: member 'x/evil' is a link or a device; refused"):
        opened(simple((info("x/evil", kind | 0o777), b"/etc/passwd")))


@pytest.mark.parametrize(("first", "second"), [("x/a", "x/a"), ("x/a", "x/a/b"), ("x/a/b", "x/a"), ("x/a/", "x/a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name(first: str, second: str) -> None:
    with pytest.raises(ArchiveError, match=r"x\.zip: member 'x/a.*' is there twice; refused"):
        opened(simple((first, b"" if first.endswith("/") else b"1"), (second, b"2")))


def test_a_folder_that_is_listed_twice_does_no_harm() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = simple(("x/a/", b""), ("x/a/b", b"1"), ("x/a/", b""))
    assert opened(data).entries("x/a") == {"b": False}


def test_an_archive_that_does_not_hold_the_folder_of_its_name() -> None:
    with pytest.raises(ArchiveError, match=r"y\.zip: holds no folder y; an archive stands for the folder of its own"):
        opened(simple(), "y")
    assert opened(simple(("__MACOSX/x/y", b"")), "x").entries("") == {}


@pytest.mark.parametrize("length", [0, 1, 21, 22, 100, -1, -22, -23, -60])
def test_truncated_archives(length: int) -> None:
    data = simple(("x/a", bytes(range(256)) * 4))
    with pytest.raises(ArchiveError, match=r"^x\.zip: .*fetch the archive again$"):
        opened(data[:length])


def test_what_is_no_archive() -> None:
    for data in (b"", b"\x89HDF\r\n\x1a\n" * 100, b"PK\x05\x06", bytes(100_000)):
        with pytest.raises(ArchiveError, match=r"^x\.zip: no zip archive, or a truncated one; fetch"):
            opened(data)


@given(st.data())
def test_any_damage_ends_in_one_line_or_in_honest_content(data: st.DataObject) -> None:
    """Every byte may be wrong: what is read is what was written, or nothing."""
    whole = simple(("x/a", b"abc" * 50), ("x/b/c", b"c"))
    at, value = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 255))
    honest = {"x/honest.txt": b"honest", "x/a": b"abc" * 50, "x/b/c": b"c"}
    try:
        ours = opened(whole[:at] + bytes([value]) + whole[at + 1 :])
        for name, content in honest.items():
            assert ours.size(name) is None or ours.read(name) == content
    except RawDataError as error:
        assert str(error).isprintable() and "x.zip" in str(error)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """`x.zip` with an honest member and another."""
    (tmp_path / "x.zip").write_bytes(simple(("x/member", bytes(5000))))
    return tmp_path / "x.zip"


def member(path: Path) -> bytes:
    return (open_raw(path.parent) / "x/member").read_bytes()


@pytest.mark.parametrize(
    ("where", "value", "why"),
    [
        (SIZE, 1 << 31, r"claims 2147483648 bytes; refused"),
        (SIZE, 900 << 20, r"claims 943718400 bytes, but cannot hold them"),
        (SIZE, 4999, r"is damaged"),
        (SIZE, 5001, r"is damaged"),
        (SIZE, 0, r"is damaged"),
        (METHOD, 12, r"is packed by method 12, neither stored nor deflated"),
        (METHOD, 0, r"claims 5000 bytes, but cannot hold them"),
        ((16, "<L"), 12345, r"is damaged"),
        ((8, "<H"), 1, r"is encrypted; unpack it"),
    ],
)
def test_a_member_that_lies_costs_itself_and_no_memory(scene: Path, where: tuple, value: int, why: str) -> None:
    change_entry(scene, "x/member", *where, value)
    tracemalloc.start()
    with pytest.raises(RawDataError, match=rf"^x/member in x\.zip {why}") as caught:
        member(scene)
    assert tracemalloc.get_traced_memory()[1] < 3 << 20
    tracemalloc.stop()
    assert not isinstance(caught.value, ArchiveError)
    assert (open_raw(scene.parent) / "x/honest.txt").read_bytes() == b"honest"


def test_encryption_that_only_the_members_own_header_tells(scene: Path) -> None:
    data = bytearray(scene.read_bytes())
    data[data.index(b"x/member") - 30 + 6] |= 1
    scene.write_bytes(data)
    with pytest.raises(RawDataError, match=r"x/member in x\.zip does not agree with the archive's directory"):
        member(scene)


def test_a_damaged_member_is_named(scene: Path) -> None:
    data = bytearray(scene.read_bytes())
    data[data.index(b"x/member") + len("x/member") + 5] ^= 0xFF
    scene.write_bytes(data)
    with pytest.raises(RawDataError, match=r"^x/member in x\.zip is damaged; fetch the archive again$"):
        member(scene)


def test_members_that_overlap_are_a_bomb(scene: Path) -> None:
    """Trap: many entries that share the bytes of one member."""
    change_entry(scene, "x/member", *OFFSET, 0)
    with pytest.raises(ArchiveError, match=r"x\.zip: members overlap or lie beyond its end"):
        member(scene)


@pytest.mark.parametrize("where", [PACKED, OFFSET])
@pytest.mark.parametrize("value", [0xFFFFFFFE, 0xFFFFFFFF])
def test_members_beyond_the_end(scene: Path, where: tuple, value: int) -> None:
    change_entry(scene, "x/member", *where, value)
    with pytest.raises(ArchiveError, match="members overlap or lie beyond its end"):
        member(scene)


def test_a_directory_of_absurd_size_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_zip_directory, "MOST_DIRECTORY", 100)
    with pytest.raises(ArchiveError, match=r"x\.zip: claims a directory of \d+ bytes; refused"):
        opened(simple(("x/a", b"1")))


def test_folders_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Found in thought: names of 30,000 folders each would make billions of entries, and recursion without end."""
    with pytest.raises(ArchiveError, match="folders, or 64 in each other; refused"):
        opened(simple(("x/" + "a/" * 30_000 + "b", b"")))
    monkeypatch.setattr(raw_zip, "MOST_FOLDERS", 10)
    with pytest.raises(ArchiveError, match="more than 10 folders"):
        opened(simple(*((f"x/{i}/b", b"") for i in range(10))))


def test_an_archive_is_opened_once_as_long_as_it_stays_what_it_is(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, real = [], raw_archives.Archive
    monkeypatch.setattr(raw_archives, "Archive", lambda *args: (reads.append(args[0]), real(*args))[1])
    for _ in range(20):
        assert member(scene) == bytes(5000)
    assert len(reads) <= 1
    scene.write_bytes(simple(("x/member", b"other content")))
    assert member(scene) == b"other content" and 1 <= len(reads) <= 2


def test_a_folder_on_disk_goes_before_the_same_member(scene: Path) -> None:
    raw = open_raw(scene.parent)
    (scene.parent / "x").mkdir()
    assert member(scene) == bytes(5000) and raw.names() == ["x", "x.zip"]
    (scene.parent / "x/member").write_bytes(b"unpacked")
    assert member(scene) == b"unpacked" and (raw / "x").names() == ["honest.txt", "member"]
    assert (raw / "x/member").state().size == 8


def test_archives_lie_at_the_top_and_in_scenes_only(tmp_path: Path) -> None:
    for place in (".", "scenes", "other"):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "x.zip").write_bytes(simple())
    raw = open_raw(tmp_path)
    assert (raw / "x/honest.txt").is_file() and (raw / "scenes/x/honest.txt").is_file()
    assert (raw / "scenes").names() == ["x", "x.zip"] and (raw / "other").names() == ["x.zip"]
    assert (raw / "x").archive == "x.zip" and (raw / "scenes/x").archive == "scenes/x.zip"
    assert (raw / "x/honest.txt").archive is None and (raw / "other/x").archive is None
    assert {path.path for path in raw.glob("*/*/honest.txt")} == {"scenes/x/honest.txt"}


def test_a_bad_archive_ends_a_plan_in_one_line(toy: Toy) -> None:
    toy.name = "houses"
    for name in ("a", "b"):
        (toy.raw / name).mkdir(parents=True)
        (toy.raw / name / "words.txt").write_text("x yy")
    packed = pack(toy.raw, toy.root / "packed")
    rename_member(packed / "b.zip", b"b/words.txt", b"b/../../..t")
    with pytest.raises(RawDataError, match=re.escape("b.zip: member 'b/../../..t' leaves its folder")):
        toy.run(raw=packed)
    assert not toy.out.exists()


def test_a_damaged_member_costs_its_unit(toy: Toy) -> None:
    toy.name = "houses"
    for name in ("a", "b"):
        (toy.raw / name).mkdir(parents=True)
        (toy.raw / name / "words.txt").write_text("x yy")
        (toy.raw / name / "plus.txt").write_text("12")
    packed = pack(toy.raw, toy.root / "packed", zipfile.ZIP_STORED)
    data = (packed / "b.zip").read_bytes()
    (packed / "b.zip").write_bytes(data.replace(b"plus.txt12", b"plus.txt13"))
    summary = toy.run(raw=packed, max_reject=1.0)
    assert summary.records == 2
    assert [(r.unit, r.error) for r in summary.rejects] == [
        ("b", "b/plus.txt in b.zip is damaged; fetch the archive again")
    ]


def test_a_comment_that_looks_like_the_end_of_an_archive() -> None:
    with pytest.raises(ArchiveError):  # it is one, of an empty archive
        opened(archive(lambda target: target.writestr("x/a", b"content"), comment=b"PK\x05\x06" + bytes(18)))
    for comment in (b"PK\x05\x06", b"x" * 65535):
        ours = opened(archive(lambda target: target.writestr("x/a", b"content"), comment=comment))
        assert ours.read("x/a") == b"content"
