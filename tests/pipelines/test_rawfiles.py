"""Raw files: read once, hashed as read, noted, and never from outside RAW."""

import hashlib
import os
from pathlib import Path

import pytest
from tessera.datasets import RawDataError
from tessera.pipelines.notes import UnitNote, unchanged
from tessera.pipelines.rawfiles import FileNote, RawFiles, note_file, notes_digest


def test_read_gives_content_and_notes_size_time_and_hash(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.bin").write_bytes(b"some bytes")
    files = RawFiles(tmp_path)
    assert files.read("a/b.bin") == b"some bytes"
    state = (tmp_path / "a/b.bin").stat()
    assert files.notes == {"a/b.bin": FileNote(10, state.st_mtime_ns, hashlib.sha256(b"some bytes").hexdigest())}
    assert set(files.stages) == {"read file", "hash"}


def test_absent_file_is_noted_as_absent_and_counts_for_the_digest(tmp_path: Path) -> None:
    files = RawFiles(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^gone"):
        files.read("gone")
    absent = files.digest()
    assert files.notes["gone"] == FileNote(-1, 0, "") == note_file(tmp_path / "gone")
    assert absent != RawFiles(tmp_path).digest()
    (tmp_path / "gone").write_bytes(b"")
    files.read("gone")
    assert files.digest() != absent


def test_digest_knows_content_and_path_but_neither_order_nor_time(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(name.encode())
    first, second = RawFiles(tmp_path), RawFiles(tmp_path)
    first.read("a"), first.read("b")
    os.utime(tmp_path / "a", ns=(1, 1))
    second.read("b"), second.read("a")
    assert first.digest() == second.digest()
    swapped = {"a": first.notes["b"], "b": first.notes["a"]}
    assert notes_digest(swapped) != first.digest()


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "/etc/passwd", "link", "folder_link/secret"])
def test_paths_that_leave_raw_are_refused(tmp_path: Path, path: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (tmp_path / "secret").write_text("secret")
    (raw / "link").symlink_to(tmp_path / "secret")
    (raw / "folder_link").symlink_to(tmp_path)
    with pytest.raises(RawDataError, match=r"leaves the raw folder; refused"):
        RawFiles(raw).read(path)


def test_a_link_within_raw_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("content")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert RawFiles(tmp_path).read("link") == b"content"


def test_a_folder_or_a_pipe_in_place_of_a_file_is_bad_raw_data(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(RawDataError, match=rf"{name}: cannot be read \(it is no regular file\)"):
            RawFiles(tmp_path).read(name)


def test_a_change_while_a_file_is_read_is_seen_by_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.utime(path, ns=(10**18, 10**18))
    sha256 = hashlib.sha256

    def change_then_hash(data: bytes) -> object:
        path.write_bytes(b"new")
        return sha256(data)

    files = RawFiles(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("tessera.pipelines.rawfiles.hashlib.sha256", change_then_hash)
        files.read("a")
    assert not unchanged(tmp_path, UnitNote("", files.notes, False), rehash=False)


def test_what_can_no_longer_be_read_has_changed(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a").write_bytes(b"abc")
    files = RawFiles(raw)
    files.read("a")
    note = UnitNote("", files.notes, False)
    assert unchanged(raw, note, rehash=True)
    (raw / "a").unlink()
    (tmp_path / "b").write_bytes(b"abc")
    (raw / "a").symlink_to(tmp_path / "b")
    assert not unchanged(raw, note, rehash=False)
    (raw / "a").unlink()
    (raw / "a").symlink_to(raw / "a")
    assert not unchanged(raw, note, rehash=False)
