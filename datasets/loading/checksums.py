"""Block checksums of fields, each verified the first time that a process reads the block."""

import threading

from ..checksum import crc32
from ..errors import FormatError
from ..members import CHECKSUM_BLOCK
from .files import Files
from .rows import Places

STEP = 1 << 20  # bytes that are read, and verified while they are in the processor's cache; a multiple of all blocks
MOST_READS = 4  # of a block that comes damaged from a store
_THREAD = threading.local()  # room for blocks of which a part is wanted


def unchecked(place: Places, row: int, first: int, last: int) -> bool:
    """Whether a block of a record's bytes [first, last) was not verified yet."""
    if place.verified:
        return False
    begin, each = place.block.item(row), place.each(row)
    low, high = begin + first // each, begin + (last + each - 1) // each
    return 0 in place.checked[low:high] if high - low > 1 else high > low and not place.checked[low]


def read_checked(place: Places, row: int, out: memoryview, files: Files) -> None:
    """Read a whole field, and verify what was not verified yet.

    Args:
        place: places of the field.
        row: the record.
        out: of the field's size.
        files: where the bytes come from.

    Raises:
        FormatError: it cannot be read, or is damaged.
    """
    for at in range(0, len(out), STEP):
        _read_blocks(place, row, at, out[at : at + STEP], files)


def read_part(place: Places, row: int, first: int, out: memoryview, files: Files) -> None:
    """Read the bytes of a field from `first` on, the whole blocks that they are of, and verify those.

    Raises:
        FormatError: they cannot be read, or are damaged.
    """
    last, each = first + len(out), place.each(row)
    begin, end = first // each * each, min(-(-last // each) * each, place.size.item(row))
    room = getattr(_THREAD, "room", None)
    if room is None:
        room = _THREAD.room = memoryview(bytearray(CHECKSUM_BLOCK))
    for at in range(begin, end, CHECKSUM_BLOCK):
        piece = room[: min(CHECKSUM_BLOCK, end - at)]
        _read_blocks(place, row, at, piece, files)
        low, high = max(first, at), min(last, at + len(piece))
        out[low - first : high - first] = piece[low - at : high - at]


def _read_blocks(place: Places, row: int, at: int, out: memoryview, files: Files) -> None:
    """Read the blocks of a field that begin at its byte `at`, and verify those that were not yet.

    Raises:
        FormatError: they cannot be read, or are damaged, for good.
    """
    offset, each, checked = place.offset.item(row) + at, place.each(row), place.checked
    files.read(place.shard, offset, out)
    number = place.block.item(row) + at // each
    for begin in range(0, len(out), each):
        if not checked[number]:
            block = out[begin : begin + each]
            if crc32(block) != place.crc.item(number):
                _mend(place, number, offset + begin, block, files, at + begin)
            checked[number] = 1
        number += 1
    place.verified = 0 not in checked


def _mend(place: Places, number: int, offset: int, out: memoryview, files: Files, at: int) -> None:
    """Read a block again that came damaged: a cached copy of it goes.

    Raises:
        FormatError: it is damaged for good.
    """
    for _ in range(MOST_READS - 1):
        if not files.forget(place.shard, offset, len(out)):
            break
        files.read(place.shard, offset, out)
        if crc32(out) == place.crc.item(number):
            return
    raise FormatError(f"checksum differs at byte {at} of the field; the shard is damaged, build it again")
