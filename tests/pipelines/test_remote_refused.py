"""`--out s3://...` that cannot work is refused, in one line."""

import importlib
import shutil
import sys

import pytest
from tessera import cli
from tessera.datasets import TesseraError, UsageError
from tessera.pipelines.out_store import OutStore

from .conftest import Toy


def test_what_cannot_work_is_said_in_one_line_before_any_work(
    toy: Toy, url: str, bucket: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.fill(1)
    run = ["shards", "toy", "--raw", str(toy.raw), "--workers", "0", "--out"]
    small = {"TESSERA_CACHE": "/proc/none"}
    without = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    refused = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    cases: list[tuple[list[str], int, str, dict[str, str]]] = [
        ([*run, "s3://nowhere-at-all/x"], 1, "bucket does not exist", {}),
        ([*run, f"{bucket}/a"], 1, "redentials", without),
        ([*run, f"{bucket}/b"], 1, "Could not connect to the endpoint", refused),
        ([*run, "nowhere://bucket/x"], 2, "Protocol not known", {}),
        ([*run, "s3:/bucket/x"], 2, "two slashes", {}),
        ([*run, f"{bucket}/a::s3://b"], 2, "chain of URLs", {}),
        ([*run, url, "--part", "0/2"], 2, "--part writes to a folder that all parts see", {}),
        ([*run, url], 1, "TESSERA_CACHE names a folder", small),
        (["try", *run[1:], url], 2, "the folder of the contact sheet", {}),
        (["info", url], 1, "object stores cannot be read yet", {}),
        (["verify", url], 1, "object stores cannot be read yet", {}),
        (["show", url], 1, "object stores cannot be read yet", {}),
        (["add-label", url, "cube", "--raw", str(toy.raw)], 1, "object stores cannot be read yet", {}),
    ]
    for arguments, status, text, environment in cases:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value) if value else patch.delenv(name)
            assert cli.run(arguments) == status, arguments
        said = capsys.readouterr()
        assert said.out == "" and len(said.err.splitlines()) == 1 and text in said.err, said.err
    assert OutStore(url).list() == {}


def test_without_s3fs_one_line_says_what_to_install(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.fill(1)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    assert cli.run(["shards", "toy", "--raw", str(toy.raw), "--out", "s3://some/where"]) == 2
    said = capsys.readouterr().err
    assert "pip install -e '.[s3]'" in said and len(said.splitlines()) == 1


def test_raw_and_out_in_each_other_are_refused(toy: Toy, url: str) -> None:
    toy.fill(1)
    OutStore(url).put("raw/u00.txt", toy.raw / "u00.txt")
    for raw, out in ((url, f"{url}/raw/out"), (f"{url}/raw", url), (url, url)):
        with pytest.raises(UsageError, match="lie in each other"):
            toy.run(out, raw=raw)


def test_only_the_groups_in_the_making_need_room_in_the_mirror(
    toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.fill(24)
    usage = shutil.disk_usage(toy.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4_000_000))
    with pytest.raises(TesseraError, match="choose another --out"):
        toy.run(shard_mb=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=400_000))
    with pytest.raises(TesseraError, match="TESSERA_CACHE names a folder on a larger disk"):
        toy.run(url, shard_mb=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4_000_000))
    assert toy.run(url, shard_mb=1).complete
