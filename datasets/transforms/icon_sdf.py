"""ICON's signed distances: positive inside, in its own two scales.

- `form="feature"`, what its network gets of the body: `cal_sdf_batch` in lib/dataset/mesh_util.py divides the distance
  in normalised device coordinates by sqrt(3) and makes it positive inside; the query in lib/net/HGPIFuNet.py then
  replaces whatever is 0.15 (`sdf_clip` / 100) or further away by 1 inside and -1 outside.
- `form="target"`, what its dataset makes of the scan with `sdf: True` (`get_sampling_geo`, lib/dataset/PIFuDataset.py):
  distances in hundredths of a metre (scans published in metres are loaded times 100), clipped at `sdf_clip` = 15 of
  them either way, and brought to [0, 1]: 1 inside, 0.5 on the surface, 0 outside.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import SchemaError
from ..schema import Field
from ._fields import Record, require


class IconSdf:
    """Adds `icon_sdf` to a record with signed distances in metres, negative inside.

    Args:
        form: "feature" (needs `calib`, which says how long a metre is in normalised device coordinates) or "target".
        field: the signed distance.
        clip: ICON's `sdf_clip`.

    Raises:
        ValueError: an unknown form, or a clip that is not positive.
    """

    name = "icon_sdf"
    reads: tuple[str, ...] = ("sdf", "calib")
    writes: tuple[Field, ...] = (
        Field(
            "icon_sdf", "float32", ("points",), "npy", frame="ndc", nan="as of the distance",
            meaning="ICON's signed distance, positive inside: /sqrt(3), beyond the clip 1 or -1; as target in [0, 1]",
        ),
    )  # fmt: skip

    def __init__(self, form: Literal["feature", "target"] = "feature", field: str = "sdf", clip: float = 15.0) -> None:
        if form not in ("feature", "target") or not 0 < clip < np.inf:
            raise ValueError(f"form {form!r} must be feature or target, clip {clip} positive")
        self.form, self.clip = form, clip
        self.reads = (field, "calib") if form == "feature" else (field,)

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record's arrays with `icon_sdf` added.

        Args:
            record: with the distance (...,) float, metres, and `calib` (4, 4), metres to normalised device coordinates.

        Returns:
            a new mapping; `icon_sdf` is float32 of the distance's shape.

        Raises:
            SchemaError: a field is missing, `icon_sdf` is there already, or `calib` has no one scale.
        """
        require(self.name, record, self.reads, self.writes)
        sdf = record[self.reads[0]]
        if self.form == "target":
            share = -sdf.astype(np.float32) * np.float32(50 / self.clip) + np.float32(0.5)
            return {**record, "icon_sdf": np.clip(share, 0, 1)}
        return {**record, "icon_sdf": icon_feature(sdf, ndc_per_metre(record["calib"]), self.clip)[0]}


def icon_feature(sdf: NDArray[Any], scale: float, clip: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """ICON's feature, and which points lie beyond its clip.

    Args:
        sdf: (...,) signed distance, metres, negative inside.
        scale: normalised device coordinates of a metre.
        clip: ICON's `sdf_clip`, hundredths of the feature.

    Returns:
        (...,) positive inside, beyond the clip 1 or -1; and (...,) true there.
    """
    inside = sdf.astype(np.float32)
    inside *= np.float32(-scale / np.sqrt(3))
    far = np.abs(inside) >= np.float32(clip / 100)
    return np.where(far, np.sign(inside), inside), far


def ndc_per_metre(calib: NDArray[Any], transform: str = "icon_sdf") -> float:
    """Length in normalised device coordinates of a metre in any direction.

    Args:
        calib: (4, 4) orthographic, metres to normalised device coordinates.
        transform: whose, for the message.

    Raises:
        SchemaError: the length depends on the direction (a crop stretches the coordinates of its window).
    """
    rows = np.linalg.norm(np.asarray(calib, np.float64)[:3, :3], axis=1)
    if not np.ptp(rows) <= 1e-4 * rows.max():
        raise SchemaError(f"calib has no one scale ({rows.round(4)} per metre): put {transform} in front of the crop")
    return float(rows.mean())


TRANSFORM = IconSdf
