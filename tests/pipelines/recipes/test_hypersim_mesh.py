"""Distance, normals, boundaries and octrees of the demo against its exact meshes, cast by Open3D."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import pixel_rays
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.datasets.octree import leaf_centres, unpack
from tessera.pipelines.native import import_open3d

from .conftest import raw_array

RAW = (192, 256)
SCENES = ("ai_900_001", "ai_900_002", "ai_900_003", "ai_900_004")


class Oracle:
    """Ray casts against one exact mesh."""

    def __init__(self, path: Path) -> None:
        self.o3d: Any = import_open3d()
        mesh = np.load(path, allow_pickle=False)
        self.vertices, self.faces = mesh["vertices"].astype(np.float32), mesh["faces"].astype(np.uint32)
        self.scene = self.o3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(self.o3d.core.Tensor(self.vertices), self.o3d.core.Tensor(self.faces))

    def cast(self, record: Record, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance (h, w), world normals (h, w, 3) and face ids of a record's own rays, or of its camera at a size."""
        pose, own = record["world_from_camera"], record["distance"].shape
        height, width = size or own
        intrinsics = np.diag([width / own[1], height / own[0], 1]) @ record["intrinsics"]
        rays = pixel_rays(intrinsics, height, width) @ pose[:3, :3].T
        both = np.concatenate([np.broadcast_to(pose[:3, 3], rays.shape), rays], axis=-1).astype(np.float32)
        hit = self.scene.cast_rays(self.o3d.core.Tensor(both))
        return hit["t_hit"].numpy(), hit["primitive_normals"].numpy(), hit["primitive_ids"].numpy()

    def one_face(self, record: Record) -> np.ndarray:
        """Pixels (h, w) all of whose raw pixels, and those of their four neighbours, see one and the same triangle.

        Elsewhere a smaller picture has to choose one of several surfaces, and the exact ray may choose another.
        """
        height, width = record["distance"].shape
        scale = RAW[0] // height
        faces = self.cast(record, RAW)[2]
        blocks = faces.reshape(height, scale, width, scale)
        low, same = blocks.min(axis=(1, 3)), blocks.min(axis=(1, 3)) == blocks.max(axis=(1, 3))
        alike = same.copy()
        for axis in (0, 1):
            for shift in (-1, 1):
                alike &= np.roll(same, shift, axis) & (np.roll(low, shift, axis) == low)
        alike[[0, -1]] = alike[:, [0, -1]] = False
        return alike

    def distance_to(self, points: np.ndarray) -> np.ndarray:
        return self.scene.compute_distance(self.o3d.core.Tensor(points.astype(np.float32))).numpy()


@pytest.fixture(scope="module")
def oracles(demo: Path) -> dict[str, Oracle]:
    return {scene: Oracle(demo / "exact_meshes" / f"{scene}.npz") for scene in SCENES}


def smooth(record: Record) -> np.ndarray:
    """Pixels that are measured and away from any boundary."""
    flags = record["flags"]
    edge = has_flag(flags, PixelFlag.BOUNDARY) | has_flag(flags, PixelFlag.BOUNDARY_IGNORE)
    return has_flag(flags, PixelFlag.VALID) & ~edge


def test_distance_is_that_of_the_exact_mesh(dataset: Dataset, oracles: dict[str, Oracle]) -> None:
    """Raw and stored float16 each round by up to 2^-11; on flat parts nothing else may be lost, at either size."""
    for record in dataset.table("frames"):
        exact, _, _ = oracles[record.unit].cast(record)
        flat = oracles[record.unit].one_face(record) & smooth(record)
        error = np.abs(record["distance"].astype(float) / exact - 1)
        assert flat.mean() > 0.2
        assert np.quantile(error[flat], 0.999) < 2**-10, record.key
        assert np.median(error[smooth(record)]) < 2**-11, record.key
        if record["distance"].shape == RAW:  # curved and small parts, too
            assert np.quantile(error[smooth(record)], 0.99) < 2**-10, record.key


def test_nearest_distance_would_be_worse_at_half_size(dataset: Dataset, oracles: dict[str, Oracle], demo: Path) -> None:
    """Why distance is interpolated on planes: the nearest raw sample belongs to a ray half a raw pixel away."""
    record = next(r for r in dataset.table("frames") if r.unit == "ai_900_002")
    if record["distance"].shape == (192, 256):
        pytest.skip("the raw size: nothing is resampled")
    raw = raw_array(demo, record, "depth_meters")[::2, ::2].astype(float)
    exact, _, _ = oracles[record.unit].cast(record)
    inside = smooth(record) & np.isfinite(exact) & np.isfinite(raw)
    nearest = np.abs(raw / exact - 1)[inside]
    ours = np.abs(record["distance"].astype(float) / exact - 1)[inside]
    assert np.quantile(ours, 0.9) < np.quantile(nearest, 0.9) / 4


def test_normals_are_those_of_the_exact_mesh(dataset: Dataset, oracles: dict[str, Oracle]) -> None:
    for record in dataset.table("frames"):
        exact, normal, _ = oracles[record.unit].cast(record)
        inside = smooth(record) & np.isfinite(exact) & has_flag(record["flags"], PixelFlag.NORMAL_VALID)
        ours = record["normal"] @ record["world_from_camera"][:3, :3].T.astype(np.float32)
        rays = pixel_rays(record["intrinsics"], *exact.shape)
        assert ((record["normal"] * rays).sum(axis=-1)[inside] <= 1e-3).all()  # facing the camera
        angle = np.degrees(np.arccos(np.clip(np.abs((ours * normal).sum(axis=-1)), 0, 1)))
        flat = inside & oracles[record.unit].one_face(record)
        assert angle[flat].max() < 0.1, record.key
        if record["distance"].shape == RAW:
            assert np.quantile(angle[inside], 0.98) < 0.1, record.key


def test_octree_leaves_lie_on_the_exact_mesh(dataset: Dataset, oracles: dict[str, Oracle]) -> None:
    for record in dataset.table("frames"):
        cube = record["cube"]
        structure = unpack(np.ascontiguousarray(record["octree_split"]), 7, 4)
        centres = leaf_centres(structure, cube)
        voxel = cube[3] / 128
        far = oracles[record.unit].distance_to(centres)
        noise = 2**-10 * np.nanmax(record["distance"].astype(float))
        assert far.max() < voxel * np.sqrt(3) / 2 + noise, record.key
        assert len(centres) == len(record["octree_color"]) == len(record["octree_normal"]) > 100


def test_octree_features_are_means_of_their_points(dataset: Dataset) -> None:
    """Brute force for some leaves of some records, from what the record gives back."""
    for record in list(dataset.table("frames"))[::5]:
        cube, valid = record["cube"], np.isfinite(record["distance"])
        rays = pixel_rays(record["intrinsics"], *valid.shape)[valid]
        pose = record["world_from_camera"]
        points = (record["distance"][valid].astype(float)[:, None] * rays) @ pose[:3, :3].T + pose[:3, 3]
        voxel = np.floor(((points - cube[:3]) / cube[3] + 0.5) * 128).astype(int)
        centres = leaf_centres(unpack(np.ascontiguousarray(record["octree_split"]), 7, 4), cube)
        for leaf in range(0, len(centres), max(1, len(centres) // 20)):
            mine = (voxel == np.floor(((centres[leaf] - cube[:3]) / cube[3] + 0.5) * 128).astype(int)).all(axis=1)
            assert mine.any()
            colour = record["hdr"][valid][mine].astype(float).mean(axis=0)
            np.testing.assert_allclose(record["octree_color"][leaf].astype(float), colour, rtol=8e-3, atol=1e-4)
            normal = (record["normal"][valid][mine] @ pose[:3, :3].T).mean(axis=0)
            if np.linalg.norm(normal) > 0.2:
                cosine = normal @ record["octree_normal"][leaf] / np.linalg.norm(normal)
                assert cosine > np.cos(np.radians(0.3))


def test_boundaries_are_where_the_exact_depth_breaks(dataset: Dataset, oracles: dict[str, Oracle]) -> None:
    """Where the right neighbour is half as far again there is a boundary, near side left; on one triangle none."""
    marked, occluder = [], []
    for record in dataset.table("frames"):
        exact, _, _ = oracles[record.unit].cast(record)
        flags = record["flags"]
        found, ignored = has_flag(flags, PixelFlag.BOUNDARY), has_flag(flags, PixelFlag.BOUNDARY_IGNORE)
        assert not (found & oracles[record.unit].one_face(record)).any(), record.key
        left, right = exact[:, :-1], exact[:, 1:]
        agree = np.abs(record["distance"].astype(float) / exact - 1) < 0.02  # both chose the same surface
        step = (
            agree[:, :-1]
            & agree[:, 1:]
            & (right > 1.5 * left)
            & np.isfinite(right)
            & ~ignored[:, :-1]
            & ~ignored[:, 1:]
        )
        marked.append((found[:, :-1] | found[:, 1:])[step])
        around = np.min([np.roll(exact, shift, axis) for axis in (0, 1) for shift in (-1, 1)], axis=0)
        front = (exact < 1.02 * around)[:, :-1]  # not itself behind another neighbour
        occluder.append(has_flag(flags, PixelFlag.OCCLUDER)[:, :-1][step & found[:, :-1] & front])
    assert np.concatenate(marked).size > 300
    assert np.concatenate(marked).mean() > 0.97
    assert np.concatenate(occluder).mean() > 0.97
