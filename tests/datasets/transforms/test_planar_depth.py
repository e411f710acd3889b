"""Planar depth against analytic planes, the published loaders' formula, and the real floor."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.datasets.errors import SchemaError
from tessera.datasets.transforms import load_transform

HEIGHT, WIDTH = 48, 64
FLIP = np.diag([1.0, -1.0, -1.0])  # OpenGL camera axes to OpenCV's


def rays_of(intrinsics, height=HEIGHT, width=WIDTH):
    """(h, w, 3) viewing rays with z = 1, by the textbook formula of a skewed pinhole."""
    (fx, skew, cx), (_, fy, cy), _ = intrinsics
    y = (np.arange(height)[:, None] + 0.5 - cy) / fy
    x = (np.arange(width)[None, :] + 0.5 - cx - skew * y) / fx
    return np.stack(np.broadcast_arrays(x, y, 1.0), axis=-1)


def fixed_lens(distance, focal=886.81, width=1024):
    """The formula of both published loaders, for any size of the standard picture."""
    height, own_width = distance.shape
    focal = focal * own_width / width
    x, y = np.arange(own_width) + 0.5 - own_width / 2, np.arange(height)[:, None] + 0.5 - height / 2
    return distance * focal / np.sqrt(x**2 + y**2 + focal**2)


@settings(max_examples=40, deadline=None)
@given(st.floats(30, 500), st.floats(30, 500), st.floats(-20, 20), st.floats(0, 60), st.floats(0, 60), st.floats(1, 9))
def test_depth_of_any_plane_seen_through_any_lens(fx, fy, skew, cx, cy, offset):
    """On the plane n . X = offset, the point along (x, y, 1) has depth offset / (n . (x, y, 1))."""
    intrinsics = np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]])
    rays, normal = rays_of(intrinsics), np.array([0.05, -0.1, 0.99])
    facing = rays @ normal
    depth = np.where(facing > 0.1, offset / np.where(facing > 0.1, facing, 1), np.nan)
    record = {"distance": depth * np.linalg.norm(rays, axis=-1), "intrinsics": intrinsics}
    found = load_transform("planar_depth")(record)["depth"]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, depth, rtol=3e-7)


def test_record_is_kept_and_extended_nan_stays():
    distance = np.full((HEIGHT, WIDTH), 2, np.float16)
    distance[3, 4] = np.nan
    record = {"distance": distance, "intrinsics": np.diag([50.0, 50, 1]), "image": np.zeros(3)}
    added = load_transform("planar_depth")(record)
    assert list(record) == ["distance", "intrinsics", "image"] and list(added) == [*record, "depth"]
    assert added["image"] is record["image"] and added["depth"].dtype == np.float32
    assert np.isnan(added["depth"][3, 4]) and np.isnan(added["depth"]).sum() == 1


def test_a_later_camera_does_not_get_an_earlier_one_s_rays():
    transform = load_transform("planar_depth")
    distance = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    for focal, skew in ((50, 0), (80, 0), (50, 9), (50, 0)):
        intrinsics = np.array([[focal, skew, 30.0], [0, focal, 20], [0, 0, 1]], np.float32)
        expected = 3 / np.linalg.norm(rays_of(intrinsics.astype(float)), axis=-1)
        depth = transform({"distance": distance, "intrinsics": intrinsics})["depth"]
        np.testing.assert_allclose(depth, expected, rtol=3e-7)
        depth[:] = 0  # a caller's own array, which the cache must not share


@pytest.mark.parametrize(
    ("options", "kept"), [({}, 5), ({"least": 1e-5, "most": 65}, 4), ({"least": 0.001, "most": 20}, 2)]
)
def test_limits_of_the_published_loaders(options, kept):
    depth = np.array([[0.0005, 5, 19.5, 25, 70]])
    intrinsics = np.array([[1e6, 0, 2.5], [0, 1e6, 0.5], [0, 0, 1]])  # nearly parallel rays
    found = load_transform("planar_depth", **options)({"distance": depth, "intrinsics": intrinsics})["depth"]
    assert np.isfinite(found).sum() == kept
    np.testing.assert_allclose(found[np.isfinite(found)], depth[np.isfinite(found)], rtol=1e-6)


@pytest.mark.parametrize("field", ["distance", "intrinsics"])
def test_a_missing_field_is_named(field):
    record = {"distance": np.ones((2, 2)), "intrinsics": np.eye(3)}
    del record[field]
    with pytest.raises(SchemaError, match=f"lacks {field}"):
        load_transform("planar_depth")(record)


def test_a_depth_that_is_there_already_is_not_overwritten():
    with pytest.raises(SchemaError, match="already"):
        load_transform("planar_depth")({"distance": np.ones((2, 2)), "intrinsics": np.eye(3), "depth": np.ones(1)})


def test_standard_lens_agrees_with_the_published_formula():
    intrinsics = np.array([[886.81 / 4, 0, 128], [0, 886.81 / 4, 96], [0, 0, 1]])
    distance = np.random.default_rng(0).uniform(1, 9, (192, 256))
    depth = load_transform("planar_depth")({"distance": distance, "intrinsics": intrinsics})["depth"]
    np.testing.assert_allclose(depth, fixed_lens(distance), rtol=3e-7)


@pytest.fixture(scope="module")
def real(shared):
    """Facts 1.5 for ai_037_002/cam_00/0: distance, intrinsics, OpenCV pose in metres, and exact world points."""
    h5py, linalg = pytest.importorskip("h5py"), pytest.importorskip("scipy.linalg")
    root = shared / "hypersim/apple_ml-hypersim/contrib/mikeroberts3000"

    def read(path):
        with h5py.File(root / "jupyter/ai_037_002" / path) as file:
            return file["dataset"][:]

    with (root / "metadata_camera_parameters.csv").open() as file:
        row = next(row for row in csv.DictReader(file) if row["scene_name"] == "ai_037_002")
    cam_from_uv = np.array([[float(row[f"M_cam_from_uv_{i}{j}"]) for j in range(3)] for i in range(3)])
    distance = read("images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5").astype(np.float64)
    height, width = distance.shape
    pixel_from_uv = np.array([[width / 2, 0, width / 2], [0, -height / 2, height / 2], [0, 0, 1]])
    upper, turn = linalg.rq(pixel_from_uv @ np.linalg.inv(cam_from_uv) @ FLIP)
    signs = np.diag(np.sign(np.diag(upper)))
    upper, turn = upper @ signs, signs @ turn
    rotation = read("_detail/cam_00/camera_keyframe_orientations.hdf5")[0]
    position = 0.01 * read("_detail/cam_00/camera_keyframe_positions.hdf5")[0]
    u, v = -1 + (2 * np.arange(width) + 1) / width, 1 - (2 * np.arange(height) + 1) / height
    raw = np.stack([*np.meshgrid(u, v), np.ones((height, width))], axis=-1) @ cam_from_uv.T
    raw *= (distance / np.linalg.norm(raw, axis=-1))[..., None]
    sign = np.sign(np.linalg.det(turn))
    world_from_camera = rotation @ FLIP @ (sign * turn).T
    return distance, upper / upper[2, 2], world_from_camera, position, raw @ rotation.T + position


def floor_tilt(points):
    """Degrees between the least-squares plane of (N, 3) points and the horizontal."""
    normal = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][2]
    return np.degrees(np.arccos(abs(normal[2])))


def test_real_frame_s_intrinsics_are_the_published_ones(real):
    expected = [[887.54, 0, 573.44], [0, 887.54, 457.64], [0, 0, 1]]
    np.testing.assert_allclose(real[1], expected, atol=0.01)


def test_real_floor_is_level(real):
    """Depth times the rays of the exact camera is the raw point; its floor lies at z = 0."""
    distance, intrinsics, rotation, position, exact = real
    depth = load_transform("planar_depth")({"distance": distance, "intrinsics": intrinsics})["depth"]
    points = (depth[..., None] * rays_of(intrinsics, *depth.shape)) @ rotation.T + position
    measured = np.isfinite(distance)
    np.testing.assert_array_equal(np.isnan(depth), ~measured)
    np.testing.assert_allclose(points[measured], exact[measured], atol=1e-5)
    floor = points[(np.abs(exact[..., 2]) < 0.02) & measured]
    assert len(floor) > 50_000 and floor_tilt(floor) < 0.2 and abs(np.median(floor[:, 2])) < 0.01


def test_trap_planar_depth_by_the_886_81_formula(real):
    distance, intrinsics, rotation, position, exact = real
    depth = load_transform("planar_depth")({"distance": distance, "intrinsics": intrinsics})["depth"]
    fixed = fixed_lens(distance)
    measured = np.isfinite(distance)
    error = np.abs(fixed / depth - 1)[measured]
    assert error.mean() > 0.01 and error.max() > 0.05
    plain = np.array([[886.81, 0, 512], [0, 886.81, 384], [0, 0, 1]])
    points = (fixed[..., None] * rays_of(plain, *fixed.shape)) @ rotation.T + position
    assert floor_tilt(points[(np.abs(exact[..., 2]) < 0.02) & measured]) > 2
