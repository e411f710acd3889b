"""What the recipes of scanned people have in common: everything but where the scans and their fits are found."""

from collections.abc import Callable, Iterator
from typing import Any

from ...bodies.model_files import Kind
from ...labels.scan_tables import record_bytes, scan_tables
from ...raw import Raw
from ...rawfiles import RawFiles
from ...recipe import Plan, Recipe, Reject, Sample, Unit
from ...shared import Shared
from .shared_body import shared_body
from .subject import read_subject
from .views import SELECTING, ScanOptions, with_views


def scan_recipe(
    name: str,
    summary: str,
    options: type[ScanOptions],
    find: Callable[[Raw, Any], Plan],
    body: Callable[[Any], Kind],
    demo: Callable[..., Any] | None = None,
) -> Recipe:
    """A recipe whose units are scans of people, as subjects with pools of points and as rendered views.

    Args:
        name: of the recipe.
        summary: one line.
        options: its options.
        find: the scans of RAW, with their fits, by the options.
        body: kind of the fits' body model, by the options.
        demo: makes demo raw data.
    """

    def plan(raw: Raw, options: Any) -> Plan:
        return with_views(find(raw, options), raw, options, body(options))

    def read(unit: Unit, files: RawFiles, options: Any) -> Iterator[Sample | Reject]:
        yield from read_subject(unit, files, options, body(options))

    def shared(raw: Raw, options: Any) -> Shared:
        return shared_body(raw, options, body(options))

    return Recipe(name=name, summary=summary, options=options, tables=scan_tables(body), plan=plan, read=read,
                  record_bytes=record_bytes, demo=demo, selecting=SELECTING, shared=shared)  # fmt: skip
