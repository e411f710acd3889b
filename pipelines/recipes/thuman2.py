"""THuman2.0 and 2.1: scans of clothed people with SMPL-X fits, as subjects with point pools and as rendered views."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..bodies.model_files import Kind
from ..demo.thuman2 import generate
from ..labels.scan_tables import record_bytes, scan_tables
from ..raw import Raw
from ..rawfiles import RawFiles
from ..readers.scans.fit import Gender
from ..readers.scans.shared_body import shared_body
from ..readers.scans.subject import read_subject
from ..readers.scans.thuman2 import plan_thuman2
from ..readers.scans.views import SELECTING, ScanOptions, with_views
from ..recipe import Plan, Recipe, Reject, Sample, Unit
from ..shared import Shared

BODY: Kind = "smplx"


@dataclass(frozen=True)
class Thuman2Options(ScanOptions):
    """Options of the THuman2 recipe.

    Attributes:
        later_gender: body model of THuman2.1's later fits (ids from 0526, hands of 45 numbers), whose authors do not
            say it; without it, these subjects are rejected.
    """

    later_gender: Gender | None = None


def plan(raw: Raw, options: Thuman2Options) -> Plan:
    """Scans of RAW, each with its views."""
    found = plan_thuman2(raw, options.fits == "use", options.later_gender)
    return with_views(found, raw, options, BODY)


def read(unit: Unit, files: RawFiles, options: Thuman2Options) -> Iterator[Sample | Reject]:
    """The subject, then its views."""
    yield from read_subject(unit, files, options, BODY)


def shared(raw: Raw, options: Thuman2Options) -> Shared:
    """Faces, canonical colours and parts of the bodies."""
    return shared_body(raw, options, BODY)


RECIPE = Recipe(
    name="thuman2",
    summary="THuman2.0/2.1 scans with SMPL-X fits: pools of points with SDF and body features, rendered views.",
    options=Thuman2Options,
    tables=scan_tables(lambda options: BODY),
    plan=plan, read=read, record_bytes=record_bytes, demo=generate, selecting=SELECTING, shared=shared,
)  # fmt: skip
