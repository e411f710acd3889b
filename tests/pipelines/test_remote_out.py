"""`--out s3://...`: the store ends with the bytes of a local run, and nothing is done again."""

import hashlib
import json
import os
import shutil

import fsspec
import pytest
from tessera import cli
from tessera.pipelines.out_place import mirror_folder
from tessera.pipelines.out_store import OutStore

from .conftest import Toy
from .remote import objects


def test_objects_are_the_files_of_a_local_run(toy: Toy, url: str) -> None:
    toy.fill(12)
    toy.unit("u03", "x raise x")
    summary = toy.run(url, shard_mb=1)
    assert summary.complete and summary.built_groups > 3 and len(summary.rejects) == 1
    assert objects(url) == toy.fresh(shard_mb=1)
    others = {name for name in objects(url, True) if name.startswith("runs/")}
    notes = {name for name in others if name.startswith("runs/notes/")}
    assert len(notes) == summary.groups and others - notes == {f"runs/{summary.run}/log.jsonl"}
    events = [json.loads(line)["event"] for line in (OutStore(url).read(*(others - notes)) or b"").splitlines()]
    assert events[0] == "start" and events[-1] == "end"


def test_tars_in_the_mirror_need_no_room(toy: Toy, url: str) -> None:
    toy.fill(12)
    toy.run(url, shard_mb=1, points=20_000)
    tars = list(mirror_folder(url).rglob("*.tar"))
    assert len(tars) > 3 and {path.stat().st_blocks for path in tars} == {0}
    sizes = {name: size for name, (size, _) in OutStore(url).list().items()}
    assert all(sizes[f"{path.parent.name}/{path.name}"] == path.stat().st_size for path in tars)


def test_nothing_is_done_again(toy: Toy, url: str) -> None:
    toy.fill(12)
    toy.run(url, shard_mb=1)
    before = OutStore(url).list()
    again = toy.run(url, shard_mb=1)
    assert again.complete and again.built_groups == 0
    after = OutStore(url).list()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"runs/{again.run}/log.jsonl"}


def test_another_machine_finds_everything_up_to_date(toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(12)
    toy.run(url, shard_mb=1)
    fetched: list[str] = []
    get = OutStore.get
    monkeypatch.setattr(OutStore, "get", lambda self, names, to: (fetched.extend(names), get(self, names, to))[1])
    monkeypatch.setenv("TESSERA_CACHE", str(toy.root / "other"))
    assert toy.run(url, shard_mb=1).built_groups == 0
    assert fetched and not [name for name in fetched if name.endswith(".tar")]
    toy.unit("u03", "other words")
    changed = toy.run(url, shard_mb=1)
    assert changed.built_groups == 1 and changed.reused_records == 0
    monkeypatch.setenv("TESSERA_CACHE", str(toy.root / "cache"))  # the first one, whose mirror is old now
    assert toy.run(url, shard_mb=1).built_groups == 0
    assert objects(url) == toy.fresh(shard_mb=1)


def test_groups_that_are_no_longer_planned_and_parts_that_are_no_longer_filled_go(
    toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_BYTES", "1")
    toy.name = "pairs"
    for name, words in (("u00", "x yy"), ("u01", "word " * 50), ("u02", "x yy zzz")):
        toy.unit(name, words)
    for out in (url, toy.out):
        toy.run(out, shard_mb=1)
    assert any("-1.tar" in name for name in objects(url)) and any("val" in name for name in objects(url))
    toy.unit("u01", "word")
    (toy.raw / "u00.txt").unlink()
    for out in (url, toy.out):
        toy.run(out, shard_mb=1)
    assert objects(url) == toy.hashes() and not any("val" in name for name in objects(url))


def test_a_touched_raw_file_is_noted_in_the_store(toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.fill(2)
    toy.run(url)
    before = OutStore(url).list()
    os.utime(toy.raw / "u01.txt", (1, 1))
    assert toy.run(url).built_groups == 0
    changed = {name for name, state in OutStore(url).list().items() if name in before and state != before[name]}
    assert len(changed) == 1 and changed.pop().startswith("runs/notes/train-")


def test_failed_units_are_tried_again(toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_MARKER", str(toy.root / "marker"))
    toy.fill(12)
    toy.unit("u03", "x shut x")
    assert len(toy.run(url, shard_mb=1).rejects) == 1
    (toy.root / "marker").touch()
    again = toy.run(url, shard_mb=1, retry_failed=True)
    assert again.built_groups == 1 and not again.rejects
    assert objects(url) == toy.fresh(shard_mb=1)


def test_plan_looks_and_leaves_the_store_alone(toy: Toy, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    toy.fill(2)
    arguments = ["shards", "toy", "--raw", str(toy.raw), "--out", url, "--workers", "0"]
    assert cli.run([*arguments, "--plan"]) == 0
    assert f"{url}: 8 records in 2 groups are to do" in capsys.readouterr().out and OutStore(url).list() == {}
    assert cli.run(arguments) == 0
    before = OutStore(url).list()
    assert cli.run([*arguments, "--plan"]) == 0
    assert f"{url}: nothing is to do" in capsys.readouterr().out and OutStore(url).list() == before


def test_a_file_url_is_a_local_folder(toy: Toy) -> None:
    toy.fill(2)
    toy.run(f"file://{toy.out}")
    assert toy.hashes() == toy.fresh()


def test_another_store_than_s3(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any library of fsspec that puts whole objects; this one lives in this process."""
    monkeypatch.setenv("TESSERA_CACHE", str(toy.root / "cache"))
    monkeypatch.setenv("TOY_BYTES", "118000")
    toy.fill(12)
    url = "memory://some/out"
    OutStore(url).write("train/readme.txt", b"not ours")
    assert toy.run(url, shard_mb=1).complete
    assert objects(url) == toy.fresh(shard_mb=1) | {"train/readme.txt": hashlib.sha256(b"not ours").hexdigest()}
    shutil.rmtree(toy.root / "cache")
    assert toy.run(url, shard_mb=1).built_groups == 0
    fsspec.filesystem("memory").rm("/some", recursive=True)
