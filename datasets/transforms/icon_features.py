"""ICON's features of points about a body, from what is stored of the body: gathers, no search for closest faces.

After ICON of 2022 (`cal_sdf_batch` in lib/dataset/mesh_util.py, `query` in lib/net/HGPIFuNet.py), which looks closest
points up anew in each forward pass:

- sdf: as the transform icon_sdf has it, positive inside, 1 and -1 beyond the clip.
- cmap: template colours between the corners of the closest face; beyond the clip the sdf's sign, in all channels. (ICON
  assigns these signs with the channels of all points behind each other, so that they land on other points' channels;
  some of its versions leave the step out.)
- norm: vertex normals between the corners, in ICON's frame, not brought back to unit length. ICON computes them of the
  projected body, A = calib[:3, :3] = k M with M orthogonal. Its y points down, det M = -1, and the projected faces wind
  the other way round: (A a) x (A b) = k^2 det(M) M (a x b), so that ICON's normals are -M n. It multiplies them by
  (-1, 1, -1), which gives diag(1, -1, 1) M n: our world normal turned to the camera, x right, y up, z towards it. (We
  weight faces by their angles, pytorch3d by their areas.)
- vis: 1 where the visibility of the corners is 0.1 or more between them. ICON takes the feature of the front plane
  there, that of the back plane elsewhere, and does not feed it to the network itself.
- part (not ICON's): number of the body part of the nearest corner, that of the largest barycentric coordinate.

Closest points lie on the body here; ICON takes barycentric coordinates of the projection onto the face's plane, which
may lie outside the face.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..assets import Loads
from ..body_arrays import ARRAYS, BODY, BodyArrays, Places
from ..errors import SchemaError, UsageError
from ..schema import Field
from ._fields import BODIES, Fields, Record, require
from .icon_sdf import icon_feature, ndc_per_metre

MIRROR = np.array([[1.0], [-1.0], [1.0]])  # of M's rows
SEEN = np.float32(0.1)


@dataclass(frozen=True)
class Feature:
    """One feature: what the asset, the body's record and the view's must have for it, and what is added."""

    arrays: tuple[str, ...]
    of_body: tuple[str, ...]
    of_view: tuple[str, ...]
    adds: Field


AT = ("body_face", "body_bary")
LOOKED_UP = (*AT, "body_normals", "body_visible")  # nothing but this
FEATURES = {
    "sdf": Feature((), ("body_sdf",), ("calib",), Field(
        "icon_sdf", "float32", ("points",), "npy", frame="ndc", nan="as of the distance",
        meaning="ICON's signed distance, positive inside: /sqrt(3), beyond the clip 1 or -1")),
    "cmap": Feature(("faces", "canonical"), (*AT, "body_sdf"), ("calib",), Field(
        "icon_cmap", "float32", ("points", 3), "npy",
        meaning="template colour of the closest point; beyond the clip the sign of icon_sdf")),
    "norm": Feature(("faces",), (*AT, "body_normals"), ("calib",), Field(
        "icon_norm", "float32", ("points", 3), "npy", "unit vector", "view",
        meaning="body normal at the closest point, x right, y up, z towards the camera; shorter between vertices")),
    "vis": Feature(("faces",), AT, ("body_visible",), Field(
        "icon_vis", "float32", ("points",), "npy", meaning="1 where the closest point is seen, else 0")),
    "part": Feature(("faces", "part"), AT, (), Field(
        "icon_part", "uint8", ("points",), "npy", meaning="number of the body part of the closest point")),
}  # fmt: skip


class IconFeatures:
    """Adds `icon_sdf`, `icon_cmap`, `icon_norm`, `icon_vis` or `icon_part` of points about one body (`pick_body`).

    What they were looked up with then leaves the record: `body_face`, `body_bary`, `body_normals`, `body_visible`, as
    far as these features need them. `body_sdf`, the only distance in metres, and `calib` stay.

    Args:
        features: which of sdf, cmap, norm, vis, part.
        subject: reference that leads to the body's fields; "" where they are the record's own.
        clip: ICON's `sdf_clip`.
        assets: the body's arrays, where no Stream gives them: `faces` (F, 3) integers, for cmap `canonical` (V, 3)
            floats in [0, 1], for part `part` (V,) uint8.
        drop: False keeps what the features were looked up with.

    Attributes:
        assets: these arrays; or what loads them, which a Stream sets before it calls `bind`.
        changes: None for each field that leaves the record.

    Raises:
        ValueError: unknown features or none, or a clip that is not positive.
        FormatError: arrays that are none of a body.
    """

    name = "icon_features"

    def __init__(
        self,
        features: Sequence[str] = ("sdf", "cmap", "norm", "vis"),
        subject: str = "subject",
        clip: float = 15.0,
        assets: Mapping[str, NDArray[Any]] | Loads | None = None,
        drop: bool = True,
    ) -> None:
        self.features = (features,) if isinstance(features, str) else tuple(dict.fromkeys(features))
        if not self.features or not set(self.features) <= set(FEATURES) or not 0 < clip < np.inf:
            raise ValueError(f"features {features!r} must be some of {', '.join(FEATURES)}, clip {clip} positive")
        self.clip, self.assets = clip, assets
        self._prefix = f"{subject}." if subject else ""
        chosen = [FEATURES[feature] for feature in self.features]
        of_body = [f"{self._prefix}{name}" for each in chosen for name in each.of_body]
        self.reads = tuple(dict.fromkeys([*of_body, *(name for each in chosen for name in each.of_view)]))
        self.writes = tuple(each.adds for each in chosen)
        gone = [name for name in self.reads if drop and name.removeprefix(self._prefix) in LOOKED_UP]
        self.changes: dict[str, Field | None] = dict.fromkeys(gone)
        self._arrays = tuple(dict.fromkeys(name for each in chosen for name in each.arrays))
        self._body: BodyArrays | None = None
        if self._arrays and isinstance(assets, Mapping):
            self._body = BodyArrays(assets, self._arrays)

    def bind(self, fields: Fields) -> None:
        """Check the fields, and load the body's arrays where the user gave none.

        Raises:
            UsageError: a field is missing, or still of several bodies; there is no body among the assets.
            FormatError: the asset is damaged.
        """
        missing = [name for name in self.reads if name not in fields]
        if missing:
            raise UsageError(
                f"transform {self.name}: the stream delivers no {', '.join(missing)}; ask for these too"
                " (an icon_features before it takes them along, unless it has drop=False)"
            )
        several = [name for name in self.reads if BODIES in fields[name].shape]
        if several:
            raise UsageError(f"transform {self.name}: {', '.join(several)} is of several bodies; put pick_body before")
        if not self._arrays or isinstance(self.assets, Mapping):
            return
        if self.assets is None:
            raise UsageError(f"transform {self.name}: give assets=, the body's {', '.join(self._arrays)}")
        wanted = {name: ARRAYS[name] for name in self._arrays}
        loaded = self.assets(BODY, wanted, "--body-models (and not --fits ignore)")
        self._body = BodyArrays(loaded, self._arrays)

    def __call__(self, record: Record) -> dict[str, NDArray[Any]]:
        """The record's arrays with the features added, without what they were looked up with.

        Args:
            record: of one body, points (n,): `body_sdf` float metres, negative inside, `body_face` unsigned integers,
                `body_bary` (n, 3), `body_normals` (V, 3) unit, world; of the view: `calib` (4, 4) from world metres to
                the cube, y down, and `body_visible` (V / 8,) uint8, bits of the vertices, lowest first.

        Returns:
            a new mapping; features are float32, `icon_part` uint8.

        Raises:
            SchemaError: a field is missing or of several bodies, a feature is there already, faces or vertices are of
                another body than the asset, `calib` has no one scale, or its y points up.
            UsageError: nobody gave the body's arrays.
        """
        require(self.name, record, self.reads, self.writes)
        made: dict[str, NDArray[Any]] = {}
        scale = ndc_per_metre(record["calib"], self.name) if "calib" in self.reads else 1.0
        if self._prefix + "body_sdf" in self.reads:
            sdf = record[f"{self._prefix}body_sdf"]
            if sdf.ndim != 1:
                raise SchemaError(f"transform {self.name}: body_sdf is {sdf.shape}, of several bodies? pick_body first")
            made["sdf"], far = icon_feature(sdf, scale, self.clip)
        if self._arrays:
            body, places = self._places(record)
            if "cmap" in self.features:
                colour = places.between(body.of_vertices["canonical"])
                made["cmap"] = np.ascontiguousarray(np.where(far, made["sdf"], colour).T)
            if "norm" in self.features:
                normals = places.between(self._normals(record, body))
                made["norm"] = np.ascontiguousarray((self._turn(record["calib"], scale) @ normals).T)
            if "vis" in self.features:
                made["vis"] = (places.between(self._visible(record, body)) >= SEEN).astype(np.float32)
            if "part" in self.features:
                made["part"] = body.of_vertices["part"].take(places.nearest())
        kept = {name: array for name, array in record.items() if name not in self.changes}
        return kept | {f"icon_{feature}": made[feature] for feature in self.features}

    def _places(self, record: Record) -> tuple[BodyArrays, Places]:
        if self._body is None:
            raise UsageError(f"transform {self.name}: give assets=, or call bind(fields) first (a Stream does)")
        face, bary = (record[f"{self._prefix}{name}"] for name in AT)
        return self._body, self._body.places(face, bary)

    def _turn(self, calib: NDArray[Any], scale: float) -> NDArray[np.float32]:
        """(3, 3) from world normals to ICON's."""
        turn = np.asarray(calib, np.float64)[:3, :3] / scale
        if np.linalg.det(turn) > 0:
            raise SchemaError(f"transform {self.name}: y of `calib` points up; in ICON's cube it points down")
        return (MIRROR * turn).astype(np.float32)

    def _normals(self, record: Record, body: BodyArrays) -> NDArray[np.float32]:
        """(3, V) of the vertices."""
        normals = record[f"{self._prefix}body_normals"]
        body.check("body_normals", len(normals))
        return np.ascontiguousarray(normals.T, np.float32)

    def _visible(self, record: Record, body: BodyArrays) -> NDArray[np.float32]:
        """(V,) 1 where a vertex is seen."""
        seen = np.unpackbits(record["body_visible"], bitorder="little")
        body.check("body_visible", len(seen))
        return seen.astype(np.float32)


TRANSFORM = IconFeatures
