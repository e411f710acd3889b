"""Which vertices of a body a camera sees, by rays; not by a raster, in which the references lose the feet."""

import numpy as np
from numpy.typing import NDArray

from .mesh_raster import MeshRays
from .scan_camera import ScanCamera

VERSION = 1  # raised whenever a bit changes
LIFT = 1e-4  # metres that a ray begins off the surface, towards where the vertex looks
Floats = NDArray[np.float64]


def visible(vertices: Floats, normals: Floats, rays: MeshRays, camera: ScanCamera) -> NDArray[np.bool_]:
    """(V,) which vertices a camera sees: they look towards it, and nothing lies between.

    Args:
        vertices: (V, 3) of the body, world frame.
        normals: (V, 3) theirs.
        rays: the body's.
        camera: the camera.
    """
    centre, forward = camera.world_from_camera[:3, 3], camera.world_from_camera[:3, 2]
    towards = np.broadcast_to(-forward, vertices.shape)
    if camera.kind == "perspective":
        towards = centre - vertices
        towards = towards / np.linalg.norm(towards, axis=1, keepdims=True)
    facing = (normals * towards).sum(1) > 0
    seen = facing.copy()
    begin = vertices[facing] + LIFT * normals[facing]
    seen[facing] = ~rays.occluded(begin, towards[facing])
    return seen
