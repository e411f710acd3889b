"""Checksums under a stream: at the edges of blocks, in slices, after any single flipped bit; and what stands in."""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tessera.datasets import Catalog, Column, Field, FormatError, Mix, Schema, ShardWriter, Stream, Table
from tessera.datasets.catalog import scan_shards
from tessera.datasets.index import index_bytes, read_facts, read_rows
from tessera.datasets.members import CHECKSUM_BLOCK, FINE_BLOCK

from .stream_damage import FIELDS, LONGEST, at_most, flip, frames, sequence

POINTS = 12 * FINE_BLOCK // 4 + 1000  # float32: twelve whole blocks and a short one
SCHEMA = Schema(
    (Field("pool", "float32", ("points",), "npy"), Field("code", "uint8", ("points",), "npy")), {"points": None},
    (Column("number", "int64"),),
)  # fmt: skip


def big_set(root: Path, records: int = 2, schema: Schema = SCHEMA) -> None:
    """Records `u0`, `u1`, ... with a pool of several blocks each."""
    with ShardWriter(root / "train", "big", "train", 0, schema, run="run") as writer:
        for number in range(records):
            writer.begin(f"u{number}")
            pool = np.arange(POINTS, dtype=np.float32) + number
            writer.add(f"u{number}", {"pool": pool, "code": pool.astype(np.uint8)}, {"number": number})
        writer.commit({f"u{n}": "f" for n in range(records)}, [], {})
    blank = Catalog("big", "big", "building", {}, {}, {}, 1, {"train": 1}, 1 << 30, {"big": schema}, "0.1")
    blank.with_shards(scan_shards(root, blank), 0, "complete").write(root, "run")


EDGES = [
    at
    for block in (0, 1, 11)
    for at in (block * FINE_BLOCK, (block + 1) * FINE_BLOCK - 1)
] + [12 * FINE_BLOCK, 4 * POINTS - 1]  # fmt: skip


@pytest.mark.parametrize("at", EDGES)
@pytest.mark.parametrize("bit", [0, 7])
def test_a_flip_at_an_edge_of_a_block(tmp_path: Path, at: int, bit: int) -> None:
    big_set(tmp_path, 1)
    (row,) = read_rows(tmp_path / "train" / "big-000000.parquet").to_pylist()
    flip(tmp_path / "train" / "big-000000.tar", row["pool.offset"] + at, bit)
    block = at // FINE_BLOCK * FINE_BLOCK
    match = rf"big-000000\.tar, record u0, field pool: checksum differs at byte {block} "
    with (
        at_most(LONGEST),
        Stream(tmp_path, fields=["pool"], threads=1, batch_size=1) as stream,
        pytest.raises(FormatError, match=match),
    ):
        next(iter(stream))
    with Stream(tmp_path, fields=["code"], threads=0) as stream:  # the neighbours are whole
        assert len(list(stream)) == 1


def test_slices_that_touch_a_bad_block_and_only_those(tmp_path: Path) -> None:
    big_set(tmp_path, 1)
    (row,) = read_rows(tmp_path / "train" / "big-000000.parquet").to_pylist()
    flip(tmp_path / "train" / "big-000000.tar", row["pool.offset"] + FINE_BLOCK + 40)
    low, high = FINE_BLOCK // 4, 2 * FINE_BLOCK // 4
    outcomes = set()
    with at_most(LONGEST), Stream(tmp_path, fields=["pool"], sample={"pool": 9999}, threads=1, batch_size=1) as stream:
        for epoch in range(60):
            stream.set_epoch(epoch)
            try:
                (batch,) = stream
            except FormatError as error:
                assert f"checksum differs at byte {FINE_BLOCK} " in str(error)
                outcomes.add("bad")
            else:
                values = batch["pool"][0].long()
                assert not ((values >= low) & (values < high)).any(), "an element of the damaged block was given"
                assert ((values.diff() == 1) | (values[1:] == 0)).all()
                outcomes.add("good")
    assert outcomes == {"bad", "good"}


def test_without_checksums_the_bytes_come_as_they_are(tmp_path: Path) -> None:
    big_set(tmp_path, 1)
    (row,) = read_rows(tmp_path / "train" / "big-000000.parquet").to_pylist()
    flip(tmp_path / "train" / "big-000000.tar", row["code.offset"] + 7)
    (batch,) = Stream(tmp_path, fields=["code"], checksums=False, threads=0, batch_size=1)
    assert batch["code"][7] == 7 ^ 1


def given(root: Path) -> dict[str, Any]:
    """All that a stream of frames gives, in one batch."""
    fields = [*FIELDS, "camera", "mean", "scene.cloud", "scene.name"]
    with frames(root, threads=0, batch_size=16, split=None, fields=fields) as stream:
        return next(iter(stream))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value.nan_to_num(), other[name].nan_to_num()) if torch.is_tensor(value) else value == other[name]
        for name, value in one.items()
    )


def test_every_single_bit_flip_is_found_or_changes_nothing(toy: Any, built: Any) -> None:
    """300 random bits of the tars: of arrays, headers, padding."""
    whole, rng = given(built.root), np.random.default_rng(8)
    tars = sorted(path for path in toy.root.rglob("*.tar"))
    sizes = np.array([path.stat().st_size for path in tars])
    found = 0
    with at_most(60):
        for _ in range(300):
            number = int(rng.choice(len(tars), p=sizes / sizes.sum()))
            path, at, bit = tars[number], int(rng.integers(sizes[number])), int(rng.integers(8))
            flip(path, at, bit)
            try:
                assert same(whole, given(toy.root))
            except FormatError as error:
                assert path.name in str(error) and "checksum differs" in str(error) and ", field " in str(error)
                found += 1
            flip(path, at, bit)
    assert 10 < found < 290


def test_every_flip_in_an_array_is_found(toy: Any) -> None:
    rng = np.random.default_rng(9)
    rows = read_rows(toy.index()).to_pylist()
    for _ in range(60):
        row, field = rows[int(rng.integers(len(rows)))], FIELDS[int(rng.integers(len(FIELDS)))]
        if row[f"{field}.size"]:
            at = row[f"{field}.offset"] + int(rng.integers(row[f"{field}.size"]))
            flip(toy.tar(), at)
            with pytest.raises(FormatError, match=rf"000001\.tar, record {row['key']}, field {field}: checksum"):
                list(frames(toy.root, threads=0, batch_size=1, fields=[field]))
            flip(toy.tar(), at)


# ---- what stands in for records that cannot be read


@pytest.mark.parametrize("order", ["global", "block", "sequential"])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_batch_of_which_nothing_can_be_read(toy: Any, built: Any, order: str, size: int) -> None:
    healthy = sequence(built.root, batch_size=size, order=order)
    os.truncate(toy.tar(), 100)
    with at_most(LONGEST), frames(toy.root, on_error="skip", batch_size=size, order=order) as stream:
        batches = list(stream)
        again = [batch["key"] for _ in range(2) for batch in (stream.set_epoch(0), stream)[1]]
    assert len(batches) == len(healthy)
    for batch, keys in zip(batches, healthy, strict=True):
        bad = [key.startswith("s2") for key in keys]
        assert batch["repeat"].tolist() == bad and not any(key.startswith("s2") for key in batch["key"])
        assert all(new == old for new, old, gone in zip(batch["key"], keys, bad, strict=True) if not gone)
    assert again[: len(healthy)] == [batch["key"] for batch in batches], "the same stand in each time"


def test_skipped_records_and_resume_keep_the_sequence(toy: Any) -> None:
    os.truncate(toy.tar(), 100)
    options = {"on_error": "skip", "batch_size": 2}
    whole = [list(zip(b["key"], b["repeat"].tolist(), strict=True)) for b in frames(toy.root, **options)]
    for stop in range(1, 6):
        with frames(toy.root, **options) as first, frames(toy.root, **options) as second:
            batches = iter(first)
            start = [next(batches) for _ in range(stop)]
            second.load_state_dict(first.state_dict())
            seen = [list(zip(b["key"], b["repeat"].tolist(), strict=True)) for b in [*start, *second]]
        assert seen == whole


def test_every_rank_takes_the_same_steps_over_a_bad_shard(toy: Any) -> None:
    os.truncate(toy.tar(), 100)
    streams = [frames(toy.root, on_error="skip", batch_size=2, rank=rank, world_size=2) for rank in range(2)]
    batches = [list(stream) for stream in streams]
    assert len(batches[0]) == len(batches[1]) == 3
    kept = [k for part in batches for b in part for k, r in zip(b["key"], b["repeat"].tolist(), strict=True) if not r]
    assert sorted(kept) == [f"s{unit}-{i:04d}" for unit in range(2) for i in range(4)]


def test_a_mixture_skips_too(toy: Any, built: Any) -> None:
    os.truncate(toy.tar(), 100)
    bad = frames(toy.root, fields=["pose"], on_error="skip")
    good = frames(built.root, fields=["pose"], split="val")
    with at_most(LONGEST), Mix([(bad, 1), (good, 1)], batch_size=2, length=24) as mix:
        batches = list(mix)
        assert len(batches) == 12 and sum(int(b["repeat"].sum()) for b in batches) == 4
        assert mix.stats().skipped >= 4 and len(mix.stats().skipped_errors) == 4
    with (
        at_most(LONGEST),
        Mix([(frames(toy.root, fields=["pose"]), 1), (good, 1)], batch_size=2) as mix,
        pytest.raises(FormatError, match=r"frames-000001\.tar, record s2-.*truncated"),
    ):
        list(mix)


def test_a_record_asked_for_by_key_is_that_record_or_an_error(toy: Any) -> None:
    os.truncate(toy.tar(), 100)
    with frames(toy.root, on_error="skip") as stream:
        assert stream.get(["s0-0001"])["key"] == ["s0-0001"]
        for keys in (["s2-0001"], ["s0-0001", "s2-0001"]):
            with pytest.raises(FormatError, match=r"frames-000001\.tar, record s2-0001"):
                stream.get(keys)


def test_a_tar_that_shrinks_while_it_is_read(toy: Any) -> None:
    """A memory map would kill the process (SIGBUS)."""
    with at_most(LONGEST), frames(toy.root, batch_size=1, order="sequential", prefetch=1, threads=1) as stream:
        batches = iter(stream)
        assert next(batches)["key"] == ["s0-0000"]
        for tar in (toy.root / "train").glob("frames-*.tar"):
            os.truncate(tar, 700)
        with pytest.raises(FormatError, match=r"frames-00000.*record s\d-000\d, field .*(truncated|ends before byte)"):
            list(batches)


def test_indexes_with_large_blocks_for_large_pools_are_read_as_well(tmp_path: Path) -> None:
    """Data sets that are older than small blocks, or made by others after the format's page."""
    big_set(tmp_path, 2)
    path = tmp_path / "train" / "big-000000.parquet"
    rows = read_rows(path).to_pylist()
    data = path.with_suffix(".tar").read_bytes()
    for row in rows:
        pool = data[row["pool.offset"] :][: row["pool.size"]]
        row["pool.crc"] = [zlib.crc32(pool[at : at + CHECKSUM_BLOCK]) for at in range(0, len(pool), CHECKSUM_BLOCK)]
    path.write_bytes(index_bytes(SCHEMA, rows, read_facts(path)))
    blank = Catalog.read(tmp_path)
    blank.with_shards(scan_shards(tmp_path, blank), 0, "complete").write(tmp_path, "run")
    (batch,) = Stream(tmp_path, fields=["pool"], sample={"pool": 999}, threads=0, batch_size=2)
    assert (batch["pool"].diff() == 1).all(1).any()
    flip(path.with_suffix(".tar"), rows[1]["pool.offset"] + rows[1]["pool.size"] - 1)
    with pytest.raises(FormatError, match=f"field pool: checksum differs at byte {3 * CHECKSUM_BLOCK} "):
        list(Stream(tmp_path, fields=["pool"], threads=0, batch_size=2))
    assert Table(tmp_path, Catalog.read(tmp_path), "big")["u0"]["pool"].shape == (POINTS,)
