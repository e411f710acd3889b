"""A mesh made ready for questions: signed distance of points, closest face, where on it, how sure the sign is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .mesh_crossings import crossing_faces
from .mesh_nearest import nearest
from .mesh_topology import Topology, topology
from .mesh_tree import MeshTree, checked_mesh, checked_points, flat_faces, tree_of
from .pseudonormals import FeatureNormals, behind, feature_normals
from .space_curve import along_curve
from .winding import Winding, outwards

Method = Literal["pseudonormal", "winding"]
NESTED = 0.25  # how far a winding number on a surface may be from one half


@dataclass(frozen=True)
class MeshReport:
    """What a mesh is like, and how signs are told.

    Attributes:
        faces: number of faces.
        open_edges: edges along which not as many faces run one way as the other.
        crowded_edges: edges of more than two faces.
        turned_faces: faces that look the wrong way.
        crossing_faces: faces that cross others.
        flat_faces: faces without area, which look nowhere.
        parts: connected parts.
        nested: whether a part lies inside another, or behind a hole, so that its faces are not the border of what is
            inside.
        method: how signs are told.
    """

    faces: int
    open_edges: int
    crowded_edges: int
    turned_faces: int
    crossing_faces: int
    flat_faces: int
    parts: int
    nested: bool
    method: Method


@dataclass(frozen=True, eq=False)
class SignedDistance:
    """What is known of points about a mesh.

    Attributes:
        distance: (n,) float64, in the mesh's unit, negative inside.
        face: (n,) int32 closest face, of several the first.
        bary: (n, 3) float64 barycentric coordinates of the closest point in it.
        doubt: share of the points whose winding number is nearer to one half than to a whole number; 0 where signs
            are told by pseudonormals, NaN where mesh-to-sdf told them.
    """

    distance: NDArray[np.float64]
    face: NDArray[np.int32]
    bary: NDArray[np.float64]
    doubt: float


class Surface:
    """A mesh made ready for any number of questions: one tree, looked at once.

    On a closed mesh that does not cross itself signs are told by angle-weighted pseudonormals, which is exact. On all
    others, with holes, crossings, faces without area, or parts in each other, a point is inside where the mesh winds
    round it by more than one half.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle.
        method: how signs are told; None for what suits the mesh.
        threads: that share the work.

    Raises:
        FormatError: the mesh has no faces, faces without vertices, or positions that are not finite or beyond 1e15.
    """

    def __init__(self, vertices: ArrayLike, faces: ArrayLike, method: Method | None = None, threads: int = 1) -> None:
        self._threads = threads
        self.tree, found = self._look(*checked_mesh(vertices, faces))
        self.topology = found = outwards(self.tree, found, threads)
        crossing = int(crossing_faces(self.tree, found.corners, threads).sum())
        flat = flat_faces(self.tree)
        self._winding: Winding | None = None
        clean = found.watertight and not found.crowded_edges and not crossing and not flat
        nested = clean and found.component_count > 1 and self._nested()
        chosen: Method = method or ("pseudonormal" if clean and not nested else "winding")
        self.report = MeshReport(
            len(self.tree.faces), found.open_edges, found.crowded_edges, found.turned, crossing, flat,
            found.component_count, bool(nested), chosen,
        )  # fmt: skip
        self._normals: FeatureNormals | None = None
        if chosen == "pseudonormal":
            self._normals = feature_normals(self.tree.vertices, self.tree.faces, found, threads)

    def signed_distance(self, points: ArrayLike) -> SignedDistance:
        """Signed distances of points.

        Args:
            points: (n, 3) in the mesh's frame.

        Raises:
            ValueError: points are not finite, or beyond 1e15.
        """
        given = checked_points(points)
        order = along_curve(given)
        found = nearest(self.tree, given, self._threads, order)
        if self._normals is not None:
            inside = behind(self.tree, given, found, self.topology, self._normals, self._threads)
            corners = self.tree.boxes[0].astype(np.float64)  # beyond, rounding alone tells faces apart
            inside &= found.distance <= np.linalg.norm(corners[:, 1].max(0) - corners[:, 0].min(0))
            doubt = 0.0
        else:
            numbers = self._numbers().at(given, self._threads, clear=found.distance, order=order)
            inside = numbers > 0.5
            doubt = float((np.abs(numbers - np.round(numbers)) > 0.25).mean()) if len(numbers) else 0.0
        return SignedDistance(np.where(inside, -found.distance, found.distance), found.face, found.bary, doubt)

    def winding_number(self, points: ArrayLike, skip: ArrayLike | None = None) -> NDArray[np.float64]:
        """Winding number round each of (n, 3) points; `skip` (n,) is a face that is left out; raises as above."""
        return self._numbers().at(checked_points(points), self._threads, skip)

    def _numbers(self) -> Winding:
        if self._winding is None:
            self._winding = Winding(self.tree, self.topology)
        return self._winding

    def _look(self, vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> tuple[MeshTree, Topology]:
        """Tree and topology, which need nothing of each other."""
        with ThreadPoolExecutor(1) as other:
            found = other.submit(topology, vertices, faces) if self._threads > 1 else None
            tree = tree_of(vertices, faces, self._threads)
            return tree, found.result() if found else topology(vertices, faces)

    def _nested(self) -> bool:
        """Whether a part has no outside before its faces, or no inside behind: else on them the number is one half."""
        component = self.topology.component
        _, face = np.unique(component[component >= 0], return_index=True)
        chosen = np.flatnonzero(component >= 0)[face]
        middle = self.tree.vertices[self.tree.faces[chosen]].mean(1)
        return bool((np.abs(self.winding_number(middle, chosen) - 0.5) > NESTED).any())
