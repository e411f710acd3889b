"""A scan and the body that was fitted to it, in one frame of metres."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.body_params import BODY_PARAMS
from ...datasets.errors import RawDataError
from ...datasets.surface.surface import Surface
from ..readers.scans.fit import BodyFit
from .model import NAMES, BodyModel

FARTHEST = 0.06  # metres that a body's vertices may lie off its scan, in the mean
OUTSIDE = 0.02  # metres that a vertex may lie outside the scan
MOST_OUTSIDE = 0.4  # share of vertices that may lie further
MEND = (
    "see that scale, translation and gender are those of this scan and this body model, or do without fits: "
    "--fits ignore --normalise height"
)
TALL = 1.8  # metres, times 100: what the references scale every scan to
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanFrame:
    """The frame of a scan's labels: metres, y up, over the pelvis, at half the height of the scan.

    Attributes:
        metres: metres of a raw unit.
        centre: (3,) the origin, in raw units: ICON's `vmed`.
        height: of the scan, metres.
        scan_scale: 1.8 / height in raw units, by which the references scale a scan.
    """

    metres: float
    centre: Floats
    height: float
    scan_scale: float

    @property
    def world_from_scan(self) -> Floats:
        """(4, 4) from raw units."""
        matrix = np.diag([self.metres, self.metres, self.metres, 1.0])
        matrix[:3, 3] = -self.metres * self.centre
        return matrix

    def to_world(self, points: Floats) -> Floats:
        """Points (..., 3) of the scan, in metres."""
        return (points - self.centre) * self.metres

    def placed(self, fit: BodyFit) -> tuple[float, Floats]:
        """Scale and translation of a fit's model to this frame."""
        return fit.scale * self.metres, (fit.translation - self.centre) * self.metres

    def placed_by_references(self, fit: BodyFit) -> tuple[float, Floats]:
        """Scale and translation of a fit's model to the references' frame, in which the scan is 180 units tall."""
        unit = 100 * self.scan_scale
        return fit.scale * unit, (fit.translation - self.centre) * unit


def scan_frame(vertices: Floats, metres: float, pelvis: Floats | None = None) -> ScanFrame:
    """The frame of a scan.

    Args:
        vertices: (V, 3) of the scan, raw units, y up.
        metres: metres of a raw unit: 1 / the fit's scale, or what the data set states.
        pelvis: (3,) of the fit, raw units; None for the median of the scan, as PIFu takes it.

    Raises:
        RawDataError: the scan has no height.
    """
    low, high = vertices.min(0), vertices.max(0)
    tall = float(high[1] - low[1])
    if not tall > 0 or not metres > 0:
        raise RawDataError(f"the scan is {tall} units tall, of {metres} metres each; that is no person")
    middle = np.median(vertices, axis=0) if pelvis is None else np.asarray(pelvis, np.float64)
    centre = np.array([middle[0], (low[1] + high[1]) / 2, middle[2]])
    return ScanFrame(metres, centre, tall * metres, TALL / tall)


def parameters(fit: BodyFit, model: BodyModel) -> dict[str, Floats]:
    """What poses the model as a fit says, full hands relative to a flat hand; sizes as in `BODY_PARAMS`.

    Raises:
        RawDataError: the fit is not of the model's kind; or it was made with the real model and this is a stand-in, or
            the other way round, or with another stand-in; or it has more shapes than are used.
    """
    if fit.model != model.kind:
        raise RawDataError(f"the fit is of {fit.model}, not of {NAMES[model.kind]}, as the body model is")
    if fit.stand_in != model.stand_in:
        made, given = (f"a {name}" if name else NAMES[model.kind] for name in (fit.stand_in, model.stand_in))
        raise RawDataError(f"the fit was made with {made}, the body model is {given}; give its own by --body-models")
    sizes = BODY_PARAMS[model.kind]
    values = {name: getattr(fit, name) for name in sizes}
    for name in ("left_hand_pose", "right_hand_pose"):
        if len(values.get(name, ())):
            values[name] = model.hand_pose(name.split("_")[0], values[name], fit.flat_hand_mean)
    out = {}
    for name, size in sizes.items():
        out[name] = np.zeros(size)
        given = values[name][:size]
        out[name][: len(given)] = given
        if np.any(values[name][size:]):
            raise RawDataError(f"the fit has {len(values[name])} numbers of {name}; {size} are used")
    return out


def posed(model: BodyModel, given: Mapping[str, Floats], scale: float, translation: Floats) -> tuple[Floats, Floats]:
    """Vertices (V, 3) and joints (J, 3) of a posed body, scaled, then moved."""
    body = model.pose(given)
    return body.vertices * scale + translation, body.joints * scale + translation


def check_fit(scan: Surface, body: Floats) -> tuple[float, float]:
    """How far a fit lies off its scan: a mean, and whether it stays inside.

    Clothes lie outside the body. A fit that is 7 cm beside its scan has half of its vertices outside, and is still
    within the mean distance that is allowed.

    Args:
        scan: in the world frame, metres.
        body: (V, 3) vertices of the fit, likewise.

    Returns:
        Mean distance of the vertices to the scan, metres; share of them more than 2 cm outside it.

    Raises:
        RawDataError: either is more than `FARTHEST` and `MOST_OUTSIDE` allow.
    """
    signed = scan.signed_distance(body).distance
    distances = np.abs(signed)
    mean, far, share = float(distances.mean()), float(np.quantile(distances, 0.95)), float((signed > OUTSIDE).mean())
    if mean > FARTHEST:
        at = f"{100 * mean:.1f} cm in the mean, {100 * far:.1f} cm for one vertex in twenty"
        raise RawDataError(f"the fit lies off its scan: {at} (allowed: {100 * FARTHEST:.0f} cm in the mean); {MEND}")
    if share > MOST_OUTSIDE:
        raise RawDataError(
            f"the fit lies off its scan: {100 * share:.0f} % of its vertices are more than {100 * OUTSIDE:.0f} cm "
            f"outside (allowed: {100 * MOST_OUTSIDE:.0f} %); {MEND}"
        )
    return mean, share
