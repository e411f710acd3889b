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

from .conftest import one_surface, raw_array

SCENES = ("ai_900_001", "ai_900_002", "ai_900_003", "ai_900_004")


class Oracle:
    """Ray casts against one exact mesh."""

    def __init__(self, path: Path) -> None:
        self.o3d: Any = import_open3d()
        mesh = np.load(path, allow_pickle=False)
        self.vertices, self.faces = mesh["vertices"].astype(np.float32), mesh["faces"].astype(np.uint32)
        self.scene = self.o3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(self.o3d.core.Tensor(self.vertices), self.o3d.core.Tensor(self.faces))

    def cast(self, record: Record) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance (h, w), world normals (h, w, 3) and face ids of a record's own rays."""
        pose = record["world_from_camera"]
        rays = pixel_rays(record["intrinsics"], *record["distance"].shape) @ pose[:3, :3].T
        both = np.concatenate([np.broadcast_to(pose[:3, 3], rays.shape), rays], axis=-1).astype(np.float32)
        hit = self.scene.cast_rays(self.o3d.core.Tensor(both))
        return hit["t_hit"].numpy(), hit["primitive_normals"].numpy(), hit["primitive_ids"].numpy()

    def distance_to(self, points: np.ndarray) -> np.ndarray:
        return self.scene.compute_distance(self.o3d.core.Tensor(points.astype(np.float32))).numpy()


@pytest.fixture(scope="module")
def oracles(demo: Path) -> dict[str, Oracle]:
    return {scene: Oracle(demo / "exact_meshes" / f"{scene}.npz") for scene in SCENES}


def smooth(record: Record, demo: Path) -> np.ndarray:
    """Pixels that are measured, on one surface and away from any boundary."""
    flags = record["flags"]
    edge = has_flag(flags, PixelFlag.BOUNDARY) | has_flag(flags, PixelFlag.BOUNDARY_IGNORE)
    return has_flag(flags, PixelFlag.VALID) & ~edge & one_surface(demo, record)


def test_distance_is_that_of_the_exact_mesh(dataset: Dataset, oracles: dict[str, Oracle], demo: Path) -> None:
    """Raw and stored float16 each round by up to 2^-11; nothing else may be lost, at either size."""
    for record in dataset.table("frames"):
        exact, _, _ = oracles[record.unit].cast(record)
        inside = smooth(record, demo) & np.isfinite(exact)
        error = np.abs(record["distance"][inside].astype(float) / exact[inside] - 1)
        assert inside.mean() > 0.4
        coarse = record["distance"].shape != (192, 256)  # bends within one object, over pixels of some centimetres
        assert np.quantile(error, 0.99) < (2**-8 if coarse else 2**-10), record.key
        assert np.median(error) < 2**-11, record.key


def test_nearest_distance_would_be_worse_at_half_size(dataset: Dataset, oracles: dict[str, Oracle], demo: Path) -> None:
    """Why distance is interpolated on planes: the nearest raw sample belongs to a ray half a raw pixel away."""
    record = next(r for r in dataset.table("frames") if r.unit == "ai_900_002")
    if record["distance"].shape == (192, 256):
        pytest.skip("the raw size: nothing is resampled")
    raw = raw_array(demo, record, "depth_meters")[::2, ::2].astype(float)
    exact, _, _ = oracles[record.unit].cast(record)
    inside = smooth(record, demo) & np.isfinite(exact) & np.isfinite(raw)
    nearest = np.abs(raw / exact - 1)[inside]
    ours = np.abs(record["distance"].astype(float) / exact - 1)[inside]
    assert np.quantile(ours, 0.9) < np.quantile(nearest, 0.9) / 4


def test_normals_are_those_of_the_exact_mesh(dataset: Dataset, oracles: dict[str, Oracle], demo: Path) -> None:
    for record in dataset.table("frames"):
        exact, normal, _ = oracles[record.unit].cast(record)
        inside = smooth(record, demo) & np.isfinite(exact) & has_flag(record["flags"], PixelFlag.NORMAL_VALID)
        ours = record["normal"] @ record["world_from_camera"][:3, :3].T.astype(np.float32)
        rays = pixel_rays(record["intrinsics"], *exact.shape)
        assert ((record["normal"] * rays).sum(axis=-1)[inside] <= 1e-3).all()  # facing the camera
        plain = inside.copy()  # where the nearest raw pixel, up to half a pixel away, sees the same flat surface
        for axis in (0, 1):
            for shift in (-1, 1):
                plain &= (np.roll(normal, shift, axis) * normal).sum(axis=-1) > 0.99999
        assert plain.mean() > 0.3
        angle = np.degrees(np.arccos(np.clip(np.abs((ours * normal).sum(axis=-1)[plain]), 0, 1)))
        assert np.quantile(angle, 0.99) < 0.1, record.key


def test_octree_leaves_lie_on_the_exact_mesh(dataset: Dataset, oracles: dict[str, Oracle], demo: Path) -> None:
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


def test_boundaries_are_where_the_exact_depth_breaks(dataset: Dataset, oracles: dict[str, Oracle], demo: Path) -> None:
    """Where four exact neighbours differ by more than a third there is a boundary pixel; on one face there is none."""
    for record in dataset.table("frames"):
        exact, _, faces = oracles[record.unit].cast(record)
        flags = record["flags"]
        found, ignored = has_flag(flags, PixelFlag.BOUNDARY), has_flag(flags, PixelFlag.BOUNDARY_IGNORE)
        one_face = one_surface(demo, record)
        for axis in (0, 1):
            for shift in (-1, 1):
                one_face &= np.roll(faces, shift, axis) == faces
        one_face[[0, -1]] = one_face[:, [0, -1]] = False
        assert (found & one_face).sum() <= 1, record.key  # one: the corner of a cell whose other corner is an edge
        left, right = exact[:, :-1], exact[:, 1:]
        step = (right > 1.5 * left) & np.isfinite(right) & ~ignored[:, :-1] & ~ignored[:, 1:]
        near, far = found[:, :-1][step], found[:, 1:][step]
        if step.sum() > 20:
            assert (near | far).mean() > 0.95
            occluder = has_flag(flags, PixelFlag.OCCLUDER)[:, :-1][step & found[:, :-1]]
            assert occluder.mean() > 0.9
