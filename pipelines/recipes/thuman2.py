"""THuman2.0 and 2.1: scans of clothed people with SMPL-X fits, as subjects with point pools and as rendered views."""

from dataclasses import dataclass

from ..demo.thuman2 import generate
from ..readers.scans.fit import Gender
from ..readers.scans.recipe import scan_recipe
from ..readers.scans.thuman2 import plan_thuman2
from ..readers.scans.views import ScanOptions


@dataclass(frozen=True)
class Thuman2Options(ScanOptions):
    """Options of the THuman2 recipe.

    Attributes:
        later_gender: body model of THuman2.1's later fits (ids from 0526, hands of 45 numbers), whose authors do not
            say it; without it, these subjects are rejected.
    """

    later_gender: Gender | None = None


RECIPE = scan_recipe(
    name="thuman2",
    summary="THuman2.0/2.1 scans with SMPL-X fits: pools of points with SDF and body features, rendered views.",
    options=Thuman2Options,
    find=lambda raw, options: plan_thuman2(raw, options.fits == "use", options.later_gender),
    body=lambda options: "smplx",
    demo=generate,
)
