"""PNG pictures with one filter for all rows, beside what Pillow and libspng make of the same files."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from imagecodecs import spng_decode
from PIL import Image
from tessera.datasets.codecs import CODECS
from tessera.datasets.errors import FormatError
from tessera.datasets.loading.decoders import png_into
from tessera.datasets.loading.row_decoder import RowDecoder, add_rows
from tessera.datasets.png_rows import encode_rows

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 30)).flatmap(
    lambda sides: st.sampled_from([sides, (*sides, 2), (*sides, 3), (*sides, 4)])
)
EIGHT = SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape))
SIXTEEN = st.tuples(st.integers(1, 40), st.integers(1, 30)).flatmap(lambda shape: arrays.arrays(np.uint16, shape))


def smooth(height=70, width=50, channels=3):
    y, x = np.mgrid[:height, :width]
    return np.stack([(y * (k + 1) + x * 3) % 256 for k in range(channels)], -1).astype(np.uint8).squeeze()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture(rows, width, colour=2, depth=8, pieces=1, method=bytes(3), more=b"", level=6):
    """A PNG file of rows that were filtered already, their filters' numbers in front."""
    height, data = len(rows), zlib.compress(b"".join(rows), level)
    size = -(-len(data) // pieces)
    parts = [chunk(b"IDAT", data[at : at + size]) for at in range(0, len(data), size)]
    header = struct.pack(">IIBB", width, height, depth, colour) + method
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + b"".join(parts) + chunk(b"IEND", b"")


def rows_of(pixels, filters):
    """Rows (height, bytes) filtered by None (0), Sub (1, three bytes a pixel) or Up (2)."""
    plain, found = pixels.reshape(len(pixels), -1), []
    for number, kind in enumerate(filters):
        row = plain[number].copy()
        if kind == 1:
            row[3:] -= plain[number, :-3]
        if kind == 2 and number:
            row -= plain[number - 1]
        found.append(bytes([kind]) + row.tobytes())
    return found


def decoded(data, like):
    out = np.full_like(like, 99)
    return RowDecoder().decode(memoryview(data), out), out


@given(EIGHT | SIXTEEN)
def test_what_is_written_is_read_by_all(pixels):
    data, _ = CODECS["png"].encode(pixels, {})
    done, out = decoded(data, pixels)
    assert done
    np.testing.assert_array_equal(out, pixels)
    with Image.open(io.BytesIO(data)) as shown:
        shown.load()  # Pillow's own test of the file
        np.testing.assert_array_equal(np.array(shown), pixels)
    if pixels.dtype == np.uint8 and pixels.shape[2:] != (2,):
        np.testing.assert_array_equal(np.asarray(spng_decode(data)).reshape(pixels.shape), pixels)
    placed = np.full_like(pixels, 99)
    png_into(memoryview(data), placed)
    np.testing.assert_array_equal(placed, pixels)


@given(st.integers(1, 300), st.integers(1, 9), st.booleans())
def test_sums_of_rows(height, width, in_place):
    rows = np.random.default_rng(height).integers(0, 256, (height, width + 1), np.uint8)
    expected = np.cumsum(rows[:, 1:], axis=0, dtype=np.uint64).astype(np.uint8)
    out = rows[:, 1:] if in_place else np.empty((height, width), np.uint8)
    add_rows(rows[:, 1:], out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("filters", "ours"),
    [([2] * 70, True), ([0] * 70, True), ([0] + [2] * 69, True), ([2] + [0] * 69, True), ([1] * 70, False),
     ([1] + [2] * 69, False), ([0, 0] + [2] * 68, False), ([2] * 40 + [1] + [2] * 29, False), ([2] * 69 + [0], False)],
)  # fmt: skip
@pytest.mark.parametrize("pieces", [1, 3])
def test_rows_that_differ_are_left_to_others(filters, ours, pieces):
    pixels = smooth()
    data = picture(rows_of(pixels, filters), 50, pieces=pieces)
    done, out = decoded(data, pixels)
    assert done == ours
    if ours:
        np.testing.assert_array_equal(out, pixels)
    out = np.full_like(pixels, 99)
    png_into(memoryview(data), out)
    np.testing.assert_array_equal(out, pixels)


def test_other_files_are_left_to_others():
    pixels, rows = smooth(), rows_of(smooth(), [2] * 70)
    others = [picture(rows, 50, method=bytes((0, 0, 1))), picture(rows, 50, more=chunk(b"tEXt", b"a\0b"))]
    others += [picture(rows, 50, pieces=65, level=0), picture(rows, 50, more=chunk(b"IHDR", bytes(13)))]
    assert not any(decoded(data, pixels)[0] for data in others)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    out = np.full_like(pixels, 99)
    png_into(memoryview(stream.getvalue()), out)
    np.testing.assert_array_equal(out, pixels)


def test_after_one_that_was_inflated_in_vain_others_are_not(monkeypatch):
    pixels = smooth()
    late, good = picture(rows_of(pixels, [2] * 40 + [1] + [2] * 29), 50), encode_rows(pixels)
    decoder, out = RowDecoder(), np.empty_like(pixels)
    tries = [decoder.decode(memoryview(data), out) for data in [good, late, *[good] * 52]]
    assert tries == [True, False, *[False] * 50, True, True]


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3)])
def test_trap_pictures_without_pixels_are_not_inflated(shape):
    """Zero bytes asked of zlib are all that there are."""
    data = picture([bytes(100_000_000)], 5)
    assert len(data) < 200_000
    decoder = RowDecoder()
    tracemalloc.start()
    assert not decoder.decode(memoryview(data), np.empty(shape, np.uint8))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_fewer_rows_than_the_header_says():
    data = bytearray(picture(rows_of(smooth(69), [2] * 69), 50))
    data[16 + 7] = 70
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(FormatError, match="damaged"):
        png_into(memoryview(bytes(data)), smooth())


def test_more_rows_than_the_header_says_are_left_to_others():
    data = bytearray(picture(rows_of(smooth(71), [2] * 71), 50))
    data[16 + 7] = 70
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert not decoded(bytes(data), smooth())[0]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_gives_other_pixels(data):
    """Checksums of the pieces and of the pixels: a changed file is an error, or still right."""
    pixels = smooth(20, 16)
    good = encode_rows(pixels)
    changed = bytearray(good)
    changed[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(good) - 1))
    for bad in (bytes(changed), good[:cut]):
        out = np.full_like(pixels, 99)
        try:
            png_into(memoryview(bad), out)
        except FormatError:
            continue
        np.testing.assert_array_equal(out, pixels)


def test_damaged_pixels_behind_good_checksums():
    pixels = smooth()
    whole = b"".join(rows_of(pixels, [2] * 70))
    for packed in (zlib.compress(whole)[:-20], zlib.compress(whole)[:-1] + b"\0", b"", b"x"):
        header = struct.pack(">IIBB", 50, 70, 8, 2) + bytes(3)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
        with pytest.raises(FormatError, match="damaged"):
            png_into(memoryview(data), np.empty_like(pixels))


@pytest.mark.parametrize(
    "pixels", [np.zeros((0, 4), np.uint8), np.zeros((4, 4), np.int16), np.zeros((4, 4, 5), np.uint8)]
)
def test_what_no_picture_holds_is_refused(pixels):
    with pytest.raises(ValueError, match="there are no PNG pictures"):
        encode_rows(pixels)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_trap_sixteen_bits_of_several_channels_would_come_back_as_eight(channels):
    with pytest.raises(ValueError, match="16 bits a pixel are read back in two dimensions only"):
        CODECS["png"].encode(np.zeros((4, 4, channels), np.uint16), {})
    with pytest.raises(ValueError, match="a PNG has only level"):
        CODECS["png"].encode(np.zeros((4, 4), np.uint16), {"compress_level": 9})


def test_it_is_about_as_small_as_pillow_s():
    rng = np.random.default_rng(0)
    wave = np.add.outer(np.sin(np.arange(300) / 20), np.cos(np.arange(400) / 30))
    photograph = (wave[..., None] * [50, 40, 30] + 128 + rng.normal(0, 1, (300, 400, 3))).astype(np.uint8)
    labels = np.repeat(np.repeat(rng.integers(0, 9, (30, 40)), 10, 0), 10, 1).astype(np.uint8)
    for pixels, most in ((photograph, 1.15), (labels, 1.15)):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        assert len(encode_rows(pixels)) < most * len(stream.getvalue())
