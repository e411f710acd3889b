"""Block checksums of fields, each verified the first time that a process reads the block."""

from isal.isal_zlib import crc32

from ..errors import FormatError
from ..members import CHECKSUM_BLOCK
from .files import Files
from .rows import Places


def unchecked(place: Places, row: int, first: int, last: int) -> bool:
    """Whether a block of a record's bytes [first, last) was not verified yet."""
    begin = place.block.item(row)
    low, high = begin + first // CHECKSUM_BLOCK, begin + (last + CHECKSUM_BLOCK - 1) // CHECKSUM_BLOCK
    return 0 in place.checked[low:high] if high - low > 1 else high > low and not place.checked[low]


def verify(place: Places, row: int, data: memoryview, first: int, files: Files) -> bool:
    """Verify the blocks of which `data` are all bytes.

    Args:
        place: places of the field.
        row: the record.
        data: bytes of the field, whole blocks from `first` on (the field's last block may be short).
        first: where they begin in it.
        files: told of damaged bytes, so that a cached copy goes.

    Returns:
        True where all are right; False where they are not, but another read may give right ones.

    Raises:
        FormatError: damaged, for good.
    """
    block = place.block.item(row) + first // CHECKSUM_BLOCK
    for at in range(0, len(data), CHECKSUM_BLOCK):
        piece = data[at : at + CHECKSUM_BLOCK]
        if crc32(piece) != place.crc.item(block):
            where = first + at
            if files.forget(place.shard, place.offset.item(row) + where, len(piece)):
                return False
            raise FormatError(f"checksum differs at byte {where} of the field; the shard is damaged, build it again")
        place.checked[block] = 1
        block += 1
    return True


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
    offset = place.offset.item(row)
    files.read(place.shard, offset, out)
    if check and unchecked(place, row, 0, len(out)) and not verify(place, row, out, 0, files):
        files.read(place.shard, offset, out)
        if not verify(place, row, out, 0, files):
            raise FormatError("checksum differs again after the bytes were fetched anew")


def read_part(place: Places, row: int, first: int, out: memoryview, files: Files, *, check: bool) -> None:
    """Read the bytes of a field from `first` on; of blocks that were not verified yet, the whole blocks.

    Raises:
        FormatError: they cannot be read, or are damaged.
    """
    last = first + len(out)
    if not (check and unchecked(place, row, first, last)):
        files.read(place.shard, place.offset.item(row) + first, out)
        return
    low = first // CHECKSUM_BLOCK * CHECKSUM_BLOCK
    high = min(-(-last // CHECKSUM_BLOCK) * CHECKSUM_BLOCK, place.size.item(row))
    whole = memoryview(bytearray(high - low))
    for _ in range(2):
        files.read(place.shard, place.offset.item(row) + low, whole)
        if verify(place, row, whole, low, files):
            out[:] = whole[first - low : last - low]
            return
    raise FormatError("checksum differs again after the bytes were fetched anew")
