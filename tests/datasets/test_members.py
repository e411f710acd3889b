"""Tar bytes of one record: plain ustar that anything reads, with every field's data where the index says."""

import io
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tessera.datasets import Field, Schema
from tessera.datasets.errors import SchemaError
from tessera.datasets.members import CHECKSUM_BLOCK, FINE_BLOCK, checksums, encode_record

KEY = "ai_001_001-cam_00-0007"


@pytest.fixture
def record(frames_schema, frame):
    return encode_record(frames_schema, KEY, frame)


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024)), mode="r:") as archive:
        return {info.name: (info, archive.extractfile(info).read()) for info in archive.getmembers()}


def test_members_are_sorted_and_named_by_field_and_codec(record):
    names = list(members(record.data))
    fields = ["distance.blosc", "hdr.blosc", "ids.png", "image.jpg", "labels.npz", "meta.json", "normal.blosc",
              "points.npy", "sdf.npy"]  # fmt: skip
    assert names == [f"{KEY}.{name}" for name in fields]


def test_headers_are_ustar_without_time_or_owner(record):
    assert len(record.data) % 512 == 0
    for info, _ in members(record.data).values():
        header = record.data[info.offset : info.offset + 512]
        assert header[257:265] == b"ustar\x0000" and info.isreg()
        assert (info.mtime, info.uid, info.gid, info.mode) == (0, 0, 0, 0o644)
        assert (info.uname, info.gname) == ("tessera", "format1")
        assert info.pax_headers == {}


def test_same_record_same_bytes_whatever_the_order_of_its_fields(record, frames_schema, frame):
    turned = {name: frame[name] for name in reversed(list(frame))}
    again = encode_record(frames_schema, KEY, turned)
    assert again == record


@pytest.mark.parametrize("field", ["points", "sdf", "pose", "scale", "bits"])
def test_offsets_point_at_the_array_data_itself(field, record, frame, frames_schema):
    place, array = record.places[field], np.asarray(frame[field])
    found = np.frombuffer(record.data, array.dtype, array.size, place.offset).reshape(array.shape)
    np.testing.assert_array_equal(found, array)
    assert place.size == array.nbytes


def test_every_place_lies_in_its_own_member_and_npy_data_are_aligned(record, frames_schema):
    spans = {name: (info.offset_data, info.size) for name, (info, _) in members(record.data).items()}
    for field, place in record.places.items():
        codec = frames_schema.by_name[field].codec
        start, size = spans[f"{KEY}.labels.npz" if codec == "npz" else f"{KEY}.{field}.{codec}"]
        assert start <= place.offset and place.offset + place.size <= start + size
        if codec not in ("npy", "npz"):
            assert (place.offset, place.size) == (start, size)
        if codec == "npy":
            assert place.offset % 64 == 0


def test_labels_are_an_ordinary_stored_npz_with_the_shapes_that_were_written(record, frame):
    data = members(record.data)[f"{KEY}.labels.npz"][1]
    with np.load(io.BytesIO(data), allow_pickle=False) as labels:
        assert sorted(labels) == ["bits", "pose", "scale"]
        for name in labels:
            array = np.asarray(frame[name])
            assert (labels[name].dtype, labels[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(labels[name], array)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {(info.compress_type, info.date_time[0]) for info in archive.infolist()} == {(zipfile.ZIP_STORED, 1980)}
        assert archive.testzip() is None


def test_sizes_of_free_dimensions_are_told_and_zero_where_no_field_has_them(frames_schema, frame):
    found = encode_record(frames_schema, KEY, frame)
    assert found.sizes == {"points": len(frame["points"]), "leaves": 5}
    del frame["bits"]
    assert encode_record(frames_schema, KEY, frame).sizes["leaves"] == 0


def test_checksums_are_those_of_the_stored_data_by_block(record):
    for place in record.places.values():
        data = record.data[place.offset : place.offset + place.size]
        assert place.checksums == ((zlib.crc32(data),) if data else ())


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("size", [0, 1, CHECKSUM_BLOCK - 1, CHECKSUM_BLOCK, CHECKSUM_BLOCK + 1, 3 * CHECKSUM_BLOCK])
def test_checksum_blocks(size, fine):
    data = np.random.default_rng(size).bytes(size)
    each = FINE_BLOCK if fine and size > CHECKSUM_BLOCK else CHECKSUM_BLOCK
    expected = [zlib.crc32(data[at : at + each]) for at in range(0, size, each)]
    assert list(checksums(data, fine=fine)) == expected == list(checksums(memoryview(data), fine=fine))


def test_blocks_are_small_where_parts_are_read():
    large = CHECKSUM_BLOCK // 4 + 100
    schema = Schema(
        (Field("pool", "float32", ("n",), "npy"), Field("map", "float32", ("height", "width"), "npy"),
         Field("packed", "float32", ("n",), "blosc"), Field("label", "float32", ("n",), "npz")),
        {"n": None, "height": None, "width": None},
    )  # fmt: skip
    values = np.random.default_rng(0).normal(size=large).astype(np.float32)
    places = encode_record(schema, "k", {"pool": values, "map": values[None], "packed": values, "label": values}).places
    counts = {name: -(-place.size // len(place.checksums)) for name, place in places.items()}
    assert counts["pool"] <= FINE_BLOCK and all(counts[x] > FINE_BLOCK for x in ("map", "packed", "label"))


@pytest.mark.parametrize("size", [0, 1, 383, 384, 385, 512, 896])
def test_members_are_padded_to_whole_blocks_and_no_further(size):
    schema = Schema((Field("a", "uint8", ("n",), "npy"), Field("b", "json", (), "json")), {"n": None})
    data = encode_record(schema, "k", {"a": np.ones(size, np.uint8), "b": 1}).data
    assert list(members(data)) == ["k.a.npy", "k.b.json"]
    assert len(data) == 512 + 512 * -(-(128 + size) // 512) + 1024


TRIPLE = (
    Field("a", "float32", ("n", 3), "npy"),
    Field("b", "uint8", ("n",), "npz"),
    Field("c", "uint8", ("n",), "npz"),
)
POINTS = {"elements": st.floats(-1, 1, width=32)}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 40).flatmap(lambda n: st.tuples(arrays("f4", (n, 3), **POINTS), arrays("u1", n))))
def test_places_of_arrays_of_any_size(pair):
    schema = Schema(TRIPLE, {"n": None})
    values = {"a": pair[0], "b": pair[1], "c": pair[1][::-1]}
    record = encode_record(schema, "k", values)
    for name, place in record.places.items():
        assert record.data[place.offset : place.offset + place.size] == values[name].tobytes()
    assert len(members(record.data)) == 2


def test_a_key_too_long_for_ustar_says_so(frames_schema, frame):
    with pytest.raises(SchemaError, match="shorter keys"):
        encode_record(frames_schema, "k" * 120, frame)


def test_a_record_without_any_field_would_not_be_in_the_tar():
    schema = Schema((Field("a", "float32", (2,), "npy", optional=True),))
    with pytest.raises(SchemaError, match="no field at all"):
        encode_record(schema, "k", {})
