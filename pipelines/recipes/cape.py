"""CAPE as ICON publishes it: untextured scans with SMPL fits, all to test on."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..bodies.model_files import Kind
from ..labels.scan_tables import record_bytes, scan_tables
from ..raw import Raw
from ..rawfiles import RawFiles
from ..readers.scans.cape import plan_cape
from ..readers.scans.shared_body import shared_body
from ..readers.scans.subject import read_subject
from ..readers.scans.views import SELECTING, ScanOptions, with_views
from ..recipe import Plan, Recipe, Reject, Sample, Unit
from ..shared import Shared

BODY: Kind = "smpl"


@dataclass(frozen=True)
class CapeOptions(ScanOptions):
    """Options of the CAPE recipe; the references evaluate three views, 0, 120 and 240 degrees.

    Attributes:
        views: cameras round the person, evenly spaced.
    """

    views: int = 3


def plan(raw: Raw, options: CapeOptions) -> Plan:
    """Scans of RAW, each with its views."""
    return with_views(plan_cape(raw), raw, options, BODY)


def read(unit: Unit, files: RawFiles, options: CapeOptions) -> Iterator[Sample | Reject]:
    """The subject, then its views."""
    yield from read_subject(unit, files, options, BODY)


def shared(raw: Raw, options: CapeOptions) -> Shared:
    """Faces, canonical colours and parts of the bodies."""
    return shared_body(raw, options, BODY)


RECIPE = Recipe(
    name="cape",
    summary="CAPE scans with SMPL fits, to test on: pools of points with SDF and body features, rendered views.",
    options=CapeOptions,
    tables=scan_tables(lambda options: BODY),
    plan=plan, read=read, record_bytes=record_bytes, selecting=SELECTING, shared=shared,
)  # fmt: skip
