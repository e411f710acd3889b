"""The meshes whose signed distances are compared, and the points that are asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from ...datasets.surface.mesh_crossings import crossing_faces
from ...datasets.surface.mesh_topology import topology
from ...datasets.surface.mesh_tree import mesh_tree

SCANS = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "scans"
SCAN_NAMES = ("hermes.ply", "penelope.ply", "athena_open.ply", "smplx_neutral_template.obj")
HEIGHT = 1.8  # metres, of scans
BODY_FACES = 330_000
FOLDS, FOLD, WAVES = 6, 0.0005, (0.02, 0.06)  # waves of the body's folds: their number, height, shortest and longest
NEAR, NEARER, AROUND = 0.05, 0.01, 0.1  # metres
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh, metres: (V, 3) float64 vertices, (F, 3) int32 faces."""

    name: str
    vertices: Floats
    faces: NDArray[np.int32]

    @property
    def diagonal(self) -> float:
        """Of the box around it."""
        return float(np.linalg.norm(np.ptp(self.vertices, axis=0)))


def meshes() -> Iterator[Mesh]:
    """The bodies, and real scans where they lie beside the checkout."""
    yield body()
    yield body(crossing=True)
    for name in SCAN_NAMES:
        if (SCANS / name).exists():
            yield scan(SCANS / name)


def missing_scans() -> list[str]:
    """Names of the scans that are not there."""
    return [name for name in SCAN_NAMES if not (SCANS / name).exists()]


def scan(path: Path) -> Mesh:
    """A scan of a figure that stands `HEIGHT` tall."""
    loaded: Any = trimesh.load(path, process=False, force="mesh")
    return Mesh(path.stem, loaded.vertices * (HEIGHT / loaded.extents.max()), np.asarray(loaded.faces, np.int32))


def sample_points(mesh: Mesh, count: int, seed: int = 0) -> Floats:
    """(count, 3) points as networks are trained with: half near the surface, most others nearer, few all around."""
    rng = np.random.default_rng(seed)
    around, near = count // 16, count // 2
    corners = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    chosen = rng.choice(len(areas), count - around, p=areas / areas.sum())
    places = np.einsum("nk,nki->ni", rng.dirichlet(np.ones(3), len(chosen)), corners[chosen])
    places += rng.normal(size=places.shape) * np.where(np.arange(len(places)) < near, NEAR, NEARER)[:, None]
    box = rng.uniform(mesh.vertices.min(0) - AROUND, mesh.vertices.max(0) + AROUND, (around, 3))
    return rng.permutation(np.concatenate([places, box]))


def body(count: int = BODY_FACES, crossing: bool = False) -> Mesh:
    """The body of anny, of so many faces, with small folds.

    As it comes it crosses itself in a few places; unless `crossing`, it is smoothed there, and has no folds where
    they would cross.
    """
    from ...pipelines.bodies.anny_body import anny_body

    model = anny_body()
    vertices, faces = _largest_part(model.rest({})[0], model.faces)
    if not crossing:
        vertices = untangled(vertices, faces)
    vertices, faces = trimesh.remesh.subdivide(vertices, faces)[:2]
    vertices, faces = refined(vertices, faces, count)
    vertices = folded(vertices, faces, crossing)
    return Mesh("body, crossing itself" if crossing else "body", vertices, faces.astype(np.int32))


def _largest_part(vertices: Floats, faces: NDArray[np.int32]) -> tuple[Floats, NDArray[np.int64]]:
    part = topology(vertices, faces).component
    used, renamed = np.unique(faces[part == np.bincount(part[part >= 0]).argmax()], return_inverse=True)
    return vertices[used], renamed.reshape(-1, 3)


def untangled(vertices: Floats, faces: NDArray[np.int64], rounds: int = 200) -> Floats:
    """Vertices of a mesh that crosses itself, smoothed where it does until it no longer does."""
    for _ in range(rounds):
        corners = faces[_crossing(vertices, faces)]
        if not len(corners):
            break
        moved = np.zeros(len(vertices), bool)
        moved[corners] = True
        moved[faces[moved[faces].any(1)]] = True
        sums, counts = np.zeros_like(vertices), np.zeros(len(vertices))
        for begin, end in ((0, 1), (1, 2), (2, 0)):
            np.add.at(sums, faces[:, begin], vertices[faces[:, end]])
            np.add.at(counts, faces[:, begin], 1)
        vertices = np.where(moved[:, None], sums / np.maximum(counts, 1)[:, None], vertices)
    return vertices


def folded(vertices: Floats, faces: NDArray[np.int64], crossing: bool) -> Floats:
    """Vertices of a closed mesh moved along its normals by a few waves; less where it would cross itself."""
    rng = np.random.default_rng(0)
    height = np.zeros(len(vertices))
    for _ in range(FOLDS):
        way = rng.normal(size=3)
        phase = vertices @ (way / np.linalg.norm(way)) / rng.uniform(*WAVES)
        height += FOLD * np.sin(2 * np.pi * phase + rng.uniform(0, 6))
    normals = trimesh.Trimesh(vertices, faces, process=False).vertex_normals
    while True:
        out = vertices + normals * height[:, None]
        corners = faces[:0] if crossing else faces[_crossing(out, faces)]
        if not len(corners) or not height[corners].any():
            return out
        height[corners] = 0


def _crossing(vertices: Floats, faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    return crossing_faces(mesh_tree(vertices, faces), faces)


def refined(vertices: Floats, faces: NDArray[np.int64], count: int) -> tuple[Floats, NDArray[np.int64]]:
    """Split the longest edges of a closed mesh, each into two, until it has so many faces, and no hole."""
    while len(faces) < count:
        ends, edges = np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0, return_inverse=True)
        edges = edges.reshape(-1, 3)
        length = np.linalg.norm(vertices[ends[:, 0]] - vertices[ends[:, 1]], axis=1)
        rank = np.empty(len(ends), np.int64)
        rank[np.argsort(length, kind="stable")] = np.arange(len(ends))
        corner = rank[edges].argmax(1)
        longest = np.take_along_axis(edges, corner[:, None], 1)[:, 0]
        chosen = np.flatnonzero(np.bincount(longest, minlength=len(ends)) == 2)  # the longest of both its faces
        chosen = chosen[np.argsort(-rank[chosen])][: -(-(count - len(faces)) // 2)]
        middle = np.full(len(ends), -1)
        middle[chosen] = len(vertices) + np.arange(len(chosen))
        split = middle[longest] >= 0
        a, b, c = np.take_along_axis(faces, (corner[:, None] + np.arange(3)) % 3, 1)[split].T
        new = middle[longest[split]]
        vertices = np.concatenate([vertices, vertices[ends[chosen]].mean(1)])
        faces = np.concatenate([faces[~split], np.stack([a, new, c], 1), np.stack([new, b, c], 1)])
    return vertices, faces
