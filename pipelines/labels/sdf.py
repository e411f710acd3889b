"""Signed distance of points to a mesh, by our own tree or by mesh-to-sdf."""

from typing import Literal, get_args

from numpy.typing import ArrayLike

from ...datasets.errors import UsageError
from ...datasets.surface.mesh_nearest import nearest
from ...datasets.surface.mesh_tree import checked_points, mesh_tree
from ...datasets.surface.surface import SignedDistance, Surface
from .mesh_to_sdf_backend import SAMPLES, ask

Backend = Literal["tree", "mesh_to_sdf"]


def signed_distance(
    vertices: ArrayLike, faces: ArrayLike, points: ArrayLike, *, backend: Backend = "tree", threads: int = 1,
    samples: int = SAMPLES,
) -> SignedDistance:  # fmt: skip
    """Signed distances of points to a mesh, each backend's in the same form.

    `tree` is exact: see `Surface`, which also keeps what it made of the mesh for the next question. `mesh_to_sdf` is
    the package of that name, some hundred times slower: both its distances and its signs are told by points that it
    samples on the surface, in a process of its own (`mesh_to_sdf_backend`). It tells no closest face, nor where on it:
    those come from our own tree, so that the place that they name is a little nearer than the distance says.

    Args:
        vertices: (V, 3) positions, any unit.
        faces: (F, 3) vertices of each triangle.
        points: (n, 3) in the mesh's frame.
        backend: who tells distance and sign.
        threads: that share the work; mesh-to-sdf's search has one.
        samples: points that mesh-to-sdf samples.

    Raises:
        FormatError: the mesh has no faces, faces without vertices, or positions that are not finite or beyond 1e15.
        ValueError: points are not finite, or beyond 1e15.
        UsageError: there is no such backend, or its package is not installed.
        TesseraError: mesh-to-sdf's process failed, or was ended.
    """
    if backend == "tree":
        return Surface(vertices, faces, threads=threads).signed_distance(points)
    if backend != "mesh_to_sdf":
        raise UsageError(f"no backend {backend!r} for signed distances (backends: {', '.join(get_args(Backend))})")
    tree, given = mesh_tree(vertices, faces), checked_points(points)
    found = nearest(tree, given, threads)
    told = ask(tree.vertices, tree.faces, given, samples, threads)
    return SignedDistance(told.distance, found.face, found.bary, float("nan"))
