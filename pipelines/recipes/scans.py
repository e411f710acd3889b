"""Any folder of scanned people (OBJ, PLY, GLB, STL), with SMPL-X or SMPL fits where there are any."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...datasets.errors import UsageError
from ..bodies.model_files import Kind
from ..labels.scan_tables import record_bytes, scan_tables
from ..raw import Raw
from ..rawfiles import RawFiles
from ..readers.scans.fit import Gender
from ..readers.scans.folder import plan_folder
from ..readers.scans.shared_body import shared_body
from ..readers.scans.subject import read_subject
from ..readers.scans.views import SELECTING, ScanOptions, with_views
from ..recipe import Plan, Recipe, Reject, Sample, Unit
from ..shared import Shared


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


def plan(raw: Raw, options: ScansOptions) -> Plan:
    """Meshes of RAW, each with its views.

    Raises:
        UsageError: an option is out of range.
    """
    units = options.units_per_metre
    if units is not None and not 1e-4 <= units <= 1e4:
        raise UsageError(f"--units-per-metre {units}: from 0.0001 to 10000")
    return with_views(plan_folder(raw, units, options.gender), raw, options, options.body)


def read(unit: Unit, files: RawFiles, options: ScansOptions) -> Iterator[Sample | Reject]:
    """The subject, then its views."""
    yield from read_subject(unit, files, options, options.body)


def shared(raw: Raw, options: ScansOptions) -> Shared:
    """Faces, canonical colours and parts of the bodies."""
    return shared_body(raw, options, options.body)


RECIPE = Recipe(
    name="scans",
    summary="A folder of scanned people, with body fits where there are any: pools of points with SDF, rendered views.",
    options=ScansOptions,
    tables=scan_tables(lambda options: options.body),
    plan=plan, read=read, record_bytes=record_bytes, selecting=SELECTING, shared=shared,
)  # fmt: skip
