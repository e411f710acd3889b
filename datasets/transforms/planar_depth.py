"""Planar depth, the target of Marigold and Depth Anything, from the stored distance along each pixel's ray.

Depth is measured along the optical axis of the record's own camera, z = distance * cos(angle to the axis), with the
record's exact intrinsics. Both code bases divide by a fixed lens instead, focal length 886.81 pixels of a 1024 x 768
picture with the axis in its middle, and so lose more than 0.1 % on average in 202 of Hypersim's 457 scenes, more than
1 % in 31, and up to 17.8 % in single pixels (tilt-shift lenses); where a camera is the standard one, all three agree.
Their limits on the depths that count are not part of the depth; the options give them:

- Marigold (`least=1e-5, most=65`) keeps depth in uint16 millimetres, which ends at 65.535 m, and writes 0 where nothing
  was measured;
- Depth Anything V2, metric training (`least=0.001, most=20`), leaves other depths out of the loss and sets what was not
  measured to 0.

Here both are NaN: a mask is `numpy.isfinite(depth)`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import planar_depth
from ..errors import SchemaError
from ..schema import Field


class PlanarDepth:
    """Adds `depth` to a record with `distance` and `intrinsics`.

    Args:
        least: smallest depth kept, metres.
        most: largest depth kept, metres.

    Raises:
        ValueError: no depth lies between the two.
    """

    name = "planar_depth"
    reads = ("distance", "intrinsics")
    writes = (
        Field(
            "depth",
            "float32",
            ("height", "width"),
            "npy",
            unit="metre",
            frame="camera",
            meaning="planar depth: distance along the optical axis of `intrinsics`",
            nan="not measured, or outside the limits asked for",
        ),
    )

    def __init__(self, least: float = 0.0, most: float = np.inf) -> None:
        if not least < most:
            raise ValueError(f"depths from {least} to {most} m: nothing lies between these limits")
        self.least, self.most = least, most

    def __call__(self, record: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The record's arrays with `depth` added.

        Args:
            record: with `distance` (h, w) float, metres, NaN where not measured, and `intrinsics` (3, 3), pixels of
                this very picture, corner origin (so crop and resize both together).

        Returns:
            a new mapping; `depth` is (h, w) float32 metres.

        Raises:
            SchemaError: a field is missing, or the record has a `depth` of its own.
        """
        missing = [field for field in self.reads if field not in record]
        if missing:
            raise SchemaError(f"transform {self.name}: the record lacks {', '.join(missing)}; ask for these fields too")
        if "depth" in record:
            raise SchemaError(f"transform {self.name}: the record has a field `depth` already; leave one of them out")
        distance, intrinsics = record["distance"], np.asarray(record["intrinsics"], np.float64)
        depth = distance.astype(np.float32) * _depth_per_metre(intrinsics.tobytes(), *distance.shape)
        if self.least > 0 or self.most < np.inf:
            depth[~((depth >= self.least) & (depth <= self.most))] = np.nan
        return {**record, "depth": depth}


@lru_cache(maxsize=8)
def _depth_per_metre(intrinsics: bytes, height: int, width: int) -> NDArray[np.float32]:
    """(height, width) float32 planar depth of points one metre away; a scene's frames share it, hence read-only."""
    matrix = np.frombuffer(intrinsics, np.float64).reshape(3, 3)
    unit = planar_depth(np.ones((height, width)), matrix).astype(np.float32)
    unit.flags.writeable = False
    return unit


TRANSFORM = PlanarDepth
