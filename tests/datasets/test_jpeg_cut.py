"""Parts of JPEG pictures beside the same pixels of the whole picture, decoded by the same and by another library."""

import io
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tessera.datasets.codecs import CODECS
from tessera.datasets.errors import FormatError
from tessera.datasets.jpeg_cut import Cutter, interval_of, read_header
from tessera.datasets.loading.decoders import JpegWindows, jpeg_into


def noise(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (-(-height // 5), -(-width // 5), channels))
    pixels = np.repeat(np.repeat(coarse, 5, 0), 5, 1)[:height, :width] + rng.normal(0, 12, (height, width, channels))
    return pixels.clip(0, 255).astype(np.uint8).squeeze()


def saved(pixels, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **{"quality": 90, "subsampling": 0, **options})
    return stream.getvalue()


@cache
def picture(height=120, width=336, seed=0):
    """A picture of 15 x 42 blocks, in intervals of seven."""
    return saved(noise(height, width, seed=seed), restart_marker_blocks=7)


@settings(max_examples=300, deadline=None)
@given(
    height=st.integers(9, 140), width=st.integers(9, 260), channels=st.sampled_from([1, 3]),
    subsampling=st.integers(0, 2), quality=st.integers(30, 100), optimize=st.booleans(), data=st.data(),
)  # fmt: skip
def test_a_window_has_the_pixels_of_the_whole(height, width, channels, subsampling, quality, optimize, data):
    across = -(-width // (16 if channels == 3 and subsampling else 8))
    interval = data.draw(st.sampled_from([count for count in range(1, across + 1) if across % count == 0]))
    options = {"subsampling": subsampling, "quality": quality, "optimize": optimize}
    jpeg = saved(noise(height, width, channels), restart_marker_blocks=interval, **options)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    rows, columns = data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))
    shape = (height, width, 3)[: 2 + (channels == 3)]
    whole, out = np.empty(shape, np.uint8), np.full(shape, 77, np.uint8)
    jpeg_into(memoryview(jpeg), whole)
    JpegWindows().decode(memoryview(jpeg), out, (top, left, rows, columns))
    window = slice(top, top + rows), slice(left, left + columns)
    np.testing.assert_array_equal(out[window], whole[window])
    cut = Cutter().cut(memoryview(jpeg), shape, top, left, rows, columns)
    if cut is not None:
        assert cut.top <= top and cut.left <= left and cut.data[-2:] == b"\xff\xd9"
        assert cut.top + cut.height >= top + rows and cut.left + cut.width >= left + columns
        shown = np.asarray(Image.open(io.BytesIO(cut.data)))  # a whole picture for any library
        assert shown.shape[:2] == (cut.height, cut.width)
        at = top - cut.top, left - cut.left
        inside = shown[at[0] : at[0] + rows, at[1] : at[1] + columns]
        np.testing.assert_array_equal(inside, np.asarray(Image.open(io.BytesIO(jpeg)))[window])


@pytest.mark.parametrize("width", [115, 116, 131, 132])
@pytest.mark.parametrize("subsampling", [1, 2])
def test_cuts_of_a_few_columns_are_made_wider(width, subsampling):
    """libjpeg does not smooth colours of three columns or fewer: they would differ from those of the whole picture."""
    across = -(-width // 16)
    jpeg = saved(noise(64, width), subsampling=subsampling, restart_marker_blocks=1)
    whole, out = np.empty((64, width, 3), np.uint8), np.empty((64, width, 3), np.uint8)
    jpeg_into(memoryview(jpeg), whole)
    for left in range(16 * (across - 1) - 4, width):
        for columns in range(1, width - left + 1):
            JpegWindows().decode(memoryview(jpeg), out, (20, left, 24, columns))
            window = slice(20, 44), slice(left, left + columns)
            np.testing.assert_array_equal(out[window], whole[window])


def test_a_sampling_without_a_name_is_a_format_error():
    """Luma four times as high as colours: simplejpeg knows no word for it."""
    jpeg = bytearray(saved(noise(64, 112)))
    frame = bytes(jpeg).index(b"\xff\xc0")
    jpeg[frame + 11] = 0x14
    with pytest.raises(FormatError):
        jpeg_into(memoryview(bytes(jpeg)), np.empty((64, 112, 3), np.uint8))


def test_little_is_decoded():
    """A quarter of the picture, and what its intervals take beside it."""
    cut = Cutter().cut(memoryview(picture()), (120, 336, 3), 30, 84, 60, 168)
    assert (cut.top, cut.left, cut.height, cut.width) == (24, 56, 72, 224)
    assert len(cut.data) < 0.45 * len(picture())
    corner = Cutter().cut(memoryview(picture()), (120, 336, 3), 118, 335, 2, 1)
    assert (corner.top, corner.left, corner.height, corner.width) == (112, 280, 8, 56)


def test_where_most_is_wanted_the_whole_is_decoded_in_place():
    assert Cutter().cut(memoryview(picture()), (120, 336, 3), 0, 0, 110, 330) is None


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True, "restart_marker_blocks": 7}, *({"restart_marker_blocks": n} for n in (5, 84))],
)  # fmt: skip
def test_pictures_without_fitting_intervals_are_decoded_whole(options):
    jpeg = memoryview(saved(noise(120, 336), **options))
    assert Cutter().cut(jpeg, (120, 336, 3), 0, 0, 8, 8) is None
    out, whole = np.zeros((120, 336, 3), np.uint8), np.empty((120, 336, 3), np.uint8)
    JpegWindows().decode(jpeg, out, (50, 50, 8, 8))
    jpeg_into(jpeg, whole)
    np.testing.assert_array_equal(out, whole)


def test_other_colours_are_left_to_the_decoder():
    stream = io.BytesIO()
    Image.fromarray(noise(64, 112)).convert("CMYK").save(stream, "JPEG", restart_marker_blocks=7)
    assert read_header(memoryview(stream.getvalue())) is None
    with pytest.raises(FormatError, match="colours"):
        JpegWindows().decode(memoryview(stream.getvalue()), np.empty((64, 112, 3), np.uint8), (0, 0, 8, 8))


@pytest.mark.parametrize("shape", [(120, 336), (120, 335, 3), (119, 336, 3), (336, 120, 3)])
def test_a_picture_of_another_shape_is_refused(shape):
    with pytest.raises(FormatError, match=r"picture size|colours"):
        JpegWindows().decode(memoryview(picture()), np.empty(shape, np.uint8), (8, 8, 8, 8))


def test_one_cutter_takes_pictures_of_all_kinds_in_turn():
    """It remembers the header before; another quality, size or interval is another header."""
    jpegs = JpegWindows()
    kinds = [(120, 336, 7, 90), (120, 336, 7, 50), (336, 120, 5, 90), (120, 336, 14, 90), (120, 336, 7, 90)]
    for seed, (height, width, interval, quality) in enumerate(kinds):
        pixels = noise(height, width, seed=seed)
        jpeg = memoryview(saved(pixels, restart_marker_blocks=interval, quality=quality))
        out, whole = np.empty((height, width, 3), np.uint8), np.empty((height, width, 3), np.uint8)
        jpegs.decode(jpeg, out, (20, 30, 50, 60))
        jpeg_into(jpeg, whole)
        np.testing.assert_array_equal(out[20:70, 30:90], whole[20:70, 30:90])


def test_damaged_markers_are_never_cut():
    """Each marker lost, doubled or changed, and the file cut anywhere: whatever is wrong, the decoder says it."""
    jpeg = picture()
    start = len(read_header(memoryview(jpeg)).data)
    markers = [i for i in range(start, len(jpeg) - 1) if jpeg[i] == 0xFF and 0xD0 <= jpeg[i + 1] < 0xD8]
    assert len(markers) == 15 * 6 - 1
    damaged = [jpeg[:at] + jpeg[at + 2 :] for at in markers] + [
        jpeg[:at] + jpeg[at : at + 2] + jpeg[at:] for at in markers
    ]
    damaged += [jpeg[: at + 1] + bytes([0xD0 + (jpeg[at + 1] + 1) % 8]) + jpeg[at + 2 :] for at in markers]
    damaged += [jpeg[:size] for size in range(2, len(jpeg), 97)]
    for data in damaged:
        assert Cutter().cut(memoryview(data), (120, 336, 3), 0, 0, 16, 16) is None


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_give_pixels_or_a_format_error(data):
    jpeg = bytearray(picture())
    for _ in range(data.draw(st.integers(1, 8))):
        jpeg[data.draw(st.integers(0, len(jpeg) - 1))] = data.draw(st.integers(0, 255))
    jpeg = jpeg[: data.draw(st.sampled_from([len(jpeg), len(jpeg) // 2, 700, 100, 3, 0]))]
    read_header(memoryview(bytes(jpeg)))
    with suppress(FormatError):
        JpegWindows().decode(memoryview(bytes(jpeg)), np.empty((120, 336, 3), np.uint8), (40, 100, 30, 60))


def test_the_codec_writes_intervals_that_cost_little():
    pixels = noise(384, 512)
    data, _ = CODECS["jpg"].encode(pixels, {})
    plain = saved(pixels, quality=95)
    assert read_header(memoryview(data)).interval == 8 and len(plain) < len(data) < 1.015 * len(plain)
    np.testing.assert_array_equal(simplejpeg.decode_jpeg(data), simplejpeg.decode_jpeg(plain))
    grey, _ = CODECS["jpg"].encode(pixels[..., 0], {"quality": 90})
    assert Cutter().cut(memoryview(grey), (384, 512), 100, 100, 64, 64).width == 128


@pytest.mark.parametrize(
    ("width", "interval"),
    [(512, 8), (500, 9), (336, 7), (1024, 16), (96, 12), (1920, 30), (3840, 60), (376, 47), (8, 1), (1, 1), (60, 8),
     (48, 6)],
)  # fmt: skip
def test_intervals_fit_rows(width, interval):
    assert interval_of(width) == interval and -(-width // 8) % interval == 0
