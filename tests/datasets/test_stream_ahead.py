"""What a stream does ahead and keeps: prefetch of remote shards, the memory of indexes, runs of the order."""

from typing import Any

import numpy as np
import pytest
from tessera.datasets import Stream
from tessera.datasets.errors import StoreError
from tessera.datasets.loading import files as files_module
from tessera.datasets.loading import reader as reader_module
from tessera.datasets.loading.cuts import Sample, strata_spans
from tessera.datasets.order import Order, key_of

from .stream_data import numbers, numbers_set, same_batch


class Announced:
    """Files, as those of a store, that note what they are told of."""

    def __init__(self, local: files_module.LocalFiles) -> None:
        self.told: list[tuple[str, int]] = []
        self._local = local

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def prefetch(self, shard: Any, spans: Any) -> None:
        self.told += [(shard.tar, offset) for offset, _ in spans]


def test_what_will_be_read_is_announced_before_it_is_read(built, monkeypatch):
    stream = Stream(built.root, "frames", fields=["scale", "scene.cloud"], batch_size=4, threads=1, prefetch=1)
    files = Announced(files_module.LocalFiles(built.root))
    monkeypatch.setattr(stream, "_files", files)
    batches = iter(stream)
    next(batches)
    first = len(files.told)
    assert first >= 2 * 4 and any("scenes" in tar for tar, _ in files.told)  # this batch, and the next one
    rest = list(batches)
    frames = {place for place in files.told if "frames" in place[0]}
    assert len(frames) == 16 and len(rest) == 3
    stream.close()


def test_of_large_pools_that_are_drawn_from_nothing_is_announced(built, monkeypatch):
    from tessera.datasets.loading import reader

    monkeypatch.setattr(reader, "SLICED", 8)
    stream = Stream(built.root, "frames", fields=["scale", "points"], sample={"points": 2}, on_error="skip", threads=0)
    files = Announced(files_module.LocalFiles(built.root))
    stream.reader.announce(np.arange(4), files)
    assert len(files.told) == 4  # `scale` alone


def test_a_store_that_goes_down_is_no_damaged_record(built, monkeypatch):
    """Skipping would end in an epoch of a few records, silently."""
    stream = Stream(built.root, "frames", fields=["scale"], batch_size=4, on_error="skip", threads=0)
    real, reads = files_module.LocalFiles.read, []

    def read(self: Any, shard: Any, offset: int, out: memoryview) -> None:
        reads.append(offset)
        if len(reads) > 5:
            raise StoreError("the store is down")
        real(self, shard, offset, out)

    monkeypatch.setattr(files_module.LocalFiles, "read", read)
    with pytest.raises(StoreError, match=r"record .* field scale: the store is down"):
        list(stream)
    assert stream.stats().skipped == 0


def test_indexes_in_memory_are_bounded(built, caplog):
    stream = Stream(built.root, "frames", fields=["scale"], batch_size=4, threads=2)
    whole = [batch["key"] for batch in stream]
    records = stream.reader.records
    assert len(records._open) == len(records.shards) > 2 and not caplog.records
    most = 2 * max(rows.nbytes for rows in records._open.values())
    small = Stream(built.root, "frames", fields=["scale"], batch_size=4, threads=2, index_bytes=most)
    assert [batch["key"] for batch in small] == whole
    records = small.reader.records
    assert sum(rows.nbytes for rows in records._open.values()) <= most
    assert len(records._open) < len(records.shards)
    list(small), list(small)
    (said,) = caplog.records
    assert f"do not fit in index_bytes={most}" in said.getMessage(), "once"


def test_numbers_by_key_count_as_memory(built):
    records = Stream(built.root, "frames", fields=["neighbours.scale"]).reader.records
    rows = records.rows(0)
    before = rows.nbytes
    assert records.find(rows.keys[0].as_py()) == 0
    assert records._sizes[0] == rows.nbytes >= before + 128 * len(rows)


def test_records_referred_to_are_remembered_only_so_many(built, monkeypatch):
    fields = ["scale", "neighbours.scale"]
    stream = Stream(built.root, "frames", fields=fields, threads=0)
    whole = list(stream)
    assert len(stream.reader._known["neighbours"]) == stream.epoch_records() > 7
    monkeypatch.setattr(reader_module, "MOST_TARGETS", 7)
    stream = Stream(built.root, "frames", fields=fields, threads=0)
    for one, other in zip(stream, whole, strict=True):
        same_batch(one, other)
        assert len(stream.reader._known["neighbours"]) <= 7


def test_a_batch_over_the_border_of_two_runs_is_the_orders(tmp_path, monkeypatch):
    from tessera.datasets import stream as stream_module

    monkeypatch.setattr(stream_module, "RUN", 16)
    stream = Stream(numbers_set(tmp_path / "set", 100), batch_size=10, fields=["number"], seed=4)
    key = key_of(key_of(4, "small", "things", ""), "order", 0)
    expected = Order("global", 100, key).records(np.arange(100))
    assert numbers(list(stream)) == expected.tolist()


def test_draws_of_strata_do_not_follow_each_other():
    """With one key for all strata, each record would draw at the same place of every stratum."""
    bounds = np.tile(np.array([0, 1000, 2000]), (400, 1))
    spans = strata_spans(Sample("points", 2, ((0, 1), (1, 1))), bounds, 7, np.arange(400))
    first, second = (np.array([piece[k][0] for piece in spans]) for k in (0, 1))
    assert abs(np.corrcoef(first, second - 1000)[0, 1]) < 0.15
