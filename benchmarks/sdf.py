"""Signed distance of points to a mesh: our tree beside Open3D, libigl, Warp, trimesh and mesh-to-sdf.

Meshes: a body of 330,000 faces, as it comes (it crosses itself) and without crossings, and scans of `../shared/data`
where they lie beside the checkout. All peers take turns, with the same number of threads; one that has a single thread
shows as one core used. Rates are of the best round and of the median one, without the time that the mesh takes and with
it. Distances and sides are held against references (`surfaces/truth.py`). mesh-to-sdf takes most of the hour.
"""

import os
import sys
from typing import Any

from threadpoolctl import threadpool_limits

from ..datasets.surface.surface import Surface
from ..pipelines.limits import THREAD_VARIABLES
from .surfaces.meshes import Mesh, meshes, missing_scans, sample_points
from .surfaces.peers import Peer, ours, peers
from .surfaces.race import race, rows
from .surfaces.truth import truth
from .surfaces.verdict import verdicts

THREADS = 2
Row = dict[str, Any]


def tables(count: int = 400_000, rounds: int = 3, threads: int = THREADS) -> dict[str, list[Row]]:
    """The benchmark's tables, by title.

    Args:
        count: points a mesh.
        rounds: in which all peers take turns; slow ones take part in fewer.
        threads: of each peer.
    """
    os.environ.update(dict.fromkeys((*THREAD_VARIABLES, "IGL_NUM_THREADS"), str(threads)))
    some = [peer for peer in peers() if not peer.missing]
    left_out = [f"{peer.title} ({peer.needs})" for peer in peers() if peer.missing] + missing_scans()
    if left_out:
        print(f"not here: {', '.join(left_out)}", file=sys.stderr)
    with threadpool_limits(threads):
        return compare(list(meshes()), some, count, rounds, threads)


def compare(some: list[Mesh], peers: list[Peer], count: int, rounds: int, threads: int) -> dict[str, list[Row]]:
    """Tables of these meshes and peers."""
    out: dict[str, list[Row]] = {}
    references: list[Row] = []
    bars: list[Row] = []
    for mesh in some:
        points = sample_points(mesh, count)
        report = Surface(mesh.vertices, mesh.faces).report
        known = truth(mesh, points, report, threads)
        ours(mesh, points[:1000], threads)  # compiles
        results = race(mesh, points, known, peers, threads, rounds)
        out[f"{mesh.name}: {len(mesh.faces)} faces, {count} points"] = rows(results, threads)
        references.append(known.row)
        bars += verdicts(mesh.name, report, results)
        print(f"{mesh.name}: done", file=sys.stderr)
    return {**out, "meshes, and what they are held against": references, "bars": bars}
