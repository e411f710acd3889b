"""Any folder of scanned people (OBJ, PLY, GLB, STL), with SMPL-X or SMPL fits where there are any."""

from dataclasses import dataclass

from ...datasets.errors import UsageError
from ..bodies.model_files import Kind
from ..raw import Raw
from ..readers.scans.fit import Gender
from ..readers.scans.folder import plan_folder
from ..readers.scans.recipe import scan_recipe
from ..readers.scans.views import ScanOptions
from ..recipe import Plan


@dataclass(frozen=True)
class ScansOptions(ScanOptions):
    """Options of the recipe for any folder of scans.

    Attributes:
        units_per_metre: raw units in a metre, of meshes without a fit: 1, or 100 for centimetres, 1000 for millimetres.
        body: body model of the fits.
        gender: of the fits' models, where they do not say it.
    """

    units_per_metre: float | None = None
    body: Kind = "smplx"
    gender: Gender | None = None


def find(raw: Raw, options: ScansOptions) -> Plan:
    """Meshes of RAW.

    Raises:
        UsageError: an option is out of range.
    """
    units = options.units_per_metre
    if units is not None and not 1e-4 <= units <= 1e4:
        raise UsageError(f"--units-per-metre {units}: from 0.0001 to 10000")
    return plan_folder(raw, units, options.gender)


RECIPE = scan_recipe(
    name="scans",
    summary="A folder of scanned people, with body fits where there are any: pools of points with SDF, rendered views.",
    options=ScansOptions,
    find=find,
    body=lambda options: options.body,
)
