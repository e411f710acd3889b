"""A room made ready for ray casting: Open3D's scene plus tables that are looked up by face."""

from typing import Any

import numpy as np

from ...native import import_open3d
from .arrays import Bools, Faces, Floats
from .assembly import Mesh

MISS = np.uint32(0xFFFFFFFF)


class Tracer:
    """Casts rays into a mesh, always with one thread, so that ties are broken the same way every time.

    Args:
        mesh: the room; vertices are rounded to float32.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._o3d = import_open3d()
        core = self._o3d.core
        self._scene: Any = self._o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            core.Tensor.from_numpy(mesh.vertices.astype(np.float32)),
            core.Tensor.from_numpy(mesh.faces.astype(np.uint32)),
        )

    def _rays(self, origins: Floats, directions: Floats) -> Any:
        rays = np.empty((len(directions), 6), np.float32)
        rays[:, :3], rays[:, 3:] = origins, directions
        return self._o3d.core.Tensor.from_numpy(rays)

    def cast(self, origins: Floats, directions: Floats) -> tuple[Floats, Faces, Floats]:
        """First hits.

        Args:
            origins: (N, 3) or (3,) float32 metres.
            directions: (N, 3) float32; distances come in units of their length.

        Returns:
            (N,) float32 distance (inf where nothing is hit), (N,) uint32 face (`MISS` there), (N, 2) float32
            barycentric weights of the face's second and third vertex.
        """
        hit = self._scene.cast_rays(self._rays(origins, directions), nthreads=1)
        return hit["t_hit"].numpy(), hit["primitive_ids"].numpy(), hit["primitive_uvs"].numpy()

    def blocked(self, origins: Floats, directions: Floats) -> Bools:
        """(N,) whether something lies strictly between an origin and 0.999 of its direction vector."""
        rays = self._rays(origins, directions)
        return self._scene.test_occlusions(rays, tnear=0.0, tfar=0.999, nthreads=1).numpy()

    def clearance(self, points: Floats) -> Floats:
        """(N,) float32 distance in metres from (N, 3) points to the nearest surface."""
        return self._scene.compute_distance(self._o3d.core.Tensor.from_numpy(points), nthreads=1).numpy()
