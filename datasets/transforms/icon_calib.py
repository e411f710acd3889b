"""ICON's `calib`: from the published scan's coordinates times 100 to its cube [-1, 1]^3, y down the picture.

ICON loads meshes times 100 (its configuration's scale of THuman2.0 and CAPE) and reads calib/NNN.txt, two 4 x 4
matrices whose product it takes (`load_calib`, lib/dataset/mesh_util.py). One unit of normalised device coordinates is
102.4 of a body that is 180 tall: the renderer makes every scan 180 tall, whatever its pose, and the scale of that is in
`calib` already.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..schema import Field
from ._fields import Record, require


class IconCalib:
    """Adds `icon_calib` to a record with an orthographic `calib` from metres.

    Args:
        units_per_metre: how many of ICON's units are a metre of the record: 100 where the scan was published in metres.
        ndc_y: where y of the record's own normalised device coordinates points, down the picture or up.

    Raises:
        ValueError: a scale that is not positive, or another direction.
    """

    name = "icon_calib"
    reads = ("calib",)
    writes = (Field("icon_calib", "float32", (4, 4), "npz", frame="ndc", meaning="scan x 100 to ICON's cube, y down"),)

    def __init__(self, units_per_metre: float = 100.0, ndc_y: Literal["down", "up"] = "down") -> None:
        if not 0 < units_per_metre < np.inf or ndc_y not in ("down", "up"):
            raise ValueError(f"units_per_metre {units_per_metre} must be positive, ndc_y {ndc_y!r} down or up")
        self._columns = np.array([1 / units_per_metre] * 3 + [1])
        self._rows = np.array([[1], [1 if ndc_y == "down" else -1], [1], [1]])

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record's arrays with `icon_calib` added, (4, 4) float32.

        Raises:
            SchemaError: `calib` is missing, or `icon_calib` is there already.
        """
        require(self.name, record, self.reads, self.writes)
        matrix = record["calib"].astype(np.float64) * self._columns * self._rows
        return {**record, "icon_calib": matrix.astype(np.float32)}


TRANSFORM = IconCalib
