"""Damaged and hostile HDF5 files: an error that says so, never a crash, a hang, much memory or another exception."""

import io
import struct
import tracemalloc

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import RawDataError
from tessera.pipelines.readers.hdf5 import decode_hdf5

SOURCE = "raw/frame.0000.color.hdf5"


def write(build) -> bytes:
    """Bytes of the HDF5 file that `build` fills."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        build(file)
    return memory.getvalue()


def packed(array, **options) -> bytes:
    return write(lambda file: file.create_dataset("dataset", data=array, **options))


def noise(shape):
    """Values that deflate half-way: small integers."""
    return np.random.default_rng(0).integers(0, 100, shape).astype("f2")


def decode(data, shapes=None, dtypes=("f2",)):
    return decode_hdf5(data, source=SOURCE, shapes=shapes, dtypes=dtypes)


def assert_refused(data, *words):
    """It is refused; the one-line message names the file, says the words, and tells what to do."""
    with pytest.raises(RawDataError) as caught:
        decode(data)
    message = str(caught.value)
    assert message.startswith(f"{SOURCE}: ") and "; " in message and "\n" not in message
    assert all(word in message for word in words), message
    assert "again" in message or "?" in message


def test_refuses_what_is_no_hdf5_file():
    assert_refused(b"", "is empty", "fetch it again")
    assert_refused(b"<html>404</html>", "not an HDF5 file", "<html>")
    assert_refused(packed(noise(9))[:8], "damaged")


def test_truncated_at_any_length():
    """Trap (#52, #90): an interrupted download leaves the first part of a file."""
    data = packed(noise((64, 64)), chunks=(16, 16), compression="gzip")
    for length in {*range(1, 400), *range(400, len(data), 37), len(data) - 1}:
        assert_refused(data[:length])
    assert_refused(data[:-1], "truncated", str(len(data)), "fetch it again")


def test_absurd_shapes_take_no_memory():
    huge = 2**40
    files = [
        write(lambda f: f.create_dataset("dataset", (huge,), "f2")),
        write(lambda f: f.create_dataset("dataset", (huge, 3), "f2", chunks=(96, 1), compression="gzip")),
        write(lambda f: f.create_dataset("dataset", (2**30,), "f2", chunks=(2**30,), compression="gzip")),
    ]
    array = packed(noise((64, 3)), chunks=(8, 1), compression="gzip")
    claim = struct.pack("<QQ", 64, 3)
    assert array.count(claim) >= 2  # the shape and the largest shape
    sides = struct.pack("<3I", 8, 1, 2)
    assert array.count(sides) == 1
    files += [array.replace(sides, struct.pack("<3I", 2**32 - 1, side, 2)) for side in (1, 2**32 - 1)]
    plain = packed(noise((64, 3)))
    files += [plain.replace(struct.pack("<Q", 384), struct.pack("<Q", nbytes)) for nbytes in (0, 383, 385, 2**63)]
    assert plain not in files
    files += [array.replace(claim, struct.pack("<QQ", length, 3)) for length in (65, 1000, huge, 2**64 - 1)]
    tracemalloc.start()
    for data in files:
        assert_refused(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_a_deflate_stream_of_another_size_is_refused():
    """The header claims (8, 32) for streams of (8, 16) elements, then (8, 8)."""
    data = packed(noise((64, 16)), chunks=(8, 16), compression="gzip")
    for width in (32, 8):
        changed = data.replace(struct.pack("<QQ", 64, 16), struct.pack("<QQ", 64, width))
        changed = changed.replace(struct.pack("<3I", 8, 16, 2), struct.pack("<3I", 8, width, 2))
        assert changed != data
        assert_refused(changed, "chunk")


def chunk_entries(data):
    """Byte offsets of the entries (key and address, 40 bytes) of the chunk B-tree's first leaf of a 2-D dataset."""
    at = next(i for i in range(len(data)) if data[i : i + 6] == b"TREE\x01\x00")
    return [at + 24 + 40 * i for i in range(struct.unpack_from("<H", data, at + 6)[0])]


def patched(data, at, form, *values):
    changed = bytearray(data)
    struct.pack_into(form, changed, at, *values)
    return bytes(changed)


def test_hostile_chunk_tables():
    data = packed(noise((64, 64)), chunks=(16, 16), compression="gzip")
    first, second, *_ = chunk_entries(data)
    (address,) = struct.unpack_from("<Q", data, first + 32)
    assert_refused(patched(data, second + 32, "<Q", address), "overlap")
    assert_refused(patched(data, first + 32, "<Q", len(data)), "beyond its end")
    assert_refused(patched(data, first + 32, "<Q", 2**64 - 1), "beyond its end")
    assert_refused(patched(data, first, "<I", 2**32 - 1), "beyond its end")
    assert_refused(patched(data, first, "<I", 0), "too small")
    assert_refused(patched(data, first + 4, "<I", 1), "expected 512")
    assert_refused(patched(data, second + 8, "<2Q", 0, 0), "twice or out of order")
    swapped = patched(patched(data, first + 8, "<2Q", 0, 16), second + 8, "<2Q", 0, 0)
    assert_refused(swapped, "twice or out of order")
    assert_refused(patched(data, second + 8, "<2Q", 0, 8), "misplaces")
    assert_refused(patched(data, second + 8, "<2Q", 2**63, 16), "misplaces")
    assert_refused(patched(data, address + 40, "<Q", 0x5A5A5A5A5A5A5A5A), "damaged chunk")


def test_trees_that_bite_their_tail():
    data = packed(noise((64, 64)), chunks=(4, 4))
    root = next(i for i in range(len(data)) if data[i : i + 6] == b"TREE\x01\x01")
    child = root + 24 + 32
    assert_refused(patched(data, child, "<Q", root), "B-tree")
    assert_refused(patched(data, root + 5, "<B", 255), "B-tree")
    assert_refused(patched(data, child + 40, "<Q", struct.unpack_from("<Q", data, child)[0]), "B-tree")


@pytest.mark.parametrize("value", [0, 1, 16, 255])
@pytest.mark.parametrize("options", [{}, {"chunks": (4, 4), "compression": "gzip"}])
def test_any_one_byte_of_the_structure_may_be_wrong(options, value):
    """Trap: the byte 16 in the right place of a name heap makes the HDF5 library take all memory there is."""
    array = noise((8, 8))
    data = packed(array, **options)
    for at in range(len(data)):
        try:
            assert decode(patched(data, at, "<B", value), shapes=[(8, 8)]).shape == (8, 8)
        except RawDataError:
            continue


FUZZED = [packed(noise((24, 20, 3)), chunks=(8, 8, 1), compression="gzip", shuffle=shuffle) for shuffle in (0, 1)]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(FUZZED),
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
    st.floats(0, 1),
)
def test_random_damage_gives_an_error_or_an_array_of_the_right_size(data, changes, kept):
    damaged = bytearray(data)
    for where, value in changes:
        damaged[int(where**3 * len(data))] = value  # the structure is at the front
    damaged = bytes(damaged if kept > 0.2 else damaged[: int(len(data) * kept * 5)])
    try:
        array = decode(damaged, shapes=[(24, 20, 3)])
    except RawDataError as error:
        assert str(error).startswith(f"{SOURCE}: ")
    else:
        assert array.shape == (24, 20, 3) and array.dtype == np.float16
