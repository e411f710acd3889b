"""Names of the array types that the demo passes around."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
# float32 throughout; the wider name because numpy's annotations count float32 x Python float as float64.
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Faces = NDArray[np.uint32]
Bytes = NDArray[np.uint8]
Point = tuple[float, float, float]
# A rendered image of each modality by its file name: float16 vectors and depth, int16 ids.
Frame = dict[str, NDArray[Any]]


def single(values: ArrayLike) -> Floats:
    """Numbers as a float32 array."""
    return np.asarray(values, np.float32)
