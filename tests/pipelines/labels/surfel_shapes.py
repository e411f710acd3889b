"""Shapes as surfels and as meshes: what the query points' distances are judged by."""

from types import SimpleNamespace
from typing import Any

import numpy as np
from tessera.datasets.camera import pixel_rays
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.labels.scene_view import SceneView
from tessera.pipelines.labels.surfels import SurfelBuilder
from tessera.pipelines.native import import_open3d

BOX = np.array([[-0.31, -0.22, -0.13], [0.33, 0.24, 0.17]])


class Known:
    """Voxels all of one state, and nothing unknown nearer than `unknown` metres."""

    def __init__(self, state=VoxelState.SURFACE, unknown=np.inf):
        self.state, self.unknown = state, unknown
        self.states = SimpleNamespace(voxel=0.08)

    def lookup(self, points):
        return np.full(len(points), self.state, np.uint8)

    def unknown_distance(self, points):
        return np.full(len(points), self.unknown, np.float32)


def fused(points, normals, spacing=0.02):
    """Surfels of points (N, 3) with unit normals (N, 3)."""
    builder = SurfelBuilder(spacing)
    builder.add(points, normals, np.ones(len(points)))
    return builder.finish()


def rectangle(corner, a, b, step=0.004):
    """Points (N, 3) every `step` metres of a rectangle, and its normals along a x b."""
    corner, a, b = (np.asarray(v, float) for v in (corner, a, b))
    u, v = ((np.arange(n := round(np.linalg.norm(w) / step)) + 0.5) / n for w in (a, b))
    points = corner + u[:, None, None] * a + v[None, :, None] * b
    normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
    return points.reshape(-1, 3), np.broadcast_to(normal, (points.size // 3, 3))


def box_sides(low, high, inwards=False, sides=range(6)):
    """Points and normals of the sides of a box: -x, +x, -y, +y, -z, +z."""
    size, parts = np.subtract(high, low), []
    for side in sides:
        axis, up = divmod(side, 2)
        a, b = np.diag(size)[(axis + 1) % 3], np.diag(size)[(axis + 2) % 3]
        corner = np.array(low, float)
        corner[axis] = (low, high)[up][axis]
        parts.append(rectangle(corner, *((a, b) if up != inwards else (b, a))))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


class Meshes:
    """Open3D boxes in a room: true signed distances of the space between them, and pictures of it."""

    def __init__(self, room, boxes):
        self.o3d: Any = import_open3d()
        self.room, self.boxes = self._scene([room]), self._scene(boxes)
        self.all = self._scene([room, *boxes])

    def _scene(self, boxes):
        scene = self.o3d.t.geometry.RaycastingScene(nthreads=1)
        for low, high in boxes:
            box = self.o3d.t.geometry.TriangleMesh.create_box(*(np.subtract(high, low).tolist()))
            scene.add_triangles(box.translate(np.asarray(low, np.float32)))
        return scene

    def signed(self, points):
        """Distance (N,) to the nearest wall or box, negative in boxes and outside the room."""
        given = self.o3d.core.Tensor(np.asarray(points, np.float32))
        inside = -self.room.compute_signed_distance(given, nthreads=1).numpy()
        return np.minimum(inside, self.boxes.compute_signed_distance(given, nthreads=1).numpy())

    def photograph(self, pose, intrinsics, height, width):
        """A view with float16 distances, and the world's normals (h, w, 3) that face it."""
        rays = pixel_rays(intrinsics, height, width) @ pose[:3, :3].T
        both = np.concatenate([np.broadcast_to(pose[:3, 3], rays.shape), rays], axis=-1).astype(np.float32)
        hit = self.all.cast_rays(self.o3d.core.Tensor(both), nthreads=1)
        normal = hit["primitive_normals"].numpy()
        normal = np.where((normal * rays).sum(axis=-1, keepdims=True) > 0, -normal, normal)
        return SceneView("view", intrinsics, pose, hit["t_hit"].numpy().astype(np.float16)), normal
