"""The real Hypersim sample through reader, labels, shards and reader again."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from tessera.datasets import Dataset, Record
from tessera.datasets.camera import planar_depth, project, transform, unproject
from tessera.datasets.flags import PixelFlag, has_flag
from tessera.datasets.octree import unpack
from tessera.pipelines.discover import load_recipe
from tessera.pipelines.rejects import read_rejects
from tessera.pipelines.run import run_recipe
from tessera.pipelines.settings import RunSettings

KEY = "ai_037_002-cam_00-0000"
SIZES = ("384x512", "768x1024")


@pytest.fixture(scope="module", params=SIZES)
def real(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    recipe = load_recipe("hypersim")
    out = tmp_path_factory.mktemp("real") / "out"
    raw = shared / "hypersim" / "apple_ml-hypersim"
    options = recipe.options(size=request.param, scenes="ai_037_002")
    summary = run_recipe(recipe, options, raw, RunSettings(out=out, workers=0, quiet=True))
    assert summary.status == 0 and summary.complete
    return Dataset(out)


@pytest.fixture
def record(real: Dataset) -> Record:
    return real.table("frames")[KEY]


def floor_plane(points: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Largest plane among (N, 3) points by RANSAC, refined by least squares: unit normal (z up), offset, support."""
    rng = np.random.default_rng(0)
    best: np.ndarray = np.zeros(len(points), bool)
    for _ in range(200):
        a, b, c = points[rng.choice(len(points), 3, replace=False)]
        normal = np.cross(b - a, c - a)
        if np.linalg.norm(normal) > 1e-6:
            inside = np.abs((points - a) @ (normal / np.linalg.norm(normal))) < 0.01
            best = inside if inside.sum() > best.sum() else best
    chosen = points[best]
    normal = np.linalg.svd(chosen - chosen.mean(axis=0), full_matrices=False)[2][2]
    normal *= np.sign(normal[2])
    return normal, float(chosen.mean(axis=0) @ normal), int(best.sum())


def test_real_floor_is_level_and_at_zero(record: Record) -> None:
    """Facts 1.5: with the exact camera the floor is 0.12 degrees off +z at z = 0.003 m; a naive pinhole gives 5.3."""
    points = transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"])
    lower = points[points.shape[0] * 3 // 4 :].reshape(-1, 3)
    normal, offset, support = floor_plane(lower[np.isfinite(lower).all(axis=1)])
    assert support > 0.3 * len(lower)
    assert np.degrees(np.arccos(normal[2])) < 0.2
    assert abs(offset) < 0.01


def test_trap_naive_pinhole_would_tilt_the_floor(record: Record) -> None:
    height, width = record["distance"].shape
    focal = 886.81 * width / 1024
    naive = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    points = transform(unproject(record["distance"], naive), record["world_from_camera"])
    lower = points[height * 3 // 4 :].reshape(-1, 3)
    normal, offset, _ = floor_plane(lower[np.isfinite(lower).all(axis=1)])
    assert np.degrees(np.arccos(normal[2])) > 2 or abs(offset) > 0.1


def test_missing_modalities_are_absent_not_zero(record: Record) -> None:
    assert set(record) == {
        "intrinsics", "world_from_camera", "raw_cam_from_uv", "distance", "flags", "cube", "octree_split",
        "octree_alpha", "octree_observed", "octree_occupied",
    }  # fmt: skip
    flags = record["flags"]
    assert not has_flag(flags, PixelFlag.NORMAL_VALID).any()
    np.testing.assert_array_equal(has_flag(flags, PixelFlag.VALID), np.isfinite(record["distance"]))


def test_distance_is_the_raw_one_at_full_size(record: Record, shared: Path) -> None:
    path = "contrib/mikeroberts3000/jupyter/ai_037_002/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
    with h5py.File(shared / "hypersim" / "apple_ml-hypersim" / path) as file:
        raw = file["dataset"][()]
    if record["distance"].shape == raw.shape:
        np.testing.assert_array_equal(record["distance"], raw)
    else:
        coarse = record["distance"].astype(float)
        blocks = raw.astype(float).reshape(384, 2, 512, 2)
        low, high = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
        inside = (coarse >= low - 0.02 * low) & (coarse <= high * 1.02)
        assert inside.mean() > 0.9999


def test_trap_depth_is_distance_along_the_ray(record: Record) -> None:
    """Facts 1.4: planar depth is smaller off the axis; both project back to the pixel they came from."""
    intrinsics, distance = record["intrinsics"], record["distance"]
    z = planar_depth(distance, intrinsics)
    assert (z[0, 0] < 0.9 * distance[0, 0]) and np.all(z <= distance.astype(float) + 1e-9)
    pixels, depth = project(unproject(distance, intrinsics), intrinsics)
    np.testing.assert_allclose(depth, z, rtol=1e-9)
    centre = np.stack(np.meshgrid(np.arange(distance.shape[1]) + 0.5, np.arange(distance.shape[0]) + 0.5), axis=-1)
    np.testing.assert_allclose(pixels, centre, atol=1e-6)


def test_octree_bits_are_those_of_the_record_s_own_points(record: Record) -> None:
    """Labels are computed from the rounded values that the record gives back."""
    points = transform(unproject(record["distance"], record["intrinsics"]), record["world_from_camera"]).reshape(-1, 3)
    cube = record["cube"]
    voxel = np.floor(((points - cube[:3]) / cube[3] + 0.5) * 128)
    inside = ((voxel >= 0) & (voxel < 128)).all(axis=1)
    occupied = {tuple(v) for v in voxel[inside].astype(int)}
    structure = unpack(np.ascontiguousarray(record["octree_split"]), 7, 4)
    assert len(occupied) == len(structure.leaf_keys) == len(record["octree_alpha"])
    assert (record["octree_alpha"] == 1).all()


def test_frames_that_are_not_on_disk_are_named(real: Dataset) -> None:
    rejects = read_rejects(real.root)
    assert {reject.stage for reject in rejects} == {"plan"}
    assert "ai_037_002-cam_00-0001" in {reject.key for reject in rejects}
    assert not any(str(real.root) in reject.path or reject.path.startswith("/") for reject in rejects)
