"""The text of OBJ files, byte by byte: vertices, texture coordinates, faces of any form, and where materials change."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ....datasets.errors import FormatError
from .mesh import MOST_FACES, NO_UV
from .words import BACKSLASH, SPACE, blanks, ended, line_end, number, whole_number, word_end

MOST_MARKS = 100_000  # lines of materials
CHUNK = 1 << 13  # numbers that are made exact at a time
NUMBER, ZERO_INDEX, OUT_OF_RANGE, FEW_NUMBERS, MANY_NUMBERS = 1, 2, 3, 4, 5
FAULTS = {
    NUMBER: "no number where one should be",
    ZERO_INDEX: "an index 0: they begin with 1",
    OUT_OF_RANGE: "an index of what is not there",
    FEW_NUMBERS: "too few numbers",
    MANY_NUMBERS: "as many numbers as no vertex has",
}
SLASH = 47
U_, M_, F_, V_, T_ = (ord(letter) for letter in "umfvt")


@dataclass(frozen=True, eq=False)
class ObjText:
    """What the lines of an OBJ file say.

    Attributes:
        vertices: (V, 3) float64.
        colours: (V, 3) float64 as written, NaN where a vertex has none; None where the first has none.
        uv: (T, 2) float64.
        faces: (F, 3) int32, polygons as fans.
        face_uv: (F, 3) int32, -1 at all three of a face that does not name one at each.
        marks: for each line `usemtl` or `mtllib`: its text, and the number of triangles before it.
        short: number of faces of fewer than three corners, which are left out.
    """

    vertices: NDArray[np.float64]
    colours: NDArray[np.float64] | None
    uv: NDArray[np.float64]
    faces: NDArray[np.int32]
    face_uv: NDArray[np.int32]
    marks: list[tuple[str, int]]
    short: int


def parse_obj(data: bytes, source: str) -> ObjText:
    """The text of an OBJ file. Faces may name vertices that come later.

    Args:
        data: the file; line ends of any kind, lines continued by a backslash, with or without a last line end.
        source: what the file is called in messages.

    Raises:
        FormatError: a number or an index is none, or there are too many faces; the message names the line.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    text = np.frombuffer(data, np.uint8)
    counts = _count(text)
    points, coordinates, triangles, marked, short, coloured = (int(count) for count in counts)
    if triangles > MOST_FACES or marked > MOST_MARKS:
        raise FormatError(f"{source}: {triangles} triangles and {marked} lines of materials; refused as too many")
    numbers = np.zeros((points, 3)), np.full((points if coloured else 0, 3), np.nan), np.zeros((coordinates, 2))
    faces, face_uv = np.zeros((triangles, 3), np.int32), np.zeros((triangles, 3), np.int32)
    marks = np.zeros((marked, 3), np.int64)
    fault, place, slow = _parse(text, *numbers, faces, face_uv, marks)
    if fault:
        line = data.count(b"\n", 0, place) + 1
        raise FormatError(f"{source}: line {line}: {FAULTS[fault]}; fetch the file again")
    _exactly(text, slow, numbers)
    for name, array in (("vertex", numbers[0]), ("texture coordinate", numbers[2])):
        if len(slow) and not np.isfinite(array).all():
            raise FormatError(f"{source}: a {name} is beyond all numbers; fetch the file again")
    if coordinates:
        face_uv[(face_uv == NO_UV).any(1)] = NO_UV
    lines = [(data[start:end].decode("utf-8", "replace"), int(before)) for start, end, before in marks.tolist()]
    return ObjText(numbers[0], numbers[1] if coloured else None, numbers[2], faces, face_uv, lines, short)


def _exactly(text: NDArray[np.uint8], slow: NDArray[np.int64], numbers: tuple[NDArray[np.float64], ...]) -> None:
    """Fill in the numbers that two floats do not give exactly: those of very many digits."""
    for first in range(0, len(slow), CHUNK):  # a row of letters and of their places for each
        array, place, start, size = slow[first : first + CHUNK].T
        columns = np.arange(int(size.max()))
        inside = columns < size[:, None]
        letters = np.where(inside, text[np.where(inside, start[:, None] + columns, 0)], 0).astype(np.uint8)
        values = letters.view(f"S{len(columns)}").ravel().astype(np.float64)
        for i, target in enumerate(numbers):
            target.reshape(-1)[place[array == i]] = values[array == i]


@njit(cache=True, nogil=True)
def _is_mark(text: Any, at: int) -> bool:
    """Whether a line begins with usemtl or mtllib."""
    use, library = b"usemtl", b"mtllib"
    if at + 6 >= len(text) or text[at + 6] > SPACE:
        return False
    is_use, is_library = True, True
    for i in range(6):
        is_use = is_use and text[at + i] == use[i]
        is_library = is_library and text[at + i] == library[i]
    return is_use or is_library


@njit(cache=True, nogil=True)
def _kind(text: Any, at: int) -> int:
    """What a line is, by its first word: V_, T_ (vt), F_, M_ (of a material), or 0."""
    size = len(text)
    if at + 1 >= size:
        return 0
    first, second = text[at], text[at + 1]
    if second <= SPACE or second == BACKSLASH:
        return int(first) if first in (V_, F_) else 0
    if first == V_ and second == T_ and (at + 2 >= size or text[at + 2] <= SPACE or text[at + 2] == BACKSLASH):
        return T_
    return M_ if first in (U_, M_) and _is_mark(text, at) else 0


@njit(cache=True, nogil=True)
def _count(text: Any) -> Any:
    """Numbers of vertices, texture coordinates, triangles, marks, short faces; whether the first vertex is coloured."""
    counts = np.zeros(6, np.int64)
    at, size = 0, len(text)
    while at < size:
        at = blanks(text, at)
        kind = _kind(text, at)
        if kind == F_ or (kind == V_ and counts[0] == 0):
            words, here = 0, blanks(text, at + 1)
            while not ended(text, here):
                words += 1
                here = blanks(text, word_end(text, here))
            if kind == V_:
                counts[5] = words >= 6
            elif words >= 3:
                counts[2] += words - 2
            else:
                counts[4] += 1
        if kind == V_:
            counts[0] += 1
        elif kind == T_:
            counts[1] += 1
        elif kind == M_:
            counts[3] += 1
        at = line_end(text, at, False) + 1
    return counts


@njit(cache=True, nogil=True)
def _index(text: Any, at: int, before: int, count: int) -> Any:
    """An index from 0, of a number from 1, or from -1 backwards; where it ends; the fault, or 0."""
    value, end = whole_number(text, at)
    if end == at:
        return 0, at, NUMBER
    if value == 0:
        return 0, at, ZERO_INDEX
    index = before + value if value < 0 else value - 1
    return index, end, 0 if 0 <= index < count else OUT_OF_RANGE


@njit(cache=True, nogil=True)
def _corner(text: Any, at: int, before: int, count: int, uv_before: int, uv_count: int) -> Any:
    """Vertex and texture coordinate (-1: none) of a corner `a`, `a/b`, `a//c` or `a/b/c`; its end; the fault, or 0."""
    size, uv = len(text), NO_UV
    vertex, at, fault = _index(text, at, before, count)
    part = 0
    while not fault and at < size and text[at] == SLASH and part < 2:
        at += 1
        part += 1
        if part == 2:
            _, at = whole_number(text, at)  # normals are not read
        elif at < size and text[at] > SPACE and text[at] != SLASH:
            uv, at, fault = _index(text, at, uv_before, uv_count)
    if not fault and at != word_end(text, at):
        fault = NUMBER
    return vertex, uv, at, fault


@njit(cache=True, nogil=True)
def _face(text: Any, at: int, faces: Any, face_uv: Any, triangles: int, before: Any, counts: Any) -> Any:
    """Write the triangles of a face; returns how many there are then, where its line goes on, and the fault, or 0."""
    corners = 0
    first, first_uv, last, last_uv = 0, 0, 0, 0
    at = blanks(text, at)
    while not ended(text, at):
        vertex, uv, end, fault = _corner(text, at, before[0], counts[0], before[1], counts[1])
        if fault:
            return triangles, at, fault
        if corners == 0:
            first, first_uv = vertex, uv
        if corners >= 2:
            faces[triangles, 0], faces[triangles, 1], faces[triangles, 2] = first, last, vertex
            face_uv[triangles, 0], face_uv[triangles, 1], face_uv[triangles, 2] = first_uv, last_uv, uv
            triangles += 1
        last, last_uv = vertex, uv
        corners += 1
        at = blanks(text, end)
    return triangles, at, 0


@njit(cache=True, nogil=True)
def _numbers(text: Any, at: int, found: Any, spans: Any) -> Any:
    """The numbers of a line into `found`, with start and size in `spans` where they are not exact; how many, and where.

    -1 in place of the count: no number there. -2: too many.
    """
    count = 0
    at = blanks(text, at)
    while not ended(text, at):
        if count == len(found):
            return -2, at
        value, end, exact = number(text, at)
        if end < 0:
            return -1, at
        found[count] = value
        spans[count, 0], spans[count, 1] = at, 0 if exact else end - at
        count += 1
        at = blanks(text, end)
    return count, at


@njit(cache=True, nogil=True)
def _keep(slow: Any, used: int, array: int, place: int, start: int, size: int) -> Any:
    """Note a number that is not exact yet."""
    if used == len(slow):
        wider = np.empty((2 * len(slow) + 64, 4), np.int64)
        for row in range(used):
            for column in range(4):
                wider[row, column] = slow[row, column]
        slow = wider
    slow[used, 0], slow[used, 1], slow[used, 2], slow[used, 3] = array, place, start, size
    return slow, used + 1


@njit(cache=True, nogil=True)
def _parse(text: Any, vertices: Any, colours: Any, uv: Any, faces: Any, face_uv: Any, marks: Any) -> Any:
    """Fill the arrays; returns the fault or 0, its place, and what is not exact: (S, 4) array, place, start, size."""
    before, counts = np.zeros(2, np.int64), np.zeros(2, np.int64)
    counts[0], counts[1] = len(vertices), len(uv)
    found, spans = np.empty(8), np.empty((8, 2), np.int64)
    slow, used, triangles, marked = np.empty((0, 4), np.int64), 0, 0, 0
    at, size, fault = 0, len(text), 0
    while at < size:
        at = blanks(text, at)
        kind = _kind(text, at)
        if kind == F_:
            triangles, at, fault = _face(text, at + 1, faces, face_uv, triangles, before, counts)
        elif kind == M_:
            marks[marked, 0], marks[marked, 1], marks[marked, 2] = at, line_end(text, at, False), triangles
            marked += 1
        elif kind in (V_, T_):
            start = at
            count, at = _numbers(text, at + (1 if kind == V_ else 2), found, spans)
            row = before[0] if kind == V_ else before[1]
            if count == -1:
                fault = NUMBER
            elif count == -2 or (kind == V_ and count == 5):
                fault = MANY_NUMBERS
            elif count < (3 if kind == V_ else 1):
                fault = FEW_NUMBERS
            if fault:
                return fault, start, slow
            coloured = kind == V_ and count >= 6 and len(colours) > 0
            for i in range(6 if coloured else 3 if kind == V_ else min(count, 2)):
                array = 2 if kind == T_ else 0 if i < 3 else 1
                if kind == T_:
                    uv[row, i] = found[i]
                elif i < 3:
                    vertices[row, i] = found[i]
                else:
                    colours[row, i - 3] = found[i]
                if spans[i, 1]:
                    place = row * 2 + i if kind == T_ else row * 3 + i % 3
                    slow, used = _keep(slow, used, array, place, spans[i, 0], spans[i, 1])
            before[0 if kind == V_ else 1] += 1
        if fault:
            return fault, at, slow
        at = line_end(text, at, False) + 1
    return 0, 0, slow[:used]
