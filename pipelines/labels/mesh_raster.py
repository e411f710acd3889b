"""What a camera sees of a mesh from the front, and what it would see of its back on the same pixels.

By rays through the pixels' centres, so that labels belong to exactly these places. The back is what a ray meets last:
the references render it with near and far exchanged, not mirrored.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.surface.mesh_tree import MeshTree
from ..native import import_open3d
from .scan_camera import ScanCamera

VERSION = 1  # raised whenever a place in a picture changes
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """A mesh in a picture.

    Attributes:
        mask: (H, W) bool pixels whose rays meet it.
        face: (H, W) int32 face, -1 where there is none.
        bary: (H, W, 3) float32 barycentric coordinates of the place in the face.
        depth: (H, W) float32 metres along the camera's z, from the plane through the origin; NaN where there is none.
    """

    mask: NDArray[np.bool_]
    face: NDArray[np.int32]
    bary: NDArray[np.float32]
    depth: NDArray[np.float32]

    def gathered(self, values: NDArray[Any], faces: NDArray[np.int32]) -> NDArray[Any]:
        """(n, ...) values of the vertices (V, ...) at the pixels of the mask."""
        corners = values[faces[self.face[self.mask]]]
        return np.einsum("nk,nk...->n...", self.bary[self.mask], corners)


class MeshRays:
    """A mesh that rays are sent to.

    Args:
        tree: of the mesh, world frame.
    """

    def __init__(self, tree: MeshTree) -> None:
        o3d = import_open3d()
        self._tensor, self._tree = o3d.core.Tensor, tree
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            self._tensor(tree.vertices.astype(np.float32)), self._tensor(tree.faces.astype(np.uint32))
        )

    def front(self, camera: ScanCamera) -> Seen:
        """What is met first, along the rays through a camera's pixels."""
        near = self._near(camera)
        found = self.meet(*camera.rays_through(near))
        met = found[0] >= 0
        return self._seen(camera, near[met], tuple(each[met] for each in found))

    def front_and_back(self, camera: ScanCamera) -> tuple[Seen, Seen]:
        """What is met first and last, along the rays through a camera's pixels."""
        near = self._near(camera)
        origins, away = camera.rays_through(near)
        front = self.meet(origins, away)
        met = np.flatnonzero(front[0] >= 0)
        back = self.meet(origins[met] + 2 * camera.distance * away[met], -away[met])
        lost = back[0] < 0  # a ray along an edge may meet it from one side only
        back[0][lost], back[1][lost] = front[0][met][lost], front[1][met][lost]
        return self._seen(camera, near[met], tuple(each[met] for each in front)), self._seen(camera, near[met], back)

    def occluded(self, origins: Floats, directions: Floats) -> NDArray[np.bool_]:
        """(n,) whether a ray meets the mesh at all."""
        rays = np.concatenate([origins, directions], -1).astype(np.float32)
        found: NDArray[np.bool_] = self._scene.test_occlusions(self._tensor(rays), nthreads=1).numpy()
        return found

    def _near(self, camera: ScanCamera) -> NDArray[np.int64]:
        """Numbers of the pixels within the rectangle that the mesh is in."""
        pixels, _ = camera.project(self._tree.vertices)
        places = np.ascontiguousarray(pixels.T)  # a minimum over rows of two is slow
        low = np.clip(np.floor(places.min(1)).astype(int), 0, camera.size)
        high = np.clip(np.ceil(places.max(1)).astype(int), 0, camera.size)
        rows, columns = np.arange(low[1], high[1]), np.arange(low[0], high[0])
        return (rows[:, None] * camera.size + columns).reshape(-1)

    def meet(self, origins: Floats, directions: Floats) -> tuple[NDArray[np.int32], Floats]:
        """Faces (n,) that rays (n, 3), (n, 3) meet first, -1 for none, and barycentric coordinates (n, 3) on them."""
        rays = np.empty((len(origins), 6), np.float32)
        rays[:, :3], rays[:, 3:] = origins, directions
        found = self._scene.cast_rays(self._tensor(rays), nthreads=1)
        face = found["primitive_ids"].numpy().astype(np.int64)
        face[~np.isfinite(found["t_hit"].numpy())] = -1
        bary = np.zeros((len(face), 3))
        met = face >= 0
        bary[met] = where_on(self._tree.vertices[self._tree.faces[face[met]]], origins[met], directions[met])
        return face.astype(np.int32), bary

    def _seen(self, camera: ScanCamera, pixels: NDArray[np.int64], found: tuple[NDArray[Any], ...]) -> Seen:
        face, bary = found
        shape = camera.size, camera.size
        mask = np.zeros(shape, bool)
        mask.reshape(-1)[pixels] = True
        faces, barys = np.full(shape, -1, np.int32), np.zeros((*shape, 3), np.float32)
        depths = np.full(shape, np.nan, np.float32)
        faces.reshape(-1)[pixels], barys.reshape(-1, 3)[pixels] = face, bary
        corners = camera.depths(self._tree.vertices)[self._tree.faces[face]]
        depths.reshape(-1)[pixels] = _dots(bary, corners) - camera.distance
        return Seen(mask, faces, barys, depths)


def where_on(corners: Floats, origins: Floats, directions: Floats) -> Floats:
    """Barycentric coordinates (n, 3) of the places where rays meet triangles (n, 3, 3), within them.

    Embree works with float32, which is off by a tenth of a millimetre where a ray runs along a face; it says which face
    is met, and this says where (T. Moeller and B. Trumbore, "Fast, minimum storage ray/triangle intersection", 1997).
    """
    one, other, away = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], origins - corners[:, 0]
    across = np.cross(directions, other)
    size = _dots(one, across)
    size = np.where(size == 0, np.inf, size)
    u = _dots(away, across) / size
    v = _dots(directions, np.cross(away, one)) / size
    bary = np.clip(np.stack([1 - u - v, u, v], 1), 0, None)
    bary /= (bary[:, 0] + bary[:, 1] + bary[:, 2])[:, None]
    return bary


def _dots(one: Floats, other: Floats) -> Floats:
    """(n,) products of vectors (n, 3); numpy's sums over so short an axis take ten times as long."""
    found: Floats = np.einsum("ni,ni->n", one, other)
    return found
