"""A mesh that cameras look at: what is computed for the first of them serves the others."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...datasets.surface.pseudonormals import vertex_normals
from ...datasets.surface.surface import Surface
from .body_visible import visible
from .mesh_raster import MeshRays, Seen
from .scan_camera import ScanCamera

Floats = NDArray[np.float64]


class MeshView:
    """A mesh that cameras look at.

    Args:
        surface: the mesh, world frame, metres.
    """

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.vertices, self.faces = surface.tree.vertices, surface.tree.faces

    @cached_property
    def rays(self) -> MeshRays:
        """The mesh as rays meet it."""
        return MeshRays(self.surface.tree)

    @cached_property
    def normals(self) -> Floats:
        """(V, 3) unit normals of the vertices, world frame."""
        return vertex_normals(self.vertices, self.faces, self.surface.topology)

    def normals_at(self, face: NDArray[np.int32], bary: NDArray[np.floating]) -> NDArray[np.float32]:
        """(n, 3) unit normals, between those of the vertices, at places on faces (n,); zero where they cancel out."""
        mixed = np.einsum("nk,nki->ni", bary, self.normals[self.faces[face]])
        length = np.sqrt(np.einsum("ni,ni->n", mixed, mixed))[:, None]
        return np.divide(mixed, length, out=np.zeros_like(mixed), where=length > 0).astype(np.float32)

    def normal_map(self, seen: Seen, camera: ScanCamera) -> NDArray[np.float32]:
        """(H, W, 3) unit normals in the camera's frame; zero where nothing is seen."""
        out = np.zeros((*seen.mask.shape, 3), np.float32)
        world = self.normals_at(seen.face[seen.mask], seen.bary[seen.mask])
        out[seen.mask] = world @ camera.world_from_camera[:3, :3]
        return out

    def visible(self, camera: ScanCamera) -> NDArray[np.bool_]:
        """(V,) which vertices a camera sees."""
        return visible(self.vertices, self.normals, self.rays, camera)
