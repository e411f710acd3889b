"""A scene whose pictures say where their pixels look, so that any change of a camera can be checked by projection."""

import numpy as np
from tessera.datasets.schema import Field

HEIGHT, WIDTH = 40, 56
HW, HW3 = ("height", "width"), ("height", "width", 3)
FIELDS = {
    entry.name: entry
    for entry in (
        Field("image", "uint8", HW3, "png"),
        Field("mask", "uint8", HW, "png"),
        Field("position", "float32", HW3, "npy", "metre", "camera"),
        Field("normal", "float32", HW3, "npy", "unit vector", "camera"),
        Field("distance", "float16", HW, "npy", "metre", "camera", nan="not measured"),
        Field("intrinsics", "float64", (3, 3), "npz", "pixel", "camera"),
        Field("world_from_camera", "float64", (4, 4), "npz", "metre", "world"),
        Field("points", "float32", ("points", 3), "npy", "metre", "world"),
        Field("sdf", "float32", ("points",), "npy", "metre", "world"),
        Field("pixels", "float64", ("points", 2), "npy", "pixel", "camera"),
        Field("betas", "float32", (10,), "npz"),
    )
}


def project(points, intrinsics):
    """Textbook pinhole, corner origin."""
    (fx, skew, cx), (_, fy, cy), _ = intrinsics
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    return np.stack([fx * x + skew * y + cx, fy * y + cy], axis=-1)


def inverse(points, pose):
    """World points in the camera's frame."""
    return (points - pose[:3, 3]) @ pose[:3, :3]


def rotation(rng):
    """A random proper rotation."""
    matrix, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def scene(seed=0, height=HEIGHT, width=WIDTH):
    """A record: a wavy surface seen by a skewed camera anywhere; `points` lie in front of it, `pixels` are where."""
    rng = np.random.default_rng(seed)
    intrinsics = np.array([[rng.uniform(40, 60), rng.uniform(-3, 3), rng.uniform(20, 30)], [0, 50, 18], [0, 0, 1]])
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    position = rays * (2 + 0.2 * np.sin(columns / 5) * np.cos(rows / 7))[..., None]
    normal = rng.normal(size=(height, width, 3))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    normal[3, 4] = 0
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(rng), rng.normal(size=3)
    points = np.column_stack([rng.uniform(-1, 1, (30, 2)), rng.uniform(2, 4, 30)])
    return {
        "image": rng.integers(0, 256, (height, width, 3), np.uint8),
        "mask": rng.integers(0, 5, (height, width), np.uint8),
        "position": position.astype(np.float32),
        "normal": normal.astype(np.float32),
        "distance": np.linalg.norm(position, axis=-1).astype(np.float16),
        "intrinsics": intrinsics,
        "world_from_camera": pose,
        "points": (points @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32),
        "sdf": rng.normal(size=30).astype(np.float32),
        "pixels": project(points, intrinsics),
        "betas": rng.normal(size=10).astype(np.float32),
    }


def copies(record):
    """The record's arrays, copied, to see later whether they were touched."""
    return {name: array.copy() for name, array in record.items()}


def same(first, second):
    """Whether two records are the same, bit by bit."""
    return list(first) == list(second) and all(
        first[name].dtype == second[name].dtype and np.array_equal(first[name], second[name], equal_nan=True)
        for name in first
    )
