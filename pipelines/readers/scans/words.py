"""Words and numbers in the bytes of a text file: where they end, and what they are worth, exactly."""

from typing import Any

import numpy as np
from numba import njit

LONGEST_NUMBER = 400  # characters of one that is not exact at once
LARGEST_INDEX = 1 << 40
EXACT = 1 << 53  # whole numbers up to here are floats, and so are powers of ten up to 10**22 (W. Clinger, 1990)
POWERS = 10.0 ** np.arange(23)
NEWLINE, RETURN, SPACE, HASH, PLUS, MINUS, POINT, BACKSLASH = 10, 13, 32, 35, 43, 45, 46, 92
SMALL_E, LARGE_E, DIGIT_0, DIGIT_9 = 101, 69, 48, 57


@njit(cache=True, nogil=True)
def blanks(text: Any, at: int) -> int:
    """Past blanks, and past line ends that a backslash takes back."""
    size = len(text)
    while at < size:
        letter = text[at]
        if letter <= SPACE and letter != NEWLINE:
            at += 1
        elif letter == BACKSLASH and at + 1 < size and text[at + 1] == NEWLINE:
            at += 2
        elif letter == BACKSLASH and at + 2 < size and text[at + 1] == RETURN and text[at + 2] == NEWLINE:
            at += 3
        else:
            break
    return at


@njit(cache=True, nogil=True)
def ended(text: Any, at: int) -> bool:
    """Whether a line has no more to say here."""
    return at >= len(text) or text[at] == NEWLINE or text[at] == HASH


@njit(cache=True, nogil=True)
def line_end(text: Any, at: int, comment: bool) -> int:
    """Where the line ends, at its line end or that of the last line that continues it; comments are not continued."""
    size = len(text)
    while at < size:
        if text[at] == HASH:
            comment = True
        if text[at] == NEWLINE:
            last = at - 2 if at > 0 and text[at - 1] == RETURN else at - 1
            if comment or last < 0 or text[last] != BACKSLASH:
                return at
        at += 1
    return size


@njit(cache=True, nogil=True)
def word_end(text: Any, at: int) -> int:
    """Where the word that begins here ends."""
    while at < len(text) and text[at] > SPACE and text[at] != HASH:
        if text[at] == BACKSLASH and blanks(text, at) > at:
            break
        at += 1
    return at


@njit(cache=True, nogil=True)
def number(text: Any, at: int) -> Any:
    """A decimal number: its value, where it ends (-1: it is none), and whether the value is exact."""
    size, start = len(text), at
    negative = False
    if at < size and (text[at] == MINUS or text[at] == PLUS):
        negative = text[at] == MINUS
        at += 1
    whole, digits, scale, seen = np.uint64(0), 0, 0, 0
    point = False
    while at < size:
        letter = text[at]
        if DIGIT_0 <= letter <= DIGIT_9:
            seen += 1
            if digits < 19:
                whole = whole * np.uint64(10) + np.uint64(letter - DIGIT_0)
                digits += int(whole > 0)
                scale -= int(point)
            else:
                digits = 20
        elif letter == POINT and not point:
            point = True
        else:
            break
        at += 1
    if not seen:
        return 0.0, -1, True
    if at < size and (text[at] == SMALL_E or text[at] == LARGE_E):
        at += 1
        down = at < size and text[at] == MINUS
        if at < size and (text[at] == MINUS or text[at] == PLUS):
            at += 1
        power, seen = 0, 0
        while at < size and DIGIT_0 <= text[at] <= DIGIT_9:
            power = min(power * 10 + int(text[at]) - DIGIT_0, 100000)
            seen += 1
            at += 1
        if not seen:
            return 0.0, -1, True
        scale += -power if down else power
    if word_end(text, at) > at:
        return 0.0, -1, True
    value = float(whole)
    exact = digits < 20 and (whole == 0 or (whole <= EXACT and -22 <= scale <= 22))
    if exact and whole:
        value = value * POWERS[scale] if scale >= 0 else value / POWERS[-scale]
    if not exact and at - start > LONGEST_NUMBER:
        return 0.0, -1, True
    return -value if negative else value, at, exact


@njit(cache=True, nogil=True)
def whole_number(text: Any, at: int) -> Any:
    """A whole number, at most LARGEST_INDEX away from zero, and where it ends; the same place where there is none."""
    size, start = len(text), at
    negative = at < size and text[at] == MINUS
    at += negative
    value, digits = 0, at
    while at < size and DIGIT_0 <= text[at] <= DIGIT_9:
        value = min(value * 10 + int(text[at]) - DIGIT_0, LARGEST_INDEX)
        at += 1
    return -value if negative else value, start if at == digits else at
