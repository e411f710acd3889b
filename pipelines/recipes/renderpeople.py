"""RenderPeople in PIFu's layout, without fits, or in PaMIR's, with SMPL fits."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..bodies.model_files import Kind
from ..labels.scan_tables import record_bytes, scan_tables
from ..raw import Raw
from ..rawfiles import RawFiles
from ..readers.scans.fit import Gender
from ..readers.scans.renderpeople import plan_renderpeople
from ..readers.scans.shared_body import shared_body
from ..readers.scans.subject import read_subject
from ..readers.scans.views import SELECTING, ScanOptions, with_views
from ..recipe import Plan, Recipe, Reject, Sample, Unit
from ..shared import Shared

BODY: Kind = "smpl"


@dataclass(frozen=True)
class RenderpeopleOptions(ScanOptions):
    """Options of the RenderPeople recipe.

    Attributes:
        gender: body model of PaMIR's fits, which do not say it.
    """

    gender: Gender = "neutral"


def plan(raw: Raw, options: RenderpeopleOptions) -> Plan:
    """Scans of RAW, each with its views."""
    return with_views(plan_renderpeople(raw, options.gender), raw, options, BODY)


def read(unit: Unit, files: RawFiles, options: RenderpeopleOptions) -> Iterator[Sample | Reject]:
    """The subject, then its views."""
    yield from read_subject(unit, files, options, BODY)


def shared(raw: Raw, options: RenderpeopleOptions) -> Shared:
    """Faces, canonical colours and parts of the bodies."""
    return shared_body(raw, options, BODY)


RECIPE = Recipe(
    name="renderpeople",
    summary="RenderPeople scans, with SMPL fits in PaMIR's layout: pools of points with SDF, rendered views.",
    options=RenderpeopleOptions,
    tables=scan_tables(lambda options: BODY),
    plan=plan, read=read, record_bytes=record_bytes, selecting=SELECTING, shared=shared,
)  # fmt: skip
