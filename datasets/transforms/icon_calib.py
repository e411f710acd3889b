"""ICON's `calib`: from the published scan's coordinates times 100 to its cube [-1, 1]^3, y down the picture.

ICON loads meshes times 100 (its configuration's scale of THuman2.0 and CAPE) and reads calib/NNN.txt, two 4 x 4
matrices whose product it takes (`load_calib`, lib/dataset/mesh_util.py). One unit of normalised device coordinates is
102.4 of a body that is 180 tall: the renderer makes every scan 180 tall, whatever its pose, and the scale of that is in
`calib` already.

THuman2.0's published units are no metres, and its scans lie anywhere: `scan="subject.world_from_scan"` goes by way of
the record's world, icon_calib = calib @ world_from_scan @ diag(1/100, 1/100, 1/100, 1).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..schema import Field
from ._fields import Record, require


class IconCalib:
    """Adds `icon_calib` to a record with an orthographic `calib` from metres.

    Args:
        units_per_metre: how many of ICON's units are a metre of the record: 100 where the scan was published in metres;
            with `scan`, how many are one of the published scan's own units.
        ndc_y: where y of the record's own normalised device coordinates points, down the picture or up.
        scan: field with the matrix (4, 4) from the published scan's units to the record's metres; None where the scan
            was published in the record's own frame.

    Raises:
        ValueError: a scale that is not positive, or another direction.
    """

    name = "icon_calib"
    reads: tuple[str, ...] = ("calib",)
    writes = (Field("icon_calib", "float32", (4, 4), "npz", frame="ndc", meaning="scan x 100 to ICON's cube, y down"),)

    def __init__(
        self, units_per_metre: float = 100.0, ndc_y: Literal["down", "up"] = "down", scan: str | None = None
    ) -> None:
        if not 0 < units_per_metre < np.inf or ndc_y not in ("down", "up"):
            raise ValueError(f"units_per_metre {units_per_metre} must be positive, ndc_y {ndc_y!r} down or up")
        self._columns = np.array([1 / units_per_metre] * 3 + [1])
        self._rows = np.array([[1], [1 if ndc_y == "down" else -1], [1], [1]])
        self.scan = scan
        self.reads = ("calib",) if scan is None else ("calib", scan)

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record's arrays with `icon_calib` added, (4, 4) float32.

        Raises:
            SchemaError: a matrix is missing, the scan's is no (4, 4), or `icon_calib` is there already.
        """
        require(self.name, record, self.reads, self.writes)
        matrix = record["calib"].astype(np.float64)
        if self.scan is not None:
            scan = record[self.scan]
            if scan.shape[-2:] != (4, 4):
                raise SchemaError(f"transform {self.name}: `{self.scan}` is {scan.shape}, not a matrix (4, 4)")
            matrix = matrix @ scan.astype(np.float64)
        return {**record, "icon_calib": (matrix * self._columns * self._rows).astype(np.float32)}


TRANSFORM = IconCalib
