"""Block checksums of fields, each verified the first time that a process reads the block."""

import threading

from ..checksum import crc32
from ..errors import FormatError
from ..members import CHECKSUM_BLOCK
from .files import Files
from .rows import Places

MOST_READS = 4  # of a block that comes damaged from a store
_THREAD = threading.local()  # room for one block


def unchecked(place: Places, row: int, first: int, last: int) -> bool:
    """Whether a block of a record's bytes [first, last) was not verified yet."""
    if place.verified:
        return False
    begin = place.block.item(row)
    low, high = begin + first // CHECKSUM_BLOCK, begin + (last + CHECKSUM_BLOCK - 1) // CHECKSUM_BLOCK
    return 0 in place.checked[low:high] if high - low > 1 else high > low and not place.checked[low]


def read_checked(place: Places, row: int, out: memoryview, files: Files, *, check: bool) -> None:
    """Read a whole field.

    Args:
        place: places of the field.
        row: the record.
        out: of the field's size.
        files: where the bytes come from.
        check: whether checksums are verified.

    Raises:
        FormatError: it cannot be read, or is damaged.
    """
    if not (check and unchecked(place, row, 0, len(out))):
        files.read(place.shard, place.offset.item(row), out)
        return
    for at in range(0, len(out), CHECKSUM_BLOCK):  # each is verified while it is in the processor's cache
        _read_block(place, row, at, out[at : at + CHECKSUM_BLOCK], files)


def read_part(place: Places, row: int, first: int, out: memoryview, files: Files, *, check: bool) -> None:
    """Read the bytes of a field from `first` on; of blocks that were not verified yet, the whole blocks.

    Raises:
        FormatError: they cannot be read, or are damaged.
    """
    last = first + len(out)
    if not (check and unchecked(place, row, first, last)):
        files.read(place.shard, place.offset.item(row) + first, out)
        return
    block = getattr(_THREAD, "block", None)
    if block is None:
        block = _THREAD.block = memoryview(bytearray(CHECKSUM_BLOCK))
    for at in range(first // CHECKSUM_BLOCK * CHECKSUM_BLOCK, last, CHECKSUM_BLOCK):
        piece = block[: min(CHECKSUM_BLOCK, place.size.item(row) - at)]
        _read_block(place, row, at, piece, files)
        low, high = max(first, at), min(last, at + len(piece))
        out[low - first : high - first] = piece[low - at : high - at]


def _read_block(place: Places, row: int, at: int, out: memoryview, files: Files) -> None:
    """Read the block that begins at byte `at` of a field, and verify it; a cached copy that is damaged goes.

    Raises:
        FormatError: it cannot be read, or is damaged, for good.
    """
    number, offset = place.block.item(row) + at // CHECKSUM_BLOCK, place.offset.item(row) + at
    for _ in range(MOST_READS):
        files.read(place.shard, offset, out)
        if crc32(out) == place.crc.item(number):
            place.checked[number] = 1
            place.verified = 0 not in place.checked
            return
        if not files.forget(place.shard, offset, len(out)):
            break
    raise FormatError(f"checksum differs at byte {at} of the field; the shard is damaged, build it again")
