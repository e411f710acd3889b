"""CAPE as ICON publishes it: untextured scans with SMPL fits, all to test on."""

from dataclasses import dataclass

from ..readers.scans.cape import plan_cape
from ..readers.scans.recipe import scan_recipe
from ..readers.scans.views import ScanOptions


@dataclass(frozen=True)
class CapeOptions(ScanOptions):
    """Options of the CAPE recipe; the references evaluate three views, 0, 120 and 240 degrees.

    Attributes:
        views: cameras round the person, evenly spaced.
    """

    views: int = 3


RECIPE = scan_recipe(
    name="cape",
    summary="CAPE scans with SMPL fits, to test on: pools of points with SDF and body features, rendered views.",
    options=CapeOptions,
    find=lambda raw, options: plan_cape(raw),
    body=lambda options: "smpl",
)
