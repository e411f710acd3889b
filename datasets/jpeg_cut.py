"""Part of a JPEG picture without decoding the rest of it.

A file with restart markers (ITU-T T.81, B.1.1.3) is made of intervals that each decode on their own. Where a whole
number of intervals makes a row of blocks, those that cover a window, behind a header with their size, are a JPEG
picture of that part. Its pixels are those of the whole picture, but for the outermost of subsampled colours, which
libjpeg's smooth upsampling makes of their neighbours too: a margin is cut with the window.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

SOI, EOI, SOS, DRI, RST0 = 0xD8, 0xD9, 0xDA, 0xDD, 0xD0
SEQUENTIAL = (0xC0, 0xC1)  # frames of Huffman codes, one pass; others are decoded whole
OTHER_FRAMES = (*range(0xC2, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
RESTARTS = [bytes((0xFF, RST0 + number)) for number in range(8)]
LEAST, ACROSS = 7, 8  # blocks of 8 pixels an interval, and intervals a row: each takes some four bytes
NARROW = 8  # pixels; libjpeg upsamples three columns of subsampled colours and fewer in another way
MOST = 0.8  # of a picture's pixels; where a window needs more, the whole is decoded as quickly


@dataclass(frozen=True)
class Header:
    """What comes before a picture's codes.

    Attributes:
        data: the bytes.
        size_at: where height and width are in them.
        height: of the picture in pixels.
        width: of the picture in pixels.
        channels: number of its components.
        across: blocks (MCUs) of a row.
        down: rows of blocks.
        block: height and width of a block in pixels.
        interval: blocks between restart markers.
    """

    data: bytes
    size_at: int
    height: int
    width: int
    channels: int
    across: int
    down: int
    block: tuple[int, int]
    interval: int


@dataclass(frozen=True)
class Cut:
    """A picture of a part: `data`, and the `top`, `left`, `height` and `width` of what it shows."""

    data: bytes
    top: int
    left: int
    height: int
    width: int


def interval_of(width: int) -> int:
    """Blocks of 8 pixels between restart markers, such that windows can be cut; all of a row where no number fits."""
    across = max(1, ceil(width / 8))
    least = max(LEAST, ceil(across / ACROSS))
    return next((count for count in range(least, across) if across % count == 0), across)


class Cutter:
    """Cuts pictures; one for each thread: it remembers the last header, which most pictures of a field share."""

    def __init__(self) -> None:
        self._header: Header | None = None

    def cut(self, data: memoryview, shape: tuple[int, ...], top: int, left: int, height: int, width: int) -> Cut | None:
        """The part of a picture that a window needs.

        Args:
            data: the JPEG file.
            shape: (height, width[, 3]) that it should have.
            top: first row of the window.
            left: first column of the window.
            height: rows of the window, 1 or more.
            width: columns of the window, 1 or more.

        Returns:
            A picture that covers the window; None where there is none that is worth it: decode the whole then, which
            also tells what is wrong with a damaged one.
        """
        header = self._header_of(data)
        channels = shape[2] if len(shape) > 2 else 1
        if header is None or (header.height, header.width, header.channels) != (*shape[:2], channels):
            return None
        first, last = _covering(top, height, header.block[0], header.block[0], header.height)
        side = header.block[1] * header.interval
        begin, end = _covering(left, width, side, header.block[1], header.width)
        if begin and header.block[1] > 8 and min(end * side, header.width) - begin * side < NARROW:
            begin -= 1
        high = min(last * header.block[0], header.height) - first * header.block[0]
        wide = min(end * side, header.width) - begin * side
        if high * wide > MOST * header.height * header.width:
            return None
        codes = data[len(header.data) :]
        markers = _markers(np.frombuffer(codes, np.uint8), header)
        if markers is None:
            return None
        part = _assembled(codes, header, markers.tolist(), range(first, last), range(begin, end), (high, wide))
        return Cut(part, first * header.block[0], begin * side, high, wide)

    def _header_of(self, data: memoryview) -> Header | None:
        known = self._header
        if known is None or data[: len(known.data)] != known.data:
            known = self._header = read_header(data)
        return known


def _covering(first: int, count: int, step: int, block: int, whole: int) -> tuple[int, int]:
    """First and last (exclusive) of the intervals of `step` pixels that cover a window and its margin."""
    margin = block // 8 if block > 8 else 0
    return max(first - margin, 0) // step, ceil(min(first + count + margin, whole) / step)


def read_header(data: memoryview) -> Header | None:
    """The header of a picture that parts can be cut of; None for all others."""
    at, interval, frame = 2, 0, -1
    if bytes(data[:2]) != bytes((0xFF, SOI)):
        return None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4 or marker in OTHER_FRAMES:
            return None
        if marker in SEQUENTIAL:
            frame = at
        elif marker == DRI and end == at + 6:
            interval = int.from_bytes(data[at + 4 : end], "big")
        elif marker == SOS:
            return _header(bytes(data[:end]), frame, interval, data[at + 4])
        at = end
    return None


def _header(data: bytes, frame: int, interval: int, scanned: int) -> Header | None:
    if frame < 0 or not interval or len(data) < frame + 10:
        return None
    height, width, channels = (
        int.from_bytes(data[frame + 5 : frame + 7], "big"), int.from_bytes(data[frame + 7 : frame + 9], "big"),
        data[frame + 9],
    )  # fmt: skip
    factors = [divmod(data[frame + 11 + 3 * number], 16) for number in range(channels)] if channels in (1, 3) else []
    if len(factors) != scanned or not height or not width or data[frame + 4] != 8:
        return None
    most = max(v for _, v in factors), max(h for h, _ in factors)
    block = (8, 8) if channels == 1 else (8 * most[0], 8 * most[1])
    across, down = ceil(width / block[1]), ceil(height / block[0])
    if 0 in most or across % interval:
        return None
    return Header(data, frame + 5, height, width, channels, across, down, block, interval)


def _markers(codes: NDArray[np.uint8], header: Header) -> NDArray[np.int64] | None:
    """(intervals,) where the marker is that ends each; None where the markers are not those of the header."""
    at = np.flatnonzero(codes[:-1] == 0xFF)
    kinds = codes[at + 1]
    at, kinds = at[kinds != 0], kinds[kinds != 0]
    count = header.down * (header.across // header.interval)
    if len(at) != count or at[-1] != len(codes) - 2 or kinds[-1] != EOI:
        return None
    return at if kinds[:-1].tobytes() == _numbers(count - 1) else None


@cache
def _numbers(count: int) -> bytes:
    """Second bytes of so many restart markers."""
    return bytes(RST0 + number % 8 for number in range(count))


def _assembled(
    codes: memoryview, header: Header, ends: list[int], rows: range, columns: range, size: tuple[int, int]
) -> bytes:
    """A picture of some intervals, which are numbered anew."""
    each = header.across // header.interval
    start = header.size_at
    sizes = size[0].to_bytes(2, "big") + size[1].to_bytes(2, "big")
    parts: list[bytes | memoryview] = [header.data[:start], sizes, header.data[start + 4 :]]
    number = 0
    for row in rows:
        for interval in range(row * each + columns.start, row * each + columns.stop):
            parts += codes[ends[interval - 1] + 2 if interval else 0 : ends[interval]], RESTARTS[number & 7]
            number += 1
    parts[-1] = bytes((0xFF, EOI))
    return b"".join(parts)
