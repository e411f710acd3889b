"""A body on which points are looked up: the corners of its faces, and what lies between them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .assets import Wanted
from .errors import FormatError, SchemaError

BODY = "assets/body.npz"
ARRAYS: Wanted = {"faces": ("int32", (None, 3)), "canonical": ("float32", (None, 3)), "part": ("uint8", (None,))}


@dataclass(frozen=True, eq=False)
class Places:
    """Places on faces.

    Attributes:
        corners: (3, n) vertices of the faces.
        bary: (3, n) float32 barycentric coordinates.
    """

    corners: NDArray[np.intp]
    bary: NDArray[np.float32]

    def between(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of vertices (..., V) between the corners: (..., n). As planes: rows of three are gathered slowly."""
        out = values.take(self.corners[0], -1)
        out *= self.bary[0]
        for vertex, weight in zip(self.corners[1:], self.bary[1:], strict=True):
            other = values.take(vertex, -1)
            other *= weight
            out += other
        return out

    def nearest(self) -> NDArray[np.intp]:
        """(n,) the corner with the largest coordinate, the first of equal ones."""
        a, b, c = self.bary
        first = np.where(b > a, self.corners[1], self.corners[0])
        return np.where(c > np.maximum(a, b), self.corners[2], first)


class BodyArrays:
    """Arrays of a body that all records share, laid out as they are gathered.

    Args:
        arrays: `faces` (F, 3) integers, and of vertices `canonical` (V, 3) floats, `part` (V,) uint8.
        used: which of them are needed.

    Attributes:
        of_vertices: `canonical` (3, V) float32, `part` (V,) uint8, where they are used.
        vertices: least number of vertices that a body with these faces has.

    Raises:
        FormatError: an array is missing or of another make, or faces name vertices that are not there.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], used: Iterable[str]) -> None:
        found = {name: _checked(name, arrays) for name in used}
        faces = found.pop("faces")
        self.of_vertices = {name: np.ascontiguousarray(array.T) for name, array in found.items()}
        self.vertices = int(faces.max()) + 1 if len(faces) else 0
        if not len(faces) or faces.min() < 0 or any(self.vertices > len(array) for array in found.values()):
            raise FormatError(f"body: its faces name vertices that {', '.join(found) or 'no body'} does not have")
        self._corners = np.ascontiguousarray(faces.T, np.intp)

    def places(self, face: NDArray[Any], bary: NDArray[Any]) -> Places:
        """Places on faces.

        Args:
            face: (n,) unsigned numbers of faces.
            bary: (n, 3) barycentric coordinates.

        Raises:
            SchemaError: other shapes, or a face that the body does not have.
        """
        if face.ndim != 1 or bary.shape != (len(face), 3):
            raise SchemaError(f"closest faces are {face.shape}, coordinates {bary.shape}: not (n,) and (n, 3)")
        if len(face) and face.max() >= self._corners.shape[1]:
            raise SchemaError(f"the body has no face {face.max()}; is it the one that the records are of?")
        return Places(self._corners.take(face, 1), np.ascontiguousarray(bary.T, np.float32))

    def check(self, name: str, vertices: int) -> None:
        """Refuse what is known of a body of fewer vertices.

        Raises:
            SchemaError: with the field's name.
        """
        if vertices < self.vertices:
            raise SchemaError(f"`{name}` has {vertices} vertices, the asset's body {self.vertices}: it is another's")


def _checked(name: str, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    dtype, shape = ARRAYS[name]
    if name not in arrays:
        raise FormatError(f"body: there is no `{name}` among its arrays ({', '.join(arrays) or 'none'})")
    array = np.asarray(arrays[name])
    same = array.ndim == len(shape) and array.shape[1:] == shape[1:]
    if not same or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise FormatError(f"body: `{name}` is {array.dtype} {array.shape}, not {dtype} {shape}".replace("None", "n"))
    return array.astype(dtype, copy=False)
