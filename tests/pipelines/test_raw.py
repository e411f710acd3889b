"""RAW looks the same on disk, in archives and on an object store, and gives the same bytes."""

import os
import pickle
from pathlib import Path

import pytest
from tessera.datasets import RawDataError, UsageError
from tessera.pipelines.raw import Raw, open_raw
from tessera.pipelines.rawfiles import RawFiles

from .conftest import Toy, file_hashes
from .places import pack, upload

FILES = {
    "table.csv": b"a,b\n", "one/words.txt": b"x yy", "one/deep/er/data.bin": bytes(range(256)) * 40, "one/empty": b"",
    "two/words.txt": b"zzz zz z",
}  # fmt: skip
PLACES = ["folder", "zips", "s3", "zips on s3"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, data in FILES.items():
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "raw"


def place(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """The folder in another form; its path or URL."""
    source = pack(folder, folder.with_name("packed")) if "zips" in kind else folder
    return upload(source, request.getfixturevalue("bucket") + "/some/folder") if "s3" in kind else str(source)


@pytest.fixture(params=PLACES)
def raw(folder: Path, request: pytest.FixtureRequest) -> Raw:
    return open_raw(place(request.param, folder, request))


def test_it_looks_the_same_wherever_it_lies(raw: Raw) -> None:
    assert [path.path for path in raw.glob("*/words.txt")] == ["one/words.txt", "two/words.txt"]
    assert [path.path for path in raw.glob("o*/*")] == ["one/deep", "one/empty", "one/words.txt"]
    assert [path.path for path in raw.glob("*.csv")] == ["table.csv"]
    assert [path.path for path in raw.glob("one/d?ep/er/*.bin")] == ["one/deep/er/data.bin"]
    assert {"one", "two", "table.csv"} <= set(raw.names()) and (raw / "one/deep").names() == ["er"]
    assert raw.is_dir() and (raw / "one").is_dir() and (raw / "one/deep").is_dir() and not (raw / "one").is_file()
    assert (raw / "one/words.txt").is_file() and not (raw / "one/words.txt").is_dir()
    for absent in ("three", "one/three", "three/words.txt", "one/words.txt/x", "table.csv/x"):
        assert (raw / absent).state() is None and not (raw / absent).is_dir() and (raw / absent).names() == []
    for name, data in FILES.items():
        assert (raw / name).read_bytes() == data and (raw / name).state().size == len(data)
    assert (raw / "one").glob and list((raw / "nowhere").glob("*")) == []


def test_reading_and_notes(raw: Raw) -> None:
    files = RawFiles(raw)
    assert files.read("one/words.txt") == b"x yy" and files.read("one/empty") == b""
    for absent in ("one/nothing", "nothing/at/all"):
        with pytest.raises(FileNotFoundError, match=absent):
            files.read(absent)
    assert {path: note.size for path, note in files.notes.items()} == {
        "one/words.txt": 4, "one/empty": 0, "one/nothing": -1, "nothing/at/all": -1,
    }  # fmt: skip
    assert files.notes["one/words.txt"].mtime_ns > 10**18
    for refused in ("../x", "/etc/passwd", "one/../../x"):
        with pytest.raises(RawDataError, match="leaves the raw folder; refused"):
            files.read(refused)
    with pytest.raises(RawDataError, match=r"one/deep: cannot be read \(it is no regular file\)"):
        files.read("one/deep")


def test_it_travels_to_another_process(raw: Raw) -> None:
    copy = pickle.loads(pickle.dumps(raw))
    assert copy == raw and (copy / "two/words.txt").read_text() == "zzz zz z"


def test_digests_are_equal_wherever_the_files_lie(folder: Path, request: pytest.FixtureRequest) -> None:
    digests = set()
    for kind in ("folder", "zips", "s3"):
        files = RawFiles(open_raw(place(kind, folder, request)))
        for name in FILES:
            files.read(name)
        digests.add(files.digest())
    assert len(digests) == 1


@pytest.fixture
def houses(toy: Toy) -> Toy:
    toy.name = "houses"
    for number in range(5):
        house = toy.raw / f"h{number}"
        house.mkdir(parents=True)
        (house / "words.txt").write_text(" ".join("x" * (1 + (3 * number + i) % 7) for i in range(4)))
    (toy.raw / "h3/plus.txt").write_text("100")
    return toy


@pytest.mark.parametrize("kind", PLACES[1:])
def test_the_same_bytes_wherever_raw_lies_and_nothing_to_do_when_it_moves(
    houses: Toy, kind: str, request: pytest.FixtureRequest
) -> None:
    assert houses.run().records == 20
    expected, moved = houses.hashes(), place(kind, houses.raw, request)
    houses.run(houses.root / "again", raw=moved)
    assert file_hashes(houses.root / "again") == expected
    assert houses.run(raw=moved).built_groups == 0 and houses.hashes() == expected
    assert houses.run(raw=moved).built_groups == 0 and houses.run().built_groups == 0


@pytest.mark.parametrize("kind", PLACES)
def test_a_change_is_noticed_wherever_it_is_made(houses: Toy, kind: str, request: pytest.FixtureRequest) -> None:
    houses.run(raw=place(kind, houses.raw, request))
    (houses.raw / "h1/plus.txt").write_text("7")
    packed = houses.raw.with_name("packed")
    if packed.exists():
        packed.rename(houses.raw.with_name("before"))
    changed = place(kind, houses.raw, request)
    summary = houses.run(raw=changed)
    assert 0 < summary.built_records <= 8 and houses.hashes() == houses.fresh()


def test_ray_workers_read_archives(houses: Toy) -> None:
    packed = pack(houses.raw, houses.root / "packed")
    houses.run(raw=packed, workers=2)
    assert houses.hashes() == houses.fresh()


def test_links_that_leave_raw_are_neither_listed_nor_read(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/words.txt").write_text("secret")
    (tmp_path / "raw/out").symlink_to(tmp_path / "secret")
    (tmp_path / "raw/loop").symlink_to(tmp_path / "raw/loop")
    raw = open_raw(tmp_path / "raw")
    for act in (
        (raw / "out").names, (raw / "out").is_dir, (raw / "out/words.txt").read_bytes, lambda: [*raw.glob("*/*.txt")]
    ):  # fmt: skip
        with pytest.raises(RawDataError, match=r"out(/words.txt)?: a symbolic link leaves the raw folder; refused"):
            act()
    assert not (raw / "loop").is_dir()
    with pytest.raises(RawDataError, match="loop: a symbolic link leads back to itself"):
        RawFiles(raw).read("loop")


def test_a_link_to_an_archive_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scenes/one").mkdir(parents=True)
    (tmp_path / "scenes/one/words.txt").write_text("x")
    packed = pack(tmp_path / "scenes", tmp_path / "elsewhere")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/one.zip").symlink_to(packed / "one.zip")
    with pytest.raises(RawDataError, match=r"one\.zip: a symbolic link leaves the raw folder; refused"):
        (open_raw(tmp_path / "raw") / "one/words.txt").read_bytes()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RawDataError, match="no regular file"):
        (open_raw(tmp_path) / "pipe").read_bytes()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense://x/y", "nonsense"),
        ("pipe:/x", "write a URL with two slashes"),
        ("s3:/bucket/x", "write a URL with two slashes"),
        ("zip://*.txt::s3://bucket/a.zip", "a chain of URLs is not supported"),
    ],
)
def test_urls_that_cannot_be_raw(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        open_raw(url)


def test_a_file_url_is_a_folder_on_disk(folder: Path) -> None:
    assert open_raw(f"file://{folder}") == open_raw(folder) == open_raw(str(folder)) == open_raw(open_raw(folder))
