"""RenderPeople in PIFu's layout, without fits, or in PaMIR's, with SMPL fits."""

from dataclasses import dataclass

from ..readers.scans.fit import Gender
from ..readers.scans.recipe import scan_recipe
from ..readers.scans.renderpeople import plan_renderpeople
from ..readers.scans.views import ScanOptions


@dataclass(frozen=True)
class RenderpeopleOptions(ScanOptions):
    """Options of the RenderPeople recipe.

    Attributes:
        gender: body model of PaMIR's fits, which do not say it.
    """

    gender: Gender = "neutral"


RECIPE = scan_recipe(
    name="renderpeople",
    summary="RenderPeople scans, with SMPL fits in PaMIR's layout: pools of points with SDF, rendered views.",
    options=RenderpeopleOptions,
    find=lambda raw, options: plan_renderpeople(raw, options.gender),
    body=lambda options: "smpl",
)
