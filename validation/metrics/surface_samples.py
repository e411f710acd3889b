"""Surfaces that samples are drawn from and distances are measured to: a mesh, or dense oriented samples of one."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ...datasets.errors import FormatError
from ...datasets.surface.mesh_nearest import nearest
from ...datasets.surface.mesh_tree import checked_points, mesh_tree
from .bent_discs import NEIGHBOURS, BentDiscs

Floats = NDArray[np.float64]
Mesh = tuple[ArrayLike, ArrayLike]
CHUNK = 1 << 15  # points that are measured at a time: each takes some kilobytes
EVEN = 3  # times as many places as are wanted are drawn, then those that are close to another are left out


def sample_surface(
    vertices: ArrayLike, faces: ArrayLike, count: int, rng: np.random.Generator, even: bool = False
) -> tuple[Floats, NDArray[np.int32]]:
    """Places drawn from a mesh, each part of its area as likely as any other of the same size.

    R. Osada et al., "Shape distributions", 2002; `even` is the protocol of trimesh's `sample_surface_even`.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle.
        count: how many, at least 1.
        rng: what they are drawn with.
        even: leave out places that are close to others; there may then be fewer than `count`.

    Returns:
        (n, 3) float64 places and (n,) int32 their faces.

    Raises:
        ValueError: the mesh is empty or has no area, or `count` is less than 1.
    """
    points, corners = np.asarray(vertices, np.float64).reshape(-1, 3), np.asarray(faces)
    if count < 1:
        raise ValueError(f"{count} samples: at least 1 is needed")
    if not len(corners):
        raise ValueError("the mesh is empty: it has no faces")
    triangles = points[corners]
    one, other = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    ends = np.cumsum(np.linalg.norm(np.cross(one, other), axis=1) / 2)
    if not 0 < ends[-1] < np.inf:
        raise ValueError(f"the area of the mesh is {ends[-1]}: nothing can be drawn from it")
    drawn = EVEN * count if even else count
    # A face without area never holds a place: its end is that of the face before it.
    face = np.searchsorted(ends, rng.uniform(0, ends[-1], drawn), side="right").clip(max=len(ends) - 1)
    root, share = np.sqrt(rng.uniform(size=drawn))[:, None], rng.uniform(size=drawn)[:, None]
    places = triangles[face, 0] + root * ((1 - share) * one[face] + share * other[face])
    if even:
        kept = np.flatnonzero(_apart(places, np.sqrt(ends[-1] / drawn)))[:count]
        places, face = places[kept], face[kept]
    return places, face.astype(np.int32)


def _apart(places: Floats, radius: float) -> NDArray[np.bool_]:
    """Which places are left when of each close pair the one that is in more pairs is taken away."""
    pairs = cKDTree(places).query_pairs(radius, output_type="ndarray")
    busy = np.bincount(pairs.ravel(), minlength=len(places))[pairs]
    kept = np.ones(len(places), bool)
    kept[np.where(busy[:, 1] > busy[:, 0], pairs[:, 1], pairs[:, 0])] = False
    return kept


class MeshSurface:
    """A triangle mesh as a surface.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle.
        name: what errors call it.

    Raises:
        ValueError: the mesh is empty or has no area, names vertices that it has not, or positions are not finite.
    """

    def __init__(self, vertices: ArrayLike, faces: ArrayLike, name: str = "mesh") -> None:
        if not np.size(faces):
            raise ValueError(f"the {name} is empty: it has no faces, so no distance to it can be measured")
        try:
            self._tree = mesh_tree(vertices, faces)
        except FormatError as error:
            raise ValueError(f"the {name} cannot be measured: {error}") from error

    def draw(self, count: int, rng: np.random.Generator, even: bool = False) -> Floats:
        """(n, 3) float64 places of the surface, as `sample_surface` draws them."""
        return sample_surface(self._tree.vertices, self._tree.faces, count, rng, even)[0]

    def distance(self, points: ArrayLike) -> Floats:
        """(m,) float64 exact distances of (m, 3) points; raises ValueError where they are not finite."""
        return nearest(self._tree, points).distance


class OrientedSamples:
    """Dense samples of a surface, with its normals: they stand in for it where the mesh is not there.

    Each stands for a piece of the surface around it (`BentDiscs`), so that their spacing adds next to no bias, where
    the distance to the nearest sample is off by its half. Pieces reach over an open border by one to two times their
    spacing, over a sharp edge by up to one: on a scan of robes, 5 mm between samples, means are off by 0.3 mm.

    Args:
        points: (n, 3) evenly drawn places, any unit: `scan_surface` of our data sets is metres in the world frame.
        normals: (n, 3) normals there, of any length: zero where none is known, and the place is a mere point.

    Raises:
        ValueError: shapes differ, there are no more than 8 samples, or a number is not finite.
    """

    def __init__(self, points: ArrayLike, normals: ArrayLike) -> None:
        self.points, looks = checked_points(points), np.asarray(normals, np.float64)
        if self.points.shape != looks.shape or len(looks) <= NEIGHBOURS:
            raise ValueError(f"points and normals are (n, 3), n above {NEIGHBOURS}, not {self._shapes(points, looks)}")
        if not np.isfinite(looks).all():
            raise ValueError("normals are not finite")
        length = np.linalg.norm(looks, axis=1, keepdims=True)
        self.normals: Floats = np.divide(looks, length, out=np.zeros_like(looks), where=length > 0)
        self._tree = cKDTree(self.points)
        self._discs = BentDiscs(self.points, self.normals, *self._tree.query(self.points, NEIGHBOURS + 1))

    @staticmethod
    def _shapes(points: Any, normals: Any) -> str:
        return f"{np.shape(points)} and {np.shape(normals)}"

    def draw(self, count: int, rng: np.random.Generator, even: bool = False) -> Floats:
        """(min(count, n), 3) of the samples, each at most once; they cannot be made more even than they are."""
        return self.points[rng.permutation(len(self.points))[:count]]

    def distance(self, points: ArrayLike) -> Floats:
        """Distances of points to the surface that the samples were drawn from.

        Args:
            points: (m, 3) in the samples' frame.

        Returns:
            (m,) float64, in the samples' unit.

        Raises:
            ValueError: points are not finite, or beyond 1e15.
        """
        given = checked_points(points)
        out = np.empty(len(given))
        for start in range(0, len(given), CHUNK):
            part = slice(start, start + CHUNK)
            _, near = self._tree.query(given[part], NEIGHBOURS)
            out[part] = self._discs.distance(given[part], near).min(1)
        return out


Truth = Mesh | OrientedSamples
