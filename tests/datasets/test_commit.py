"""Files appear whole or not at all."""

import os
from pathlib import Path

import pytest
from tessera.datasets.commit import sweep, temporary_name, write_file


def test_the_new_content_replaces_the_old(tmp_path):
    for data in (b"one", b"", b"three"):
        write_file(tmp_path / "x.json", data, "run")
        assert (tmp_path / "x.json").read_bytes() == data
    assert list(tmp_path.iterdir()) == [tmp_path / "x.json"]


@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_a_failure_leaves_the_old_and_no_temporary_file(tmp_path, monkeypatch, call):
    write_file(tmp_path / "x.json", b"old", "run")

    def fail(*_):
        raise OSError("disk gone")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="disk gone"):
        write_file(tmp_path / "x.json", b"new", "run")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x.json": b"old"}


def test_content_is_flushed_before_it_gets_its_name_and_the_name_after(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, real=real: (calls.append(name), real(*a))[1])
    write_file(tmp_path / "x", b"data", "run")
    assert calls == ["fsync", "replace", "fsync"]


def test_temporary_names_are_hidden_beside_the_target_and_differ_by_run(tmp_path):
    path = tmp_path / "train" / "frames-000001.tar"
    names = {temporary_name(path, run) for run in ("a", "b")}
    assert len(names) == 2
    for name in names:
        assert name.parent == path.parent and name.name.startswith(".") and not name.match("*.tar")


def test_sweep_takes_temporary_files_of_every_run_and_nothing_else(tmp_path):
    kept = [tmp_path / name for name in ("frames-000001.tar", ".hidden", "x.tmp")]
    dead = [temporary_name(tmp_path / "frames-000001.tar", run) for run in ("a", "b")]
    other = temporary_name(tmp_path / "scenes-000001.tar", "a")
    for path in (*kept, *dead, other):
        path.write_bytes(b"")
    assert sweep(tmp_path, "frames-000001") == 2
    assert sorted(tmp_path.iterdir()) == sorted([*kept, other])
    assert sweep(tmp_path) == 1
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert sweep(Path(tmp_path / "absent")) == 0
