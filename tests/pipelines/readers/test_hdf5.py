"""decode_hdf5 against h5py on sound files, and its refusal of sound files that hold something else."""

import io
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import RawDataError
from tessera.pipelines.readers.hdf5 import decode_hdf5

SAMPLES = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hypersim" / "apple_ml-hypersim"
ROOM = SAMPLES / "contrib" / "mikeroberts3000" / "jupyter" / "ai_037_002"
NUMBERS = [f"{order}{kind}" for order in "<>" for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2")]


def write(build) -> bytes:
    """Bytes of the HDF5 file that `build` fills."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        build(file)
    return memory.getvalue()


def packed(array, **options) -> bytes:
    return write(lambda file: file.create_dataset("dataset", data=array, **options))


def decode(data, shapes=None, dtypes=NUMBERS):
    return decode_hdf5(data, source="raw/frame.0000.color.hdf5", shapes=shapes, dtypes=dtypes)


def assert_refused(data, *words, shapes=None, dtypes=NUMBERS):
    """It is refused; the one-line message names the file, says the words, and tells what to do."""
    with pytest.raises(RawDataError) as caught:
        decode(data, shapes, dtypes)
    message = str(caught.value)
    assert message.startswith("raw/frame.0000.color.hdf5: ") and "; " in message and "\n" not in message
    assert all(word in message for word in words), message
    assert "again" in message or "?" in message


def noise(shape, dtype="f2", seed=0):
    """Values that deflate half-way: small integers."""
    return np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((192, 256, 3), {"chunks": (96, 128, 1), "compression": "gzip", "compression_opts": 9}),
        ((192, 384), {"chunks": (96, 128), "compression": "gzip", "compression_opts": 9}),
        ((100, 3, 3), {}),
        ((100,), {}),
        ((50, 70, 3), {"chunks": (16, 32, 1), "compression": "gzip"}),
        ((50, 70, 2), {"chunks": (16, 32, 1), "compression": "gzip"}),
        ((50, 70, 5), {"chunks": (16, 32, 2), "compression": "gzip", "shuffle": True}),
        ((9, 8, 7, 6), {"chunks": (2, 3, 4, 5), "compression": "gzip"}),
        ((70, 70), {"chunks": (1, 1)}),
        ((40, 41), {"chunks": (13, 17), "shuffle": True}),
        ((10,), {"chunks": (64,), "maxshape": (None,), "compression": "gzip"}),
    ],
)
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<i2", "<f8", ">i4", "u1"])
def test_equals_h5py(shape, options, dtype):
    array = noise(shape, dtype)
    decoded = decode(packed(array, **options))
    assert decoded.dtype == np.dtype(dtype).newbyteorder("=") and decoded.dtype.isnative
    assert decoded.flags.c_contiguous and decoded.flags.writeable and decoded.flags.owndata
    np.testing.assert_array_equal(decoded, array)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_equals_h5py_for_any_shape_and_chunk(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=3)))
    chunk = tuple(data.draw(st.integers(1, length)) for length in shape)
    dtype, squeeze, shuffle = data.draw(st.tuples(st.sampled_from(NUMBERS), st.booleans(), st.booleans()))
    options = {"compression": "gzip"} if squeeze else {}
    array = noise(shape, dtype)
    np.testing.assert_array_equal(decode(packed(array, chunks=chunk, shuffle=shuffle, **options)), array)


def test_keeps_the_bits_of_nan_and_infinity():
    bits = np.random.default_rng(1).integers(0, 2**16, (96, 64, 3)).astype(np.uint16)
    decoded = decode(packed(bits.view(np.float16), chunks=(32, 32, 1), compression="gzip"))
    np.testing.assert_array_equal(decoded.view(np.uint16), bits)


def test_a_chunk_may_skip_its_filters():
    """HDF5 notes in a chunk's mask which filters it left out, e.g. because they would not shrink it."""
    array = noise((32, 32), "u1")
    array[16:, 16:] = np.random.default_rng(2).integers(0, 256, (16, 16))

    def build(file):
        dataset = file.create_dataset("dataset", data=array, chunks=(16, 16), compression="gzip", shuffle=True)
        dataset.id.write_direct_chunk((16, 16), array[16:, 16:].tobytes(), filter_mask=0b11)
        dataset.id.write_direct_chunk((0, 16), zlib.compress(array[:16, 16:].tobytes()), filter_mask=0b01)

    np.testing.assert_array_equal(decode(write(build)), array)


def test_the_same_bytes_may_be_a_deflated_chunk_and_a_plain_one():
    rng = np.random.default_rng(3)
    tries = (rng.integers(0, letters, 64).astype(np.uint8) for letters in range(2, 200))
    block = next(each for each in tries if len(zlib.compress(each.tobytes())) == 64)
    stream = np.frombuffer(zlib.compress(block.tobytes()), np.uint8)

    def build(file):
        dataset = file.create_dataset("dataset", (4, 64), "u1", chunks=(1, 64), compression="gzip")
        for row, mask in enumerate((0, 1, 0, 1)):
            dataset.id.write_direct_chunk((row, 0), stream.tobytes(), filter_mask=mask)

    np.testing.assert_array_equal(decode(write(build)), [block, stream, block, stream])


def test_allowed_shapes_may_leave_an_axis_free():
    data = packed(noise((100, 3)))
    assert decode(data, shapes=[(4, 4), (None, 3)]).shape == (100, 3)
    for wrong in [(None, 4), (None,), (None, None, None), (99, 3)]:
        assert_refused(data, "(100, 3)", "expected", shapes=[wrong])


@pytest.mark.skipif(not ROOM.is_dir(), reason="the Hypersim sample is not on this machine")
@pytest.mark.parametrize("path", sorted(SAMPLES.glob("**/*.hdf5")), ids=lambda path: path.name)
def test_real_files_equal_h5py(path):
    data = path.read_bytes()
    with h5py.File(path) as file:
        wanted = file["dataset"][()]
    np.testing.assert_array_equal(decode(data, shapes=[wanted.shape], dtypes=[wanted.dtype]), wanted)


FOREIGN = {
    "soft link": (lambda f: (f.create_dataset("x", data=[1.0]), f.__setitem__("dataset", h5py.SoftLink("/x"))), "link"),
    "external link": (lambda f: f.__setitem__("dataset", h5py.ExternalLink("/etc/passwd", "/x")), ""),
    "external storage": (
        lambda f: f.create_dataset("dataset", (4,), "f4", external=[("/etc/passwd", 0, 16)]),
        "other files",
    ),
    "compound": (lambda f: f.create_dataset("dataset", data=np.zeros(3, "f4,i4")), "compound"),
    "variable-length text": (lambda f: f.create_dataset("dataset", data=["a", "bc"]), "nested"),
    "text": (lambda f: f.create_dataset("dataset", data=np.array([b"a", b"bc"])), "string"),
    "bool": (lambda f: f.create_dataset("dataset", data=np.ones(3, bool)), "enumeration"),
    "array type": (lambda f: f.create_dataset("dataset", (3,), np.dtype((np.float32, 4))), "nested"),
    "complex": (lambda f: f.create_dataset("dataset", data=np.ones(3, complex)), "compound"),
    "reference": (lambda f: f.create_dataset("dataset", data=f.ref, dtype=h5py.ref_dtype), "reference"),
    "committed type": (
        lambda f: (f.__setitem__("t", np.dtype("f4")), f.create_dataset("dataset", (4,), f["t"])),
        "shares its header",
    ),
    "fletcher32": (lambda f: f.create_dataset("dataset", data=noise(64), fletcher32=True), "filters [3]"),
    "lzf": (lambda f: f.create_dataset("dataset", data=noise(64), compression="lzf"), "filters [32000]"),
    "scaleoffset": (lambda f: f.create_dataset("dataset", data=noise(64, "i4"), scaleoffset=8), "filters [6]"),
    "another name": (lambda f: f.create_dataset("data", data=noise(4)), "no dataset named"),
    "no name": (lambda f: None, ""),
    "group": (lambda f: f.create_group("dataset"), "no complete dataset"),
    "scalar": (lambda f: f.create_dataset("dataset", data=1.0), "shape ()"),
    "no elements": (lambda f: f.create_dataset("dataset", data=np.ones((0, 3))), "shape (0, 3)"),
    "unwritten": (lambda f: f.create_dataset("dataset", (4, 4), "f4"), "does not hold"),
    "unwritten chunks": (lambda f: f.create_dataset("dataset", (4, 4), "f4", chunks=(2, 2)), ""),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_refuses_what_is_no_plain_dataset(name):
    build, word = FOREIGN[name]
    assert_refused(write(build), word)


def test_refuses_virtual_datasets_and_newer_formats(tmp_path):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource(tmp_path / "elsewhere.hdf5", "dataset", (4,))
    assert_refused(write(lambda file: file.create_virtual_dataset("dataset", layout)))
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver="latest") as file:
        file["dataset"] = noise(9)
    assert_refused(memory.getvalue(), "superblock", "h5repack")


def test_refuses_a_user_block(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w", userblock_size=512) as file:
        file["dataset"] = noise(9)
    assert_refused((tmp_path / "a.hdf5").read_bytes(), "not an HDF5 file")


def test_refuses_other_dtypes():
    data = packed(noise((4, 4), "i2"))
    assert_refused(data, "int16", "expected float16", dtypes=["f2"])
    assert_refused(data, "expected float16 or uint16", dtypes=["<f2", np.dtype(">u2")])


def test_refuses_bit_layouts_that_numpy_would_misread():
    """A 12-bit integer in two bytes and a bfloat16 have the size of ordinary types but other values."""
    for size, change in ((2, lambda t: t.set_precision(12)), (4, lambda t: t.set_ebias(100))):
        kind = (h5py.h5t.NATIVE_INT16 if size == 2 else h5py.h5t.IEEE_F32LE).copy()
        change(kind)
        space = h5py.h5s.create_simple((4,))
        data = write(lambda f, k=kind, s=space: h5py.h5d.create(f.id, b"dataset", k, s))
        assert_refused(data, "unusual")
