"""The order of a stream: keyed permutations that are computed position by position, never stored.

A permutation of [0, size) is a Feistel network over pairs (left, right) of [0, rows) x [0, columns), the smallest such
rectangle that is nearly square: in turn, each half moves, modulo its own range, by a keyed hash of the other (J. Black
and P. Rogaway, "Ciphers with arbitrary finite domains", 2002). Results outside [0, size) go through the network again
until they fall inside ("cycle walking"); the rectangle has at most sqrt(size) pairs too many, so that is rare. Very
small ranges, where a Feistel network reaches too few permutations, are sorted by a keyed hash instead.

Keys come from SHA-256, hashes from the finaliser of SplitMix64 (G. Steele et al., "Fast splittable pseudorandom number
generators", 2014). Nothing here may change: the state of an interrupted stream relies on it in every later version.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt
from operator import index
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UsageError

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

ROUNDS = 8
SORTED_SIZE = 256  # up to this size a permutation is a sort: a Feistel network over small halves shows
MAX_SIZE = 1 << 62
_CHUNK = 1 << 13  # positions that are worked on at once: what they need stays in the processor's cache
_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@lru_cache(maxsize=4096, typed=True)  # the same few are asked for by every batch
def key_of(*names: int | str) -> int:
    """Key of one purpose, such as `key_of(seed, dataset, "order", epoch)`: 64 bits of a SHA-256.

    Other names, another order of them, or `1` instead of `"1"` give another key.
    """
    plain = [name if isinstance(name, str) else index(name) for name in names]
    return int.from_bytes(hashlib.sha256(json.dumps(plain).encode()).digest()[:8], "big")


def mix64(a: ArrayLike, b: ArrayLike) -> Words:
    """Hash of pairs of integers.

    Args:
        a: any shape that goes together with that of `b`; integers, of which the lowest 64 bits count.
        b: the same; `mix64(a, b)` is not `mix64(b, a)`.

    Returns:
        uint64 of the common shape (at least one axis), each bit set in half of all cases.
    """
    first, second = (np.atleast_1d(_words(each)) for each in (a, b))
    return _finalise(first + _finalise(second + _GOLDEN))


def draw(key: int, ids: Integers, below: ArrayLike) -> Integers:
    """Integers in [0, below), uniform and independent from one id to the next.

    Args:
        key: of the purpose, from `key_of`.
        ids: (n,) numbers of what is drawn for, such as records.
        below: upper ends, one or (n,), 1 to 2**32 - 1.

    Returns:
        (n,) int64: the upper word of hash times `below`, so no value is favoured by more than one in 2**32.

    Raises:
        ValueError: an upper end is out of range.
    """
    ends = np.asarray(below)
    least, most = (below, below) if isinstance(below, int) else (ends.min(initial=1), ends.max(initial=1))
    if least < 1 or most >= 1 << 32:
        raise ValueError(f"draws are from [0, n), n from 1 to 2**32 - 1, not {least} to {most}")
    hashes, ends = mix64(key, ids), ends.astype(np.uint64)
    low = (hashes & _LOW) * ends >> _HALF
    return (((hashes >> _HALF) * ends + low) >> _HALF).astype(np.int64)


def permute(positions: NDArray[np.integer], size: int, key: int) -> Integers:
    """A keyed permutation of [0, size) at some positions.

    Args:
        positions: (n,) integers in [0, size), in any order.
        size: length of the whole permutation, at most 2**62; nothing of this length is made.
        key: which permutation, from `key_of`.

    Returns:
        (n,) int64 in [0, size): for all positions, each value exactly once.

    Raises:
        ValueError: the size or a position is out of range.
    """
    checked = _checked(positions, size)
    if size <= SORTED_SIZE:
        return np.argsort(mix64(key, np.arange(size)), kind="stable")[checked]
    rows = isqrt(size - 1) + 1
    columns = -(-size // rows)
    keys, sides = _round_keys(key), (np.uint64(rows), np.uint64(columns))
    values = checked.astype(np.uint64)
    for start in range(0, len(values), _CHUNK):
        chunk = values[start : start + _CHUNK]
        chunk[:] = _feistel(chunk, sides, keys)
        outside = np.flatnonzero(chunk >= size)
        while outside.size:
            chunk[outside] = _feistel(chunk[outside], sides, keys)
            outside = outside[chunk[outside] >= size]
    return values.view(np.int64)


@dataclass(frozen=True)
class Order:
    """Order of one epoch: which record stands at which position, each exactly once.

    Attributes:
        kind: `sequential`; `global`, a permutation of all records; or `block`, for disks and object stores that are
            slow at random access: the records are cut into runs of `block` consecutive ones (the last may be shorter),
            the runs are permuted, and the records of every `merge` runs that follow each other are permuted together.
        size: number of records.
        key: from `key_of`, another for each epoch.
        block: records a run.
        merge: runs that are mixed with each other; at most so many are being read at any time.
    """

    kind: Literal["global", "block", "sequential"]
    size: int
    key: int
    block: int = 128
    merge: int = 8

    def __post_init__(self) -> None:
        """Refuse what is no order.

        Raises:
            UsageError: an unknown kind, or a block or pool without records.
        """
        if self.kind not in ("global", "block", "sequential"):
            raise UsageError(f"no order {self.kind!r}: it is global, block or sequential")
        if self.block < 1 or self.merge < 1:
            raise UsageError(f"an order of blocks needs at least one record a block, and one block: not {self}")

    def records(self, positions: NDArray[np.integer]) -> Integers:
        """Record numbers, (n,) int64, at (n,) positions of the epoch, in any order.

        Raises:
            ValueError: a position is not in [0, size).
        """
        if self.kind == "global":
            return permute(positions, self.size, self.key)
        checked = _checked(positions, self.size).astype(np.int64)
        return self._blocks(checked) if self.kind == "block" and checked.size else checked

    def _blocks(self, positions: Integers) -> Integers:
        """The order of blocks; a slot is the place of a run in the order of runs."""
        last = (self.size - 1) // self.block  # the run that may be short goes to a slot of its own choice
        missing = (last + 1) * self.block - self.size
        short = int(draw(key_of(self.key, "short"), np.zeros(1, np.int64), last + 1)[0])
        pool = self._slots(positions, short, missing) // self.block // self.merge
        mixed = np.empty(len(positions), np.int64)
        grouped = np.argsort(pool, kind="stable")
        numbers, starts = np.unique(pool[grouped], return_index=True)
        for number, inside in zip(numbers.tolist(), np.split(grouped, starts[1:]), strict=True):
            first, end = (
                min(slot, last + 1) * self.block - missing * (slot > short)
                for slot in (number * self.merge, (number + 1) * self.merge)
            )
            pool_key = key_of(self.key, "pool", number)
            mixed[inside] = first + permute(positions[inside] - first, end - first, pool_key)
        slot, offset = np.divmod(self._slots(mixed, short, missing), self.block)
        runs = np.full(len(slot), last)
        others = np.flatnonzero(slot != short)
        runs[others] = permute(slot[others] - (slot[others] > short), last, key_of(self.key, "runs"))
        return runs * self.block + offset

    def _slots(self, positions: Integers, short: int, missing: int) -> Integers:
        """Positions as if the short run were as long as the others: slot x block + offset."""
        return positions + missing * (positions >= (short + 1) * self.block - missing)


def _checked(positions: NDArray[np.integer], size: int) -> NDArray[np.integer]:
    """The positions as an array of integers, after a look at their range."""
    checked = np.asarray(positions)
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"an order has 0 to 2**62 records, not {size}")
    if checked.size and (checked.min() < 0 or checked.max() >= size):
        raise ValueError(f"positions {checked.min()} to {checked.max()} in an order of {size} records")
    return checked if checked.size else checked.astype(np.int64)


@lru_cache(maxsize=64)
def _round_keys(key: int) -> tuple[np.uint64, ...]:
    """One 64-bit key a round of the Feistel network."""
    return tuple(np.uint64(key_of(key, "round", number)) for number in range(ROUNDS))


def _feistel(values: Words, sides: tuple[np.uint64, np.uint64], keys: tuple[np.uint64, ...]) -> Words:
    """The network over [0, rows x columns), `sides` = (rows, columns); every step in place, for the sake of speed."""
    left = values // sides[1]
    right = values - left * sides[1]
    shifted, moved, other = np.empty_like(left), left, right
    for number, key in enumerate(keys):
        side = sides[number % 2]
        step = _finalise(other ^ key, shifted)
        step >>= _HALF
        step *= side
        step >>= _HALF  # a hash in [0, side)
        moved += step
        np.subtract(moved, side, out=step)
        np.minimum(moved, step, out=moved)  # modulo side: what is below it wraps around to huge numbers
        moved, other = other, moved
    left *= sides[1]
    left += right
    return left


def _finalise(words: Words, shifted: Words | None = None) -> Words:
    """SplitMix64's finaliser, in place; `shifted` is room for (n,) uint64."""
    room = np.empty_like(words) if shifted is None else shifted
    words ^= np.right_shift(words, np.uint64(30), out=room)
    words *= _FIRST
    words ^= np.right_shift(words, np.uint64(27), out=room)
    words *= _SECOND
    words ^= np.right_shift(words, np.uint64(31), out=room)
    return words


def _words(numbers: ArrayLike) -> Words:
    """Integers as uint64, negative ones as their two's complement."""
    if isinstance(numbers, int):
        return np.array(numbers & 0xFFFFFFFFFFFFFFFF, np.uint64)
    return np.asarray(numbers).astype(np.uint64, copy=False)
