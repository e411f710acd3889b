"""Sizes and kinds of pictures from their headers, without decoding."""

from typing import NamedTuple

from ..errors import FormatError

PNG_KINDS = {  # (bits, colour type): dtype and channels as Pillow gives them, 0 for a picture (height, width)
    (1, 0): ("bool", 0), (2, 0): ("uint8", 0), (4, 0): ("uint8", 0), (8, 0): ("uint8", 0), (16, 0): ("uint16", 0),
    (1, 3): ("uint8", 0), (2, 3): ("uint8", 0), (4, 3): ("uint8", 0), (8, 3): ("uint8", 0),
    (8, 2): ("uint8", 3), (16, 2): ("uint8", 3), (8, 4): ("uint8", 2), (16, 4): ("uint8", 2),
    (8, 6): ("uint8", 4), (16, 6): ("uint8", 4),
}  # fmt: skip
FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # JPEG start of frame: baseline, extended, progressive, and arithmetic coded
BARE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length
MOST_PIXELS = 1 << 27  # Pillow refuses more than twice 89 million


class Picture(NamedTuple):
    """Codec (`jpg`, `png`, or `rgb` where only a conversion gives plain pixels), dtype, and shape of a picture."""

    codec: str
    dtype: str
    shape: tuple[int, ...]


def picture(data: memoryview) -> Picture:
    """What a JPEG or PNG file says it holds; told apart by content, whatever its name.

    Raises:
        FormatError: neither, damaged, or of a kind or size that is not read.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        found = _png(data)
    elif data[:2] == b"\xff\xd8":
        found = _jpeg(data)
    else:
        raise FormatError("neither JPEG nor PNG")
    if not 0 < found.shape[0] * found.shape[1] <= MOST_PIXELS:
        raise FormatError("picture without pixels, or with more than 128 million")
    return found


def _png(data: memoryview) -> Picture:
    """PNG specification (third edition), 11.2.1: the first chunk is IHDR."""
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise FormatError("PNG without a header")
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if (data[24], data[25]) not in PNG_KINDS:
        raise FormatError("PNG of an unknown kind")
    dtype, channels = PNG_KINDS[data[24], data[25]]
    return Picture("png", dtype, (height, width, channels) if channels else (height, width))


def _jpeg(data: memoryview) -> Picture:
    """ITU-T T.81, annex B: segments up to the start of the frame."""
    at = 2
    while at + 10 <= len(data):
        if data[at] != 0xFF:
            raise FormatError("JPEG header is damaged")
        marker = data[at + 1]
        if marker == 0xFF or marker in BARE:  # a fill byte, or no length
            at += 1 if marker == 0xFF else 2
        elif marker in FRAMES:
            bits, channels = data[at + 4], data[at + 9]
            if bits != 8 or channels not in (1, 3, 4):
                raise FormatError(f"JPEG with {channels} channels of {bits} bits")
            size = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            if channels == 4:
                return Picture("rgb", "uint8", (*size, 3))
            return Picture("jpg", "uint8", (*size, 3) if channels == 3 else size)
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise FormatError("JPEG ends before its picture begins")
