"""The bars, and whether they hold."""

from statistics import median
from typing import Any

from ...datasets.surface.surface import MeshReport
from .peers import MESH_TO_SDF, OPEN3D, OURS
from .race import Result

Row = dict[str, Any]
QUERY, WITH_BUILD, OPEN3D_QUERY = 15.0, 100.0, 1.5  # times as fast as mesh-to-sdf, and as Open3D
ERROR = 1e-5  # of the box's diagonal
WRONG_CLOSED, WRONG_OPEN = 1e-5, 1e-3  # shares of the points


def verdicts(mesh: str, report: MeshReport, results: dict[str, Result]) -> list[Row]:
    """A row a bar: what was measured, what is wanted, and whether that holds; bars of absent peers are left out."""
    ours, out = results[OURS], []
    for peer, build, least in (
        (MESH_TO_SDF, False, QUERY),
        (MESH_TO_SDF, True, WITH_BUILD),
        (OPEN3D, False, OPEN3D_QUERY),
    ):
        if peer in results:
            mine, theirs = ours.rates(build), results[peer].rates(build)
            times, medians = max(mine) / max(theirs), median(mine) / median(theirs)
            what = f"times {peer}'s points/s{' with the build' if build else ''}"
            out.append(_row(mesh, what, times, f">= {least:g}", times >= least, medians))
    if MESH_TO_SDF in results:
        most = results[MESH_TO_SDF].error
        out.append(_row(mesh, f"error, beside {MESH_TO_SDF}'s", ours.error, f"<= {most:.2g}", ours.error <= most))
    out.append(_row(mesh, "error / diagonal", ours.error, f"<= {ERROR:g}", ours.error <= ERROR))
    closed = report.open_edges == 0
    most = WRONG_CLOSED if closed else WRONG_OPEN
    what = f"wrong signs, {'closed' if closed else 'open'}"
    out.append(_row(mesh, what, ours.wrong, f"<= {most:g}", ours.wrong <= most))
    return out


def _row(mesh: str, what: str, measured: float, wanted: str, holds: bool, medians: float | None = None) -> Row:
    said = "" if medians is None else f"{medians:.3g}"
    return {"mesh": mesh, "bar": what, "measured": measured, "by medians": said, "wanted": wanted,
            "holds": "yes" if holds else "NO"}  # fmt: skip
