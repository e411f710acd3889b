"""Damaged data sets under a stream: an error that names the record where it is due, or a flagged repeat; no hang."""

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tessera.datasets import FormatError, Stream, TesseraError
from tessera.datasets.codecs import CODECS

from .stream_damage import (
    FIELDS,
    LONGEST,
    at_most,
    columns_of,
    flip,
    frames,
    place,
    put_in_place,
    raises_where_due,
    replace,
    rewrite,
    sequence,
    skips,
)

SHARD = {f"s2-{i:04d}" for i in range(4)}  # all of train/frames-000001
ONE = "s2-0002"  # has all optional fields
TAR, INDEX = r"train/frames-000001\.tar", r"train/frames-000001\.parquet"


def truncated(toy: Any) -> None:
    os.truncate(toy.tar(), toy.tar().stat().st_size // 2)


def grown(toy: Any) -> None:
    toy.tar().write_bytes(toy.tar().read_bytes() + bytes(512))


def outside(toy: Any) -> None:
    size = toy.tar().stat().st_size
    rewrite(toy, lambda row: row.update({"pose.offset": size - 5}) if row["key"] == ONE else None)


def fewer_rows(toy: Any) -> None:
    pq.write_table(pq.read_table(toy.index()).slice(0, 3), toy.index())


def other_columns(toy: Any) -> None:
    table = pq.read_table(toy.index())
    pq.write_table(table.drop_columns(["points.offset"]), toy.index())


def other_types(toy: Any) -> None:
    table = pq.read_table(toy.index())
    at = table.column_names.index("points.offset")
    pq.write_table(table.set_column(at, "points.offset", pa.array([1.5] * len(table))), toy.index())


def noise(toy: Any) -> None:
    data = bytearray(toy.index().read_bytes())
    data[4 : len(data) // 2] = np.random.default_rng(0).bytes(len(data) // 2 - 4)
    toy.index().write_bytes(data)


def swapped(toy: Any) -> None:
    toy.index().write_bytes(toy.index("scenes").read_bytes())


WHOLE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "tar truncated": (truncated, TAR + ".*truncated"),
    "tar grown": (grown, TAR + ".*its index says"),
    "tar empty": (lambda toy: os.truncate(toy.tar(), 0), TAR),
    "tar missing": (lambda toy: toy.tar().unlink(), TAR + ".*No such file"),
    "tar is a pipe": (lambda toy: put_in_place(toy.tar(), "pipe"), TAR + ".*not a regular file"),
    "tar is a folder": (lambda toy: put_in_place(toy.tar(), "folder"), TAR + ".*not a regular file"),
    "tar is a loop": (lambda toy: put_in_place(toy.tar(), "loop"), TAR + ".*symbolic links"),
    "index missing": (lambda toy: toy.index().unlink(), INDEX),
    "index is a pipe": (lambda toy: put_in_place(toy.index(), "pipe"), INDEX + ".*not a regular file"),
    "index is a folder": (lambda toy: put_in_place(toy.index(), "folder"), INDEX),
    "index is a loop": (lambda toy: put_in_place(toy.index(), "loop"), INDEX),
    "index is noise": (noise, INDEX + ".*damaged"),
    "index truncated": (lambda toy: os.truncate(toy.index(), 700), INDEX + ".*damaged"),
    "index empty": (lambda toy: os.truncate(toy.index(), 0), INDEX + ".*damaged"),
    "index with fewer rows": (fewer_rows, INDEX + ".*"),
    "index with other columns": (other_columns, INDEX + ".*"),
    "index with other types": (other_types, INDEX + ".*"),
    "index of another table": (swapped, INDEX),
    "index with places outside": (outside, INDEX + ".*'pose'"),
}


@pytest.mark.parametrize("what", WHOLE)
def test_a_whole_bad_shard(toy: Any, built: Any, what: str, caplog: pytest.LogCaptureFixture) -> None:
    healthy = sequence(built.root)
    damage, match = WHOLE[what]
    damage(toy)
    raises_where_due(toy.root, healthy, SHARD, match)
    skips(toy.root, healthy, SHARD, match, caplog)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser reads everything")
@pytest.mark.parametrize("file", ["tar", "index"])
def test_a_file_that_may_not_be_read(toy: Any, built: Any, file: str, caplog: pytest.LogCaptureFixture) -> None:
    getattr(toy, file)().chmod(0)
    match = {"tar": TAR, "index": INDEX}[file] + ".*Permission denied"
    raises_where_due(toy.root, sequence(built.root), SHARD, match)
    skips(toy.root, sequence(built.root), SHARD, match, caplog)


@pytest.mark.parametrize("field", FIELDS)
def test_a_bad_checksum_in_every_codec(toy: Any, built: Any, field: str, caplog: pytest.LogCaptureFixture) -> None:
    offset, size = place(toy, ONE, field)
    flip(toy.tar(), offset + size // 2)
    match = rf"{TAR}, record {ONE}, field {field}: checksum differs"
    raises_where_due(toy.root, sequence(built.root), {ONE}, match)
    skips(toy.root, sequence(built.root), {ONE}, match, caplog)


def encoded(codec: str, array: np.ndarray) -> bytes:
    return CODECS[codec].encode(array, {"quality": 20} if codec == "jpg" else {})[0]


UNDECODABLE: dict[str, tuple[str, bytes]] = {
    "JPEG of noise": ("image", bytes(range(100))),
    "JPEG that ends early": ("image", encoded("jpg", np.zeros((6, 8, 3), np.uint8))[:300]),
    "JPEG of another size": ("image", encoded("jpg", np.zeros((8, 6, 3), np.uint8))),
    "JPEG of another kind": ("image", encoded("jpg", np.zeros((6, 8), np.uint8))),
    "JPEG of nothing": ("image", b""),
    "PNG of noise": ("ids", bytes(range(60))),
    "PNG of another size": ("ids", encoded("png", np.zeros((7, 8), np.uint16))),
    "PNG with colours": ("ids", encoded("png", np.zeros((6, 8, 3), np.uint8))),
    "PNG that ends early": ("ids", encoded("png", np.arange(48).astype(np.uint16).reshape(6, 8))[:-30]),
    "PNG of nothing": ("ids", b""),
    "Blosc of noise": ("distance", bytes(range(40))),
    "Blosc of another size": ("distance", encoded("blosc", np.zeros((5, 8), np.float16))),
    "Blosc that ends early": ("hdr", encoded("blosc", np.zeros((6, 8, 3), np.float16))[:-1]),
    "Blosc of nothing": ("normal", b""),
    "JSON of noise": ("meta", b'{"words": ['),
    "JSON of bytes": ("meta", b"\xff\xfe\x00"),
    "JSON of nothing": ("meta", b""),
    "array that is shorter": ("pose", bytes(64)),
    "array of nothing": ("scale", b""),
    "pool that is shorter": ("points", bytes(12)),
}


@pytest.mark.parametrize("what", UNDECODABLE)
def test_undecodable_with_a_right_checksum(toy: Any, built: Any, what: str, caplog: pytest.LogCaptureFixture) -> None:
    field, data = UNDECODABLE[what]
    replace(toy, ONE, field, data)
    match = rf"{TAR}, record {ONE}, field {field}: "
    raises_where_due(toy.root, sequence(built.root), {ONE}, match)
    skips(toy.root, sequence(built.root), {ONE}, match, caplog)


@pytest.mark.parametrize("size", [0, 1, 1000, -1, -(1 << 62), 1 << 40, (1 << 63) - 1])
@pytest.mark.parametrize("sample", [None, {"points": 4}])
def test_a_size_in_the_index_that_is_not_that_of_the_data(
    toy: Any, built: Any, size: int, sample: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rewrite(toy, lambda row: row.update({"dim.points": size}) if row["key"] == ONE else None)
    match = rf"train/frames-000001.*({ONE}|dim\.points)"
    whole = size < 0 or size > 1 << 26
    bad = SHARD if whole else {ONE}
    kept = [x for x in FIELDS if x != "points"] if sample is None else FIELDS  # `sdf` alone tells of the dimension
    pick = {"fields": kept, **({"sample": sample} if sample else {})}
    if sample is not None:  # pools of nothing give nothing to draw
        bad = bad | {k for k, v in toy.values["frames"].items() if not len(v["points"]) and k < "s3"}
        match = rf"{match}|empty"
    raises_where_due(toy.root, sequence(built.root), bad, match, **pick)
    skips(toy.root, sequence(built.root), bad, match, caplog, **pick)


@pytest.mark.parametrize("field", ["pose", "points", "ids", "normal"])
def test_a_record_without_a_mandatory_field(toy: Any, built: Any, field: str, caplog: pytest.LogCaptureFixture) -> None:
    nothing = dict.fromkeys((f"{field}.offset", f"{field}.size", f"{field}.crc"))
    rewrite(toy, lambda row: row.update(nothing) if row["key"] != ONE else None)
    match = rf"{TAR}, record s2-000[013] lacks field {field}"
    raises_where_due(toy.root, sequence(built.root), SHARD - {ONE}, match)
    skips(toy.root, sequence(built.root), SHARD - {ONE}, match, caplog)


def test_a_dangling_reference(toy: Any, built: Any, caplog: pytest.LogCaptureFixture) -> None:
    fields = ["scale", "scene.cloud", "scene.name", "neighbours.scale"]
    for change in ({"scene": "s9"}, {"neighbours": ["s2-0000", "s2-0009"]}, {"neighbours": ["\x1b[2J"]}):
        rewrite(toy, lambda row, change=change: row.update(change) if row["key"] == ONE else None)
        match = rf"{INDEX}, record {ONE}: (scene|neighbours) names '(s9|s2-0009|.x1b.2J)', which is not in table"
        raises_where_due(toy.root, sequence(built.root), {ONE}, match, fields=fields)
        skips(toy.root, sequence(built.root), {ONE}, match, caplog, fields=fields)


def test_a_null_reference_is_absent(toy: Any) -> None:
    rewrite(toy, lambda row: row.update({"scene": None, "neighbours": None}) if row["key"] == ONE else None)
    fields = ["scale", "scene", "scene.cloud", "scene.name", "neighbours.scale"]
    with at_most(LONGEST), frames(toy.root, fields=fields, batch_size=12) as stream:
        batch = next(iter(stream))
        at = batch["key"].index(ONE)
        assert batch["scene"][at] is None and batch["scene.name"][at] is None
        assert not batch["scene.cloud.present"][at] and batch["scene.cloud.present"].sum() == 11
        for name in ("scene.cloud", "neighbours"):
            assert batch[f"{name}.offsets"][at] == batch[f"{name}.offsets"][at + 1]


def test_references_to_a_table_with_a_bad_shard(toy: Any, built: Any, caplog: pytest.LogCaptureFixture) -> None:
    os.truncate(toy.tar("scenes"), 600)
    fields, match = ["scale", "scene.cloud"], r"train/scenes-000001\.tar, record s2, field cloud"
    raises_where_due(toy.root, sequence(built.root), SHARD, match, fields=fields)
    skips(toy.root, sequence(built.root), SHARD, match, caplog, fields=fields)


def test_an_empty_data_set_says_so(toy: Any) -> None:
    values = json.loads((toy.root / "dataset.json").read_text()) | {"shards": []}
    (toy.root / "dataset.json").write_text(json.dumps(values))
    with pytest.raises(TesseraError, match=r"toy, table frames.*no record"):
        Stream(toy.root, "frames")


def test_one_record(toy: Any) -> None:
    with frames(toy.root, table="scenes", split="val", fields=None, batch_size=2) as stream:
        (batch,) = stream
        assert batch["key"] == ["s3", "s3"] and batch["repeat"].tolist() == [False, True]
    os.truncate(toy.tar("scenes", "val", 0), 10)
    for policy in ("raise", "skip"):
        with (
            at_most(LONGEST),
            frames(toy.root, table="scenes", split="val", fields=None, on_error=policy) as stream,
            pytest.raises(FormatError, match=r"scenes-000000\.tar"),
        ):
            next(iter(stream))


@pytest.mark.parametrize("order", ["global", "block", "sequential"])
def test_every_record_bad_is_an_error_whatever_the_policy(toy: Any, order: str) -> None:
    for tar in (toy.root / "train").glob("frames-*.tar"):
        os.truncate(tar, 100)
    with (
        at_most(LONGEST),
        frames(toy.root, on_error="skip", order=order) as stream,
        pytest.raises(FormatError, match=r"none of.*frames-00000"),
    ):
        list(stream)


def test_columns_that_the_test_names_exist(toy: Any) -> None:
    assert {"points.offset", "pose.offset", "dim.points"} <= set(columns_of(toy))
