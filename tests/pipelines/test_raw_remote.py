"""RAW on an object store, against a real S3 server: what is asked of it, and what happens when it is not there."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs
from moto.server import ThreadedMotoServer
from tessera.datasets import RawDataError, TesseraError
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.raw import open_raw
from tessera.pipelines.raw_remote import RemoteStore
from tessera.pipelines.raw_store import StoreError
from tessera.pipelines.rawfiles import RawFiles
from tessera.pipelines.recipe import Plan

from .conftest import Toy
from .places import pack, put, upload

NOBODY = "http://127.0.0.1:9"  # the port that discards; nothing listens there


@pytest.fixture
def houses(toy: Toy) -> Toy:
    toy.name = "houses"
    for number in range(4):
        (toy.raw / f"h{number}").mkdir(parents=True)
        (toy.raw / f"h{number}/words.txt").write_text("x yy zzz"[: 3 + number])
    return toy


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is asked of the store, in order: `ls KEY`, or `get KEY` with the range."""
    asked: list[str] = []
    ls, get = s3fs.S3FileSystem._ls, s3fs.S3FileSystem._cat_file

    async def _ls(self: object, path: str, *args: object, **options: object) -> object:
        asked.append(f"ls {path}")
        return await ls(self, path, *args, **options)

    async def _cat_file(self: object, path: str, start: object = None, end: object = None, **options: object) -> object:
        asked.append(f"get {path} {start}-{end}")
        return await get(self, path, start=start, end=end, **options)

    monkeypatch.setattr(s3fs.S3FileSystem, "_ls", _ls)
    monkeypatch.setattr(s3fs.S3FileSystem, "_cat_file", _cat_file)
    yield asked


def test_an_archive_is_read_by_ranges_and_never_as_a_whole(tmp_path: Path, bucket: str, requests: list[str]) -> None:
    (tmp_path / "raw/one").mkdir(parents=True)
    for number in range(50):
        (tmp_path / f"raw/one/{number:02d}.bin").write_bytes(os.urandom(100_000))
    raw = open_raw(upload(pack(tmp_path / "raw", tmp_path / "packed"), f"{bucket}/x"))
    files = RawFiles(raw)
    for name in ("07.bin", "41.bin", "07.bin"):
        assert files.read(f"one/{name}") == (tmp_path / f"raw/one/{name}").read_bytes()
    gets = [line.split()[2].split("-") for line in requests if line.startswith("get")]
    assert len(gets) == 2 + 3  # the archive's end and directory once, then one range a member
    assert sum(int(end) - int(start) for start, end in gets) < 400_000


def test_a_folder_is_listed_once_however_many_files_are_planned_and_read(
    houses: Toy, bucket: str, requests: list[str]
) -> None:
    url = upload(houses.raw, f"{bucket}/x")
    requests.clear()
    assert houses.run(raw=url).records == 9
    listed = [line for line in requests if line.startswith("ls")]
    assert len(listed) == len(set(listed)) == 1 + 4
    requests.clear()
    assert houses.run(raw=url).built_groups == 0
    assert len([line for line in requests if line.startswith("ls")]) == 5, "the next run looks again"


def test_an_object_that_is_written_again_within_a_second_has_changed(bucket: str) -> None:
    """Stores tell times in whole seconds; the version of the object tells the rest."""
    notes = []
    for content in (b"one", b"two", b"two"):
        put(f"{bucket}/x/file", content)
        notes.append((open_raw(f"{bucket}/x") / "file").state().mtime_ns)
    assert notes[0] != notes[1]


def test_names_that_would_be_no_path_are_passed_over(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys may hold anything; a folder and an object may have one name, and consoles make a marker for a folder."""
    for key in ("good/a.txt", "good", "good/"):
        put(f"{bucket}/x/{key}", b"content")
    raw = open_raw(f"{bucket}/x/")
    assert raw.names() == ["good"] and (raw / "good").is_dir() and (raw / "good").names() == ["a.txt"]
    hostile = ("../evil", "..", ".", "li\nne", "back\\slash", "a/b", "\x1b[2J", "\0", "fine")

    async def _ls(self: object, path: str, *args: object, **options: object) -> list[dict[str, object]]:
        return [{"name": f"{path}/{name}", "type": "file", "size": 1} for name in hostile]

    monkeypatch.setattr(s3fs.S3FileSystem, "_ls", _ls)
    assert open_raw(f"{bucket}/x").names() == ["fine"]


@pytest.mark.parametrize("place", ["nothing/here", ""])
def test_an_empty_place_is_no_folder(houses: Toy, bucket: str, place: str) -> None:
    with pytest.raises(RawDataError, match=rf"^{bucket}/?{place}: no such folder; --raw \(RAW=\) names the folder"):
        houses.run(raw=f"{bucket}/{place}")
    assert not houses.out.exists()


def test_no_such_bucket(houses: Toy, s3: str) -> None:
    with pytest.raises(RawDataError, match=r"^s3://no-such-bucket/x: no such folder"):
        houses.run(raw="s3://no-such-bucket/x")


def command(houses: Toy, raw: str, **env: str) -> "subprocess.CompletedProcess[str]":
    arguments = ["-m", "tessera", "shards", "houses", "--raw", raw, "--out", str(houses.out), "--workers", "0"]
    environment = {name: value for name, value in {**os.environ, **env}.items() if value}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=houses.root, env=environment, timeout=120
    )


def test_the_command_takes_a_url_and_keeps_it_out_of_the_data_set(houses: Toy, bucket: str) -> None:
    url = upload(houses.raw, f"{bucket}/x")
    done = command(houses, url)
    assert done.returncode == 0, done.stderr
    assert houses.hashes() == houses.fresh() and "Unclosed" not in done.stderr
    assert url not in (houses.out / "dataset.json").read_text()


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"AWS_ENDPOINT_URL": NOBODY}, "Could not connect to the endpoint URL"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
    ],
)
def test_a_store_that_cannot_be_reached_ends_in_one_line(
    houses: Toy, bucket: str, environment: dict[str, str], why: str
) -> None:
    done = command(houses, f"{bucket}/x", **environment)
    assert done.returncode == 1 and why in done.stderr
    assert done.stderr.startswith(f"tessera shards: {bucket}/x: the store cannot be read")
    assert len(done.stderr.splitlines()) == 1 and not houses.out.exists()


def failing(monkeypatch: pytest.MonkeyPatch, times: int, key: str) -> None:
    """Reading a key fails, as with a connection that is lost, so many times."""
    real, left = RemoteStore.read, [times]

    def read(self: RemoteStore, path: str, start: int = 0, size: int | None = None) -> bytes:
        if path == key and left[0]:
            left[0] -= 1
            raise StoreError(f"{self}/{path}: the store cannot be read (lost)")
        return real(self, path, start, size)

    monkeypatch.setattr(RemoteStore, "read", read)


def planned(houses: Toy, url: str) -> object:
    """The recipe with a plan that was made before."""
    recipe = load_recipe("houses")
    plan: Plan = recipe.plan(open_raw(url), recipe.options())
    return dataclasses.replace(recipe, plan=lambda raw, options: plan)


def test_a_hiccup_of_the_store_is_tried_again(houses: Toy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = upload(houses.raw, f"{bucket}/x")
    recipe = planned(houses, url)
    failing(monkeypatch, 1, "h2/words.txt")
    summary = houses.run(raw=url, recipe=recipe)
    assert (summary.retries, summary.rejects, summary.status) == (1, [], 0) and houses.hashes() == houses.fresh()


def test_a_lost_store_stops_the_run_and_rejects_nobody(
    houses: Toy, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = upload(houses.raw, f"{bucket}/x")
    recipe = planned(houses, url)
    with monkeypatch.context() as patch:
        failing(patch, 100, "h2/words.txt")
        with pytest.raises(
            TesseraError, match=r"h2/words.txt: the store cannot be read .*the same command again goes on"
        ):
            houses.run(raw=url, recipe=recipe)
    assert not [name for name in houses.hashes() if "rejects" in name or name.startswith(".")]
    assert houses.run(raw=url).status == 0 and houses.hashes() == houses.fresh()


def test_a_server_that_goes_away_in_a_run(houses: Toy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upload(houses.raw, f"{bucket}/x")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)  # another door to the same store
    server.start()
    host, port = server.get_host_and_port()
    recipe = load_recipe("houses")

    def plan(raw: object, options: object) -> Plan:
        found = recipe.plan(raw, options)
        server.stop()
        return found

    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        with pytest.raises(
            TesseraError, match=r"the store cannot be read \(EndpointConnectionError: Could not connect"
        ):
            houses.run(raw=f"{bucket}/x", recipe=dataclasses.replace(recipe, plan=plan))
    assert houses.run(raw=f"{bucket}/x").status == 0 and houses.hashes() == houses.fresh()


def test_a_lost_store_is_no_change_of_the_raw_files(houses: Toy, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found in thought: a group whose files cannot be looked at would be built again, and its units rejected."""
    url = upload(houses.raw, f"{bucket}/x")
    houses.run(raw=url)
    recipe, before = planned(houses, url), houses.hashes()
    for path in houses.out.glob("runs/seen*"):
        path.unlink()
    real = RemoteStore.state

    def state(self: RemoteStore, path: str) -> object:
        if path.endswith(".txt"):
            raise StoreError("lost")
        return real(self, path)

    monkeypatch.setattr(RemoteStore, "state", state)
    with pytest.raises(StoreError, match="lost"):
        houses.run(raw=url, recipe=recipe)
    assert houses.hashes() == before
