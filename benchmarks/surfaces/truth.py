"""What distances and sides really are: by libigl in float64, checked on some points by all triangles in turn."""

import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ...datasets.surface.surface import MeshReport
from ...datasets.surface.threads import in_threads
from .meshes import Mesh

FEW, SOME = 300, 1_000  # points whose distances, and whose winding numbers, are told by all triangles
Floats = NDArray[np.float64]
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Truth:
    """References of points.

    Attributes:
        distance: (n,) metres, NaN where not known.
        inside: (n,) bool.
        sided: (n,) bool where the side is known.
        row: what it is, and how far references agree, for the table.
    """

    distance: Floats
    inside: NDArray[np.bool_]
    sided: NDArray[np.bool_]
    row: Row


def truth(mesh: Mesh, points: Floats, report: MeshReport, threads: int) -> Truth:
    """References of a mesh's points.

    Distances are libigl's. On closed meshes that do not cross themselves sides are told by its pseudonormals, on others
    by its exact winding numbers. Without libigl only some points are known, by all triangles in turn. The row tells how
    far distances to all triangles are from the reference (as a share of the diagonal), and of how many points the sum
    of all solid angles, and libigl's pseudonormals, tell another side than its winding numbers.
    """
    few, some = np.arange(min(FEW, len(points))), np.arange(min(SOME, len(points)))
    distance, sided = np.full(len(points), np.nan), np.zeros(len(points), bool)
    distance[few] = brute = distances(mesh, points[few], threads)
    numbers = np.full(len(points), np.nan)
    numbers[some] = all_angles = winding_numbers(mesh, points[some], threads)
    sided[some], inside = True, numbers > 0.5
    row: Row = {
        "mesh": mesh.name, "faces": report.faces, "open edges": report.open_edges, "crowded": report.crowded_edges,
        "crossing faces": report.crossing_faces, "flat": report.flat_faces, "parts": report.parts,
        "our signs by": report.method, "signs held against": "all triangles", "distances' error": np.nan,
        "angles differ": "", "pseudonormals differ": "",
    }  # fmt: skip
    if importlib.util.find_spec("igl") is None:
        return Truth(distance, inside, sided, row)
    import igl

    faces = mesh.faces.astype(np.int64)
    signed = igl.signed_distance(points, mesh.vertices, faces, igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL)[0]
    distance, inside = np.abs(signed), igl.winding_number(mesh.vertices, faces, points) > 0.5
    row["signs held against"] = "libigl's winding numbers"
    row["distances' error"] = float(np.abs(distance[few] - brute).max() / mesh.diagonal)
    row["angles differ"] = f"{int((inside[some] != (all_angles > 0.5)).sum())} of {len(some)}"
    row["pseudonormals differ"] = f"{int((inside != (signed < 0)).sum())} of {len(points)}"
    if report.method == "pseudonormal":
        row["signs held against"], inside = "libigl's pseudonormals", signed < 0
    return Truth(distance, inside, np.ones(len(points), bool), row)


def distances(mesh: Mesh, points: Floats, threads: int) -> Floats:
    """(n,) distances to the closest of all triangles."""
    return _each(_distance, mesh, points, threads)


def winding_numbers(mesh: Mesh, points: Floats, threads: int) -> Floats:
    """(n,) sums of the solid angles of all triangles, as shares of the sphere."""
    return _each(_winding, mesh, points, threads)


def _each(of_one: Any, mesh: Mesh, points: Floats, threads: int) -> Floats:
    corners, out = mesh.vertices[mesh.faces], np.empty(len(points))

    def one(at: int) -> None:
        out[at] = of_one(corners, points[at])

    in_threads(one, range(len(points)), threads)
    return out


@njit(cache=True, nogil=True)
def _minus(a: Any, b: Any) -> Any:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


@njit(cache=True, nogil=True)
def _dot(a: Any, b: Any) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@njit(cache=True, nogil=True)
def _cross(a: Any, b: Any) -> Any:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@njit(cache=True, nogil=True)
def _distance(corners: Any, p: Any) -> float:
    """To planes from above the triangle, else to edges: another formula than the tree's."""
    best = np.inf
    for face in range(len(corners)):
        a = _minus(corners[face, 0], p)
        b, c = _minus(corners[face, 1], p), _minus(corners[face, 2], p)
        normal = _cross(_minus(b, a), _minus(c, a))
        length, above = _dot(normal, normal), True
        for begin, end in ((a, b), (b, c), (c, a)):
            edge = _minus(end, begin)
            square = _dot(edge, edge)
            share = min(max(-_dot(begin, edge) / square, 0.0), 1.0) if square > 0 else 0.0
            rest = begin[0] + share * edge[0], begin[1] + share * edge[1], begin[2] + share * edge[2]
            best = min(best, _dot(rest, rest))
            above = above and _dot(_cross(normal, edge), begin) <= 0
        if above and length > 0:
            best = min(best, _dot(normal, a) ** 2 / length)
    return np.sqrt(best)


@njit(cache=True, nogil=True)
def _winding(corners: Any, p: Any) -> float:
    """Solid angles: A. van Oosterom and J. Strackee, 1983."""
    total = 0.0
    for face in range(len(corners)):
        a = _minus(corners[face, 0], p)
        b, c = _minus(corners[face, 1], p), _minus(corners[face, 2], p)
        la, lb, lc = np.sqrt(_dot(a, a)), np.sqrt(_dot(b, b)), np.sqrt(_dot(c, c))
        below = la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb
        total += 2 * np.arctan2(_dot(a, _cross(b, c)), below)
    return total / (4 * np.pi)
