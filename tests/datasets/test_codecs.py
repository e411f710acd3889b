"""Codecs give back what they were given; damaged and hostile bytes cost an error, not memory."""

import io
import json
import pickle
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image, ImageFile
from tessera.datasets.codecs import CODECS
from tessera.datasets.errors import FormatError

DTYPES = st.sampled_from(["bool", "int8", "uint8", "uint16", "int32", "uint64", "float16", "float32", "float64", ">f4"])
SHAPES = st.one_of(st.just(()), array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
ARRAYS = DTYPES.flatmap(lambda dtype: arrays(dtype, SHAPES))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RAMP = (np.add.outer(np.arange(48) * 3, np.arange(64) * 2)[..., None] // 2 + [0, 20, 40]).clip(0, 255).astype(np.uint8)


def encoded(codec, value, **options):
    data, offset = CODECS[codec].encode(value, options)
    return memoryview(data)[offset:]


def decoded(codec, data, dtype, shape):
    return CODECS[codec].decode(memoryview(bytes(data)), np.dtype(dtype), tuple(shape))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["npy", "npz", "blosc"]), ARRAYS, st.booleans())
@example("npy", np.float32(2), False)
@example("blosc", np.float32(2), True)
def test_arrays_come_back_bit_for_bit(codec, array, transposed):
    array = np.asarray(array)
    array = array.T if transposed else array
    found = decoded(codec, encoded(codec, array), array.dtype, array.shape)
    assert found.dtype == array.dtype and found.shape == array.shape
    assert found.tobytes() == array.tobytes()


@settings(max_examples=60, deadline=None)
@given(ARRAYS)
def test_npy_members_are_ordinary_npy_files_with_aligned_data(array):
    data, offset = CODECS["npy"].encode(array, {})
    found = np.load(io.BytesIO(data), allow_pickle=False)
    assert found.shape == array.shape and found.tobytes() == array.tobytes()
    assert offset % 64 == 0 and data[offset:] == array.tobytes()


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9))),
        arrays("uint8", st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(2, 4))),
        arrays("uint16", st.tuples(st.integers(1, 9), st.integers(1, 9))),
        arrays("bool", st.tuples(st.integers(1, 9), st.integers(1, 9))),
    )
)
def test_png_comes_back_bit_for_bit(array):
    found = decoded("png", encoded("png", array), array.dtype, array.shape)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@given(JSON)
def test_json_comes_back(value):
    assert decoded("json", encoded("json", value), "V", ()) == value


@given(JSON, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-le"]), st.sampled_from(["", " ", "\n\t"]))
def test_json_of_others_comes_back(value, encoding, space):
    text = space + json.dumps(value, indent=2) + space
    assert decoded("json", text.encode(encoding), "V", ()) == value


@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64)])
def test_jpeg_error_of_smooth_pictures_is_small(shape):
    picture = RAMP[..., : shape[2]] if len(shape) == 3 else RAMP[..., 0]
    found = decoded("jpg", encoded("jpg", picture), "uint8", shape)
    error = np.abs(found.astype(int) - picture)
    assert found.dtype == np.uint8 and found.shape == shape and error.max() <= 6 and error.mean() < 1.5


def test_jpeg_colour_is_not_subsampled():
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2] = [255, 0, 0]
    stripes[:, 1::2] = [0, 0, 255]
    found = decoded("jpg", encoded("jpg", stripes), "uint8", stripes.shape).astype(int)
    assert np.abs(found - stripes).max() < 30  # with shared chroma every pixel would turn purple


def test_jpeg_quality_and_blosc_level_are_options():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    assert len(encoded("jpg", noise, quality=40)) < len(encoded("jpg", noise)) < len(encoded("jpg", noise, quality=100))
    flat = np.repeat(noise, 4)
    assert len(encoded("blosc", flat)) < len(encoded("blosc", flat, level=0))


VALUES = {"npy": np.arange(60.0).reshape(3, 20), "blosc": np.arange(600, dtype=np.float32).reshape(20, 30),
          "jpg": RAMP, "png": RAMP, "json": {"a": [1, "two", None]}}  # fmt: skip


def shape_of(value):
    return (value.dtype, value.shape) if isinstance(value, np.ndarray) else (np.dtype("V"), ())


@pytest.mark.parametrize("codec", VALUES)
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.1, 0.5, 0.8])
def test_truncated_bytes(codec, keep):
    data = bytes(encoded(codec, VALUES[codec]))
    data = data[: int(keep * len(data))]
    with pytest.raises(FormatError):
        decoded(codec, data, *shape_of(VALUES[codec]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("codec", VALUES)
def test_flipped_bits_and_noise_cost_a_format_error_or_give_the_right_shape(codec):
    rng, value = np.random.default_rng(1), VALUES[codec]
    good = bytes(encoded(codec, value))
    for trial in range(300):
        data = np.frombuffer(good, np.uint8).copy()
        places = rng.integers(0, min(len(data), 200 if trial % 2 else len(data)), 1 + trial % 3)
        data[places] ^= np.uint8(1) << rng.integers(0, 8, len(places)).astype(np.uint8)
        data = data.tobytes() if trial % 10 else rng.bytes(len(good))
        try:
            found = decoded(codec, data, *shape_of(value))
        except FormatError:
            continue
        assert codec == "json" or shape_of(found) == shape_of(value)


@pytest.mark.parametrize("codec", ["npy", "blosc", "jpg", "png"])
@pytest.mark.parametrize("shape", [(1 << 20, 1 << 20, 3), (1 << 32,) * 2, (48, 64, 4), (-48, -64, 3), (48, None, 3)])
def test_other_sizes_than_the_bytes_hold_are_refused_before_memory_is_taken(codec, shape):
    data = encoded(codec, RAMP)
    tracemalloc.start()
    with pytest.raises(FormatError):
        decoded(codec, data, "uint8", shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("codec", ["npy", "blosc"])
def test_sizes_whose_product_overflows_are_not_taken_for_empty(codec):
    with pytest.raises(FormatError):
        decoded(codec, encoded(codec, np.empty(0, np.uint8)), "uint8", (1 << 32, 1 << 32))


def test_a_blosc_header_that_promises_more_than_the_schema_takes_no_memory():
    frame = bytearray(encoded("blosc", np.zeros(100, np.uint8)))
    frame[4:8] = (1 << 31).to_bytes(4, "little")
    with pytest.raises(FormatError, match="decompressed size"):
        decoded("blosc", frame, "uint8", (100,))


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(height, width, *extra):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes((width % 1000 + 1) * (height % 1000))))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + chunk(b"IEND", b"")


def test_a_picture_of_another_size_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(FormatError, match="picture size"):
        decoded("png", png(9000, 9000), "uint8", (4, 4))
    with pytest.raises(FormatError, match="picture is damaged"):
        decoded("png", png(60_000, 60_000), "uint8", (4, 4))


def test_png_text_that_unpacks_to_megabytes():
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20 << 20)))
    with pytest.raises(FormatError, match="damaged"):
        decoded("png", png(4, 4, bomb), "uint8", (4, 4))


@pytest.mark.parametrize(("codec", "other"), [("jpg", "png"), ("png", "jpg")])
def test_pictures_of_another_format_than_the_codec_says(codec, other):
    with pytest.raises(FormatError, match="damaged"):
        decoded(codec, encoded(other, RAMP), "uint8", RAMP.shape)


def test_palettes_and_alpha_do_not_pass_as_colour(tmp_path):
    for mode in ("P", "RGBA", "LA"):
        Image.fromarray(RAMP).convert("L" if mode == "LA" else "RGB").convert(mode).save(tmp_path / "x.png")
        with pytest.raises(FormatError, match="picture shape"):
            decoded("png", (tmp_path / "x.png").read_bytes(), "uint8", RAMP.shape)


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe\xfd", b"1" * 5000, b"{'a': 1}", b""])
def test_hostile_json(data):
    with pytest.raises(FormatError, match="JSON is damaged"):
        decoded("json", data, "V", ())


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("a pickle was run",)


@pytest.mark.parametrize("codec", VALUES)
def test_pickles_are_data_and_never_run(codec):
    with pytest.raises(FormatError):
        decoded(codec, pickle.dumps(Bomb()), *shape_of(VALUES[codec]))


@pytest.mark.parametrize("codec", ["npy", "npz"])
def test_object_arrays_are_not_written(codec):
    with pytest.raises(ValueError, match="Object arrays"):
        CODECS[codec].encode(np.array([Bomb()], object), {})


@settings(max_examples=60, deadline=None)
@given(st.text(), st.integers(-(1 << 63), (1 << 63) - 1))
def test_texts_and_class_numbers_come_back(text, number):
    assert decoded("text", encoded("text", text), "V", ()) == text
    found = decoded("cls", encoded("cls", np.int64(number)), "int64", ())
    assert found.dtype == np.int64 and found.shape == () and found == number
    assert decoded("cls", b" +7\n", "int64", ()) == 7


@pytest.mark.parametrize("data", [b"", b"1.5", b"0x10", b"1_0", b"9" * 19, b"9" * 100_000, "\u0663".encode()])
def test_class_numbers_that_are_none(data):
    with pytest.raises(FormatError):
        decoded("cls", data, "int64", ())


def test_texts_that_are_none():
    with pytest.raises(FormatError, match="not UTF-8"):
        decoded("text", b"\xff", "V", ())
    with pytest.raises(TypeError):
        encoded("text", 3)
    with pytest.raises(FormatError):
        decoded("cls", b"1", "float32", ())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_rgb_is_what_pillow_converts_any_picture_to(mode):
    picture, stream = Image.fromarray(RAMP).convert(mode), io.BytesIO()
    picture.save(stream, "JPEG" if mode in ("CMYK", "L") else "PNG")
    expected = np.asarray(Image.open(stream).convert("RGB"))
    assert np.array_equal(decoded("rgb", stream.getvalue(), "uint8", RAMP.shape), expected)
    with pytest.raises(FormatError):
        decoded("rgb", stream.getvalue(), "uint8", (48, 63, 3))


def test_rgb_is_written_without_loss_and_opens_no_other_format():
    assert np.array_equal(decoded("rgb", encoded("rgb", RAMP), "uint8", RAMP.shape), RAMP)
    stream = io.BytesIO()
    Image.fromarray(RAMP).save(stream, "TIFF")
    with pytest.raises(FormatError):
        decoded("rgb", stream.getvalue(), "uint8", RAMP.shape)
