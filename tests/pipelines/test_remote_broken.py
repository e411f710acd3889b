"""`--out s3://...` when runs are killed, connections lost and objects damaged: the same command mends it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tessera import cli
from tessera.pipelines.out_store import OutStore

from .conftest import Toy
from .cut import Cut
from .remote import check_indexes, lock, objects, objects_through


@pytest.mark.parametrize("what", ["tar", "index", "note", "size", "catalog", "all"])
def test_what_is_damaged_in_the_store_is_built_again(toy: Toy, url: str, what: str) -> None:
    """An index whose tar is missing or of another size is not committed."""
    toy.fill(12)
    toy.run(url, shard_mb=1)
    wanted, store = objects(url), OutStore(url)
    tar = next(name for name in wanted if name.endswith(".tar"))
    name = {"tar": tar, "index": tar[:-4] + ".parquet", "note": f"runs/notes/{tar[:5]}-{tar[-10:-4]}.json"}.get(what)
    if what == "size":
        store.write(tar, b"short")
    for lost in store.list() if what == "all" else [name or "dataset.json"] if what != "size" else []:
        store.delete(lost)
    mended = toy.run(url, shard_mb=1)
    assert mended.complete and mended.built_groups == {"catalog": 0, "all": mended.groups}.get(what, 1)
    assert objects(url) == wanted


@pytest.mark.slow
def test_killed_at_random_moments(toy: Toy, url: str) -> None:
    toy.fill(16)
    hit = 0
    for wait in (0.1, 0.3, 0.5):
        process = toy.start("--workers", "0", "--shard-mb", "1", out=url, TOY_SECONDS="0.01")
        while lock(url).get("pid") != process.pid and process.poll() is None:
            time.sleep(0.02)
        time.sleep(wait)
        hit += process.poll() is None
        process.kill()
        process.communicate()
        check_indexes(url, toy.root)
    assert hit > 1
    toy.run(url, shard_mb=1)
    assert objects(url) == toy.fresh(shard_mb=1)
    assert lock(url) == {}


def test_killed_before_every_request(toy: Toy, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run dies, as far as the store can see, before its N-th change there; the next one ends it."""
    toy.fill(3)
    wanted, left = toy.fresh(shard_mb=1), [0]

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: OutStore, name: str, *rest: Any) -> Any:
            if name.startswith("runs/lock"):
                return change(self, name, *rest)
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return change(self, name, *rest)

        return call

    for round in range(2):  # built at first, then rebuilt
        for count in range(100):
            with monkeypatch.context() as patch:
                for change in ("put", "write", "delete"):
                    patch.setattr(OutStore, change, counted(getattr(OutStore, change)))
                left[0] = count
                try:
                    toy.run(url, shard_mb=1)
                    break
                except KeyboardInterrupt:
                    check_indexes(url, toy.root)
            toy.run(url, shard_mb=1)
            assert objects(url) == wanted
            if round == 0:
                for name in OutStore(url).list():
                    OutStore(url).delete(name)
            else:
                toy.unit("u01", f"x yy{'y' * count}")
                wanted = toy.fresh(shard_mb=1)
        assert count > 6


def test_lost_connection_ends_in_one_line_and_the_same_command_goes_on(
    toy: Toy, url: str, s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.fill(12)
    arguments = ["shards", "toy", "--raw", str(toy.raw), "--out", url, "--workers", "0", "--shard-mb", "1"]
    with Cut(s3) as cut:
        monkeypatch.setenv("AWS_ENDPOINT_URL", cut.url)
        put = OutStore.put

        def third(self: OutStore, name: str, path: Path) -> None:
            if len(objects_through(s3, url)) > 4:
                cut.cut()
            put(self, name, path)

        with monkeypatch.context() as patch:
            patch.setattr(OutStore, "put", third)
            assert cli.run(arguments) == 1
        said = capsys.readouterr().err.splitlines()
        assert said[-1].startswith(f"tessera shards: --out {url}: ") and said[-1].endswith("goes on from here")
        assert "Traceback" not in "".join(said)
        wanted, there = toy.fresh(shard_mb=1), objects_through(s3, url)
        assert {name: there[name] for name in there if name != "dataset.json"}.items() <= wanted.items()
        cut.mend()
        assert cli.run(arguments) == 0
    assert objects_through(s3, url) == wanted


@pytest.mark.slow
def test_ray_workers_publish_their_own_groups(toy: Toy, url: str) -> None:
    toy.fill(24)
    assert toy.run(url, shard_mb=1, workers=2).complete
    assert objects(url) == toy.fresh(shard_mb=1)
    process = toy.start("--workers", "2", "--shard-mb", "1", "--scale", "2.0", out=url, TOY_SECONDS="0.05")
    while not lock(url) and process.poll() is None:
        time.sleep(0.05)
    time.sleep(7.0)
    process.kill()
    process.communicate()
    toy.run(url, shard_mb=1, scale=2.0)
    assert objects(url) == toy.fresh(shard_mb=1, scale=2.0)
