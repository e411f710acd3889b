"""A demo scene's exact mesh as an oracle: distances, solid matter and lines of sight, by Open3D."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import project, transform
from tessera.datasets.voxels import VoxelState
from tessera.pipelines.native import import_open3d

SCENES = ("ai_900_001", "ai_900_002", "ai_900_003", "ai_900_004")  # standard, tilt-shift, skewed, strong tilt

UPRIGHT = ((0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.011, 0.017, 1.0), (-0.019, 0.007, -1.0))  # along sheets of cloth
SHRUNK = 3e-5  # metres by which bodies are shrunk to tell their crossings apart where they touch
SAMPLES = 100_000  # points of a mesh
NEAR = 1e-3  # metres in front of a face
SLACK = 1.4  # of what was measured, by which a figure may be worse


@dataclass(frozen=True)
class Sights:
    """What a camera has in the direction of N points, exactly.

    Attributes:
        inside: (N,) bool, the point is in the picture.
        rho: (N,) metres from the camera to the point.
        first: (N,) metres to the first surface that way; inf for the sky.
        pixel: (N, 2) where in the picture, corner origin; meaningless where not inside.
    """

    inside: np.ndarray
    rho: np.ndarray
    first: np.ndarray
    pixel: np.ndarray


class ExactRoom:
    """One exact mesh: a room whose walls face inwards, full of closed bodies that may stand within each other.

    Args:
        path: `exact_meshes/SCENE.npz` of a demo.
    """

    def __init__(self, path: Path) -> None:
        self._core: Any = import_open3d().core
        mesh = np.load(path, allow_pickle=False)
        self.vertices, self.faces = mesh["vertices"], mesh["faces"]
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        self.areas = np.linalg.norm(cross, axis=1) / 2
        self.normals = cross / (2 * self.areas[:, None])
        self._scene = self._made_ready(self.vertices)
        self._apart = self._made_ready(self.vertices - SHRUNK * self._uneven_normals(cross))

    def _tensor(self, array: np.ndarray) -> Any:
        return self._core.Tensor(np.ascontiguousarray(array, dtype=np.float32))

    def _made_ready(self, vertices: np.ndarray) -> Any:
        scene = import_open3d().t.geometry.RaycastingScene()
        scene.add_triangles(self._tensor(vertices), self._core.Tensor(self.faces.astype(np.uint32)))
        return scene

    def _uneven_normals(self, cross: np.ndarray) -> np.ndarray:
        """Normals of the vertices, of between 1 and 2 in length: no two faces in one place stay there."""
        total = np.zeros_like(self.vertices)
        for k in range(3):
            np.add.at(total, self.faces[:, k], cross)
        length = np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
        return total / length * np.random.default_rng(0).uniform(1, 2, (len(total), 1))

    def cast(self, origin: np.ndarray, ways: np.ndarray) -> np.ndarray:
        """Distances (N,) of the first hits from an origin (3,) along ways (N, 3), in units of their lengths."""
        rays = np.concatenate(np.broadcast_arrays(origin, ways), axis=-1)
        return self._scene.cast_rays(self._tensor(rays))["t_hit"].numpy().astype(float)

    def solid(self, points: np.ndarray) -> np.ndarray:
        """Whether points (N, 3) are within a body or beyond the walls: (N,) bool.

        The winding number, by a ray's crossings: -1 in the air of a room, whose walls face inwards; each body around
        a point adds 1, and so does being beyond a wall. Nearly upright rays vote, as floor and ceiling have no hole.
        Bodies are shrunk a little, for of two faces in one place Open3D lists but one.
        """
        votes = np.zeros(len(points), int)
        for way in UPRIGHT:
            rays = np.concatenate(np.broadcast_arrays(points, np.array(way)), axis=-1)
            found = self._apart.list_intersections(self._tensor(rays))
            turn = np.where(self.normals[found["primitive_ids"].numpy()] @ way > 0, 1, -1)
            votes += np.bincount(found["ray_ids"].numpy().astype(int), turn, len(points)) > -0.5
        return votes >= 3

    def nearest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Spots (N, 3) of the mesh that are nearest to points (N, 3), and whether they border on air: (N,) bool.

        A spot that does not is of one body within another: nobody can see it.
        """
        found = self._scene.compute_closest_points(self._tensor(points))
        spots = found["points"].numpy().astype(float)
        return spots, ~self.solid(spots + NEAR * self.normals[found["primitive_ids"].numpy()])

    def sights(self, record: Record, points: np.ndarray) -> Sights:
        """What a record's camera has in the direction of points (N, 3)."""
        pose, (height, width) = record["world_from_camera"], record["distance"].shape
        pixel, depth = project(transform(points, np.linalg.inv(pose)), record["intrinsics"])
        inside = (depth > 0) & (pixel >= 0).all(axis=1) & (pixel < (width, height)).all(axis=1)
        rho = np.linalg.norm(points - pose[:3, 3], axis=1)
        return Sights(inside, rho, self.cast(pose[:3, 3], (points - pose[:3, 3]) / rho[:, None]), pixel)

    def past(self, records: list[Record], points: np.ndarray) -> np.ndarray:
        """(N,) how far any camera of a scene sees past points (N, 3), metres; negative where it is stopped before.

        Minus infinity where none has the point in its picture, or only before the sky, which has no distance.
        """
        found = np.full(len(points), -np.inf)
        for record in records:
            look = self.sights(record, points)
            measured = look.inside & np.isfinite(look.first)
            found[measured] = np.maximum(found, look.first - look.rho)[measured]
        return found

    @cached_property
    def surface(self) -> np.ndarray:
        """Points (N, 3), of SAMPLES spread evenly over all faces those that border on air."""
        rng = np.random.default_rng(0)
        place = rng.random(SAMPLES) * self.areas.sum()
        face = np.searchsorted(np.cumsum(self.areas), place).clip(0, len(self.faces) - 1)
        a, b, c = (self.vertices[self.faces[face, k]] for k in range(3))
        s, t = np.sqrt(rng.random((SAMPLES, 1))), rng.random((SAMPLES, 1))
        spots = a + s * (b - a) + s * t * (c - b)
        return spots[~self.solid(spots + NEAR * self.normals[face])]


def scene_records(dataset: Dataset, scene: str) -> list[Record]:
    """The frames of a scene, in the order of its record."""
    table = dataset.table("frames")
    return [table[key] for key in dataset.table("scenes")[scene].columns["frames"]]


def wrong_states(state: np.ndarray, past: np.ndarray, gap: np.ndarray, voxel: float) -> dict[VoxelState, np.ndarray]:
    """Which voxels' states are wrong, by state.

    An UNOBSERVED one that a camera has in view, an OCCLUDED one that it sees, a FREE one that none sees; a SURFACE one
    that is farther from the exact mesh than the band in which voxels are SURFACE, or half as far again along all rays.

    Args:
        state: (N,) stored.
        past: (N,) of their centres, by `ExactRoom.past`.
        gap: (N,) metres from their centres to the exact mesh.
        voxel: their side in metres.
    """
    band = 1.5 * 3**0.5 / 2 * voxel
    wrong = {
        VoxelState.UNOBSERVED: past > -np.inf,
        VoxelState.OCCLUDED: past > 0,
        VoxelState.SURFACE: (gap > 1.02 * band) | (np.abs(past) > 1.5 * band),
        VoxelState.FREE: past <= 0,
    }
    return {each: bad[state == each] for each, bad in wrong.items()}


def most(measured: float, count: int) -> float:
    """Share that is still as good as one that was measured, of so many draws: 1.4 times that, and chance."""
    return SLACK * measured + 3 * (measured / count) ** 0.5


@lru_cache(maxsize=8)
def exact_room(demo: Path, scene: str) -> ExactRoom:
    """The exact mesh of a scene of a demo."""
    return ExactRoom(demo / "exact_meshes" / f"{scene}.npz")
