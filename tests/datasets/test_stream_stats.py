"""What a stream says of itself: sums, the verdict, and what a faster loader would gain."""

import threading
import time
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from tessera.datasets import Catalog, Field, Schema, ShardWriter, Stream
from tessera.datasets.catalog import scan_shards
from tessera.datasets.loading import reader

from .stream_damage import at_most, frames

STEP = 0.03  # seconds, far above the noise of a busy machine
SCHEMA = Schema((Field("values", "float32", (64,), "npy"), Field("code", "float32", (64,), "blosc")))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stats")
    with ShardWriter(root / "train", "a", "train", 0, SCHEMA, run="run") as writer:
        writer.begin("u")
        for number in range(60):
            writer.add(f"u-{number:04d}", dict.fromkeys(("values", "code"), np.full(64, number, np.float32)), {})
        writer.commit({"u": "f"}, [], {})
    blank = Catalog("stats", "stats", "building", {}, {}, {}, 1, {"train": 1}, 1 << 30, {"a": SCHEMA}, "0.1")
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "run")
    return root


def slow(seconds: float) -> Any:
    def transform(record: dict[str, Any]) -> dict[str, Any]:
        time.sleep(seconds)
        return record

    return transform


@pytest.mark.parametrize("count", [0, 2])
def test_sums_and_reset(toy: Any, count: int) -> None:
    stored = dict.fromkeys(("pose", "points"), 0)
    for key in (f"s{unit}-{i:04d}" for unit in range(3) for i in range(4)):
        record = toy.values["frames"][key]
        stored["pose"] += record["pose"].nbytes
        stored["points"] += record["points"].nbytes
    with frames(toy.root, fields=["pose", "points"], threads=count) as stream:
        assert stream.stats().verdict == "nothing was read yet" and stream.stats().wait_share == 0
        began = perf_counter()
        for _ in range(2):
            for _ in stream:
                time.sleep(0.002)
        wall, stats = perf_counter() - began, stream.stats()
        assert (stats.steps, stats.records, stats.skipped) == (8, 24, 0)
        assert stats.bytes_read == 2 * (stored["pose"] + stored["points"])
        assert set(stats.decode_seconds) >= {"pose", "points", "index"} and min(stats.decode_seconds.values()) >= 0
        assert 0 < stats.wait_seconds + stats.busy_seconds <= wall and stats.busy_seconds >= 8 * 0.002
        logs = stats.logs()
        assert logs["loader/wait_ms"] == pytest.approx(1e3 * stats.wait_seconds / 8) and "loader/seconds/pose" in logs
        assert all(isinstance(value, float) for value in logs.values())
        stream.reset_stats()
        assert stream.stats().steps == stream.stats().bytes_read == 0 and not stream.stats().decode_seconds
        assert len(list(stream)) == 4 and stream.stats().records == 12


def test_bytes_of_json_are_counted(toy: Any) -> None:
    with frames(toy.root, fields=["meta"], threads=1) as stream:
        list(stream)
        assert stream.stats().bytes_read > 6 * 10


def test_a_slow_transform_is_named(small: Path) -> None:
    with at_most(20), Stream(small, batch_size=5, threads=1, transforms=[slow(STEP / 10)]) as stream:
        list(stream)
        assert stream.stats().costly()[0] == "transforms" and stream.stats().costly()[1] > 0.5
        assert stream.stats().verdict.startswith("the loader is the limit") and "'transforms'" in stream.stats().verdict
    with Stream(small, batch_size=5, threads=1, batch_transforms=[slow(STEP)]) as stream:
        list(stream)
        assert stream.stats().costly()[0] == "batch_transforms"


def test_a_slow_field_is_named(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reader.FieldReader.fill

    def fill(self: Any, *arguments: Any) -> int:
        if self.entry.name == "code":
            time.sleep(STEP)
        return whole(self, *arguments)

    monkeypatch.setattr(reader.FieldReader, "fill", fill)
    with at_most(20), Stream(small, batch_size=5, threads=1) as stream:
        list(stream)
        assert stream.stats().costly()[0] == "code" and "'code' takes" in stream.stats().verdict


def test_a_slow_model_is_the_model(small: Path) -> None:
    with at_most(20), Stream(small, batch_size=5, threads=2) as stream:
        found = stream.diagnose(lambda batch: time.sleep(STEP), steps=15)
        assert found.gain < 0.5 and found.live_ms > 0.9e3 * STEP and found.limit in ("model", "both")
        for _ in stream:
            time.sleep(STEP)
        assert stream.stats().wait_share < 0.4


def test_the_gain_that_is_foretold_is_the_gain(small: Path) -> None:
    """A loader of 60 ms a step and a model of 30 ms: without the slow stage, twice as many steps."""

    def rate(stream: Stream) -> float:
        batches, count = iter(stream), 0
        next(batches)
        began = perf_counter()
        for _ in batches:
            time.sleep(STEP)
            count += 1
        return count / (perf_counter() - began)

    with at_most(30), Stream(small, batch_size=5, threads=1, transforms=[slow(2 * STEP / 5)]) as stream:
        found, before = stream.diagnose(lambda batch: time.sleep(STEP), steps=12), rate(stream)
        assert found.limit == "loader" and found.costly == "transforms"
    with Stream(small, batch_size=5, threads=1) as stream:
        after = rate(stream)
    assert 1 + found.gain == pytest.approx(after / before, rel=0.25)


def test_diagnose_leaves_the_stream_where_it_stands(small: Path) -> None:
    with Stream(small, batch_size=5, threads=2) as stream, Stream(small, batch_size=5, threads=2) as other:
        expected = [batch["key"] for _ in range(2) for batch in other]
        batches = iter(stream)
        seen = [next(batches)["key"] for _ in range(3)]
        state = stream.state_dict()
        stream.diagnose(lambda batch: None, steps=20)
        assert stream.state_dict() == state
        seen += [batch["key"] for batch in batches]
        assert seen + [batch["key"] for batch in stream] == expected
        stream.load_state_dict(state)
        stream.diagnose(lambda batch: None, steps=3)
        assert [batch["key"] for batch in stream] == expected[3:12], "a state that was loaded is still to be taken up"


def test_a_step_that_fails_leaves_no_threads_and_no_other_place(small: Path) -> None:
    def fails(batch: dict[str, Any]) -> None:
        raise RuntimeError("planted")

    with Stream(small, batch_size=5, threads=2) as stream:
        state = stream.state_dict()
        with pytest.raises(RuntimeError, match="planted") as kept:
            stream.diagnose(fails)
        assert kept.value and stream.state_dict() == state
        assert not [x for x in threading.enumerate() if x.name.startswith("tessera-stream")]
