"""Small closed bodies with noise variants, points about them, and a data set of these."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import ConvexHull
from tessera.datasets import Catalog, Field, Reference, Schema
from tessera.datasets.storage import Barycentric
from tessera.datasets.verify import file_sha256

from ..stream_data import Rows, write_set

VERTICES, BODIES, POINTS, SIDE = 60, 3, 200, 4
STRATA = [f"{kind}_{side}" for kind in ("near_1cm", "near_5cm", "uniform") for side in ("inside", "outside")]
HW3 = ("height", "width", 3)
SUBJECTS = Schema(
    (
        Field("points", "float32", ("points", 3), "npy", "metre", "world"),
        Field("points_strata", "int32", (len(STRATA) + 1,), "npz", options={"strata": STRATA}),
        Field("body_face", "uint16", ("points", "bodies"), "npy", optional=True),
        Field("body_bary", "float32", ("points", "bodies", 3), "npy", storage=Barycentric(8), optional=True),
        Field("body_sdf", "float16", ("points", "bodies"), "npy", "metre", optional=True),
        Field("body_normals", "float32", ("bodies", "vertices", 3), "npy", "unit vector", "world", optional=True),
        Field("joints", "float32", ("bodies", "joints", 3), "npz", "metre", "world", optional=True),
        Field("body_scale", "float64", (), "npz", optional=True),
        Field("world_from_scan", "float64", (4, 4), "npz", "metre", "world"),
    ),
    {"points": None, "bodies": BODIES, "vertices": VERTICES, "joints": 2},
)
VIEWS = Schema(
    (
        Field("body_normal_f", "float32", HW3, "npy", "unit vector", "camera", optional=True),
        Field("noisy_normal_f", "float32", ("variants", *HW3), "npy", "unit vector", "camera", optional=True),
        Field("calib", "float64", (4, 4), "npz", frame="ndc"),
        Field("body_visible", "uint8", ("bodies", "vertex_bytes"), "npz", optional=True),
    ),
    {"height": SIDE, "width": SIDE, "variants": BODIES - 1, "bodies": BODIES, "vertex_bytes": (VERTICES + 7) // 8},
    references=(Reference("subject", "subjects"),),
)
FIELDS = {f"subject.{entry.name}": entry for entry in SUBJECTS.fields} | VIEWS.by_name


def faces_of(vertices):
    """(F, 3) int32 of the convex hull, seen from outside anticlockwise."""
    hull = ConvexHull(vertices)
    faces = hull.simplices.astype(np.int32)
    a, b, c = vertices[faces].transpose(1, 0, 2)
    inwards = np.einsum("ni,ni->n", np.cross(b - a, c - a), hull.equations[:, :3]) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return faces


def vertex_normals(vertices, faces):
    """(V, 3) float64 unit normals as the faces wind, weighted by the faces' angles; corner by corner."""
    normals = np.zeros_like(vertices, np.float64)
    for face in faces:
        corners = vertices[face]
        across = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        across /= np.linalg.norm(across)
        for k in range(3):
            one, other = corners[(k + 1) % 3] - corners[k], corners[(k + 2) % 3] - corners[k]
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            normals[face[k]] += np.arccos(np.clip(cosine, -1, 1)) * across
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def calib_of(yaw, pitch=0.2, height=1.7):
    """The scan's camera (pipelines/labels/scan_camera.py): metres to the cube, y down, z towards the camera."""
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    calib = np.eye(4)
    calib[:3, :3] = np.diag([1.0, -1, 1]) @ about_x @ about_y * (180 / 102.4 / height)
    calib[:3, 3] = 0.01, -0.02, 0.03
    return calib


def asset(seed=0):
    """Arrays of the body that all records share."""
    rng = np.random.default_rng(seed)
    ball = rng.normal(size=(VERTICES, 3))
    ball /= np.linalg.norm(ball, axis=1, keepdims=True)
    return ball, {
        "faces": faces_of(ball), "canonical": rng.random((VERTICES, 3)).astype(np.float32),
        "part": rng.integers(0, 24, VERTICES).astype(np.uint8),
    }  # fmt: skip


def subject_of(seed, faces, ball, points=POINTS):
    """Fields of a subject; the bodies' float64 vertices beside them."""
    rng = np.random.default_rng(seed)
    vertices = ball * rng.uniform(0.2, 0.8, (BODIES, 1, 3)) + rng.normal(scale=0.1, size=(BODIES, 1, 3))
    scan = np.eye(4)
    scan[:3, :3], scan[:3, 3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.5, 3), rng.normal(size=3)
    return vertices, {
        "points": rng.uniform(-1, 1, (points, 3)).astype(np.float32),
        "points_strata": np.linspace(0, points, len(STRATA) + 1).astype(np.int32),
        "body_face": rng.integers(0, len(faces), (points, BODIES)).astype(np.uint16),
        "body_bary": Barycentric(8).unpack(rng.multinomial(255, [1 / 3] * 3, (points, BODIES))[..., 1:], np.float32),
        "body_sdf": rng.normal(scale=0.2, size=(points, BODIES)).astype(np.float16),
        "body_normals": np.stack([vertex_normals(each, faces) for each in vertices]).astype(np.float32),
        "joints": rng.normal(size=(BODIES, 2, 3)).astype(np.float32),
        "body_scale": np.float64(rng.uniform()), "world_from_scan": scan,
    }  # fmt: skip


def view_of(seed):
    """Fields of a view; each picture tells its body by its values."""
    rng = np.random.default_rng(seed)
    return {
        "body_normal_f": np.zeros((SIDE, SIDE, 3), np.float32),
        "noisy_normal_f": np.tile(np.arange(1, BODIES, dtype=np.float32)[:, None, None, None], (1, SIDE, SIDE, 3)),
        "calib": calib_of(rng.uniform(-3, 3)),
        "body_visible": np.packbits(rng.integers(0, 2, (BODIES, VERTICES), np.uint8), axis=1, bitorder="little"),
    }


def record_of(seed=0, shared=0):
    """A view's record with its subject's fields, the asset, and the bodies' vertices."""
    ball, arrays = asset(shared)
    vertices, subject = subject_of(seed, arrays["faces"], ball)
    return {f"subject.{name}": array for name, array in subject.items()} | view_of(seed), arrays, vertices


def write_bodies(root: Path, subjects: int = 4, points: int = POINTS) -> Path:
    """A data set of subjects with two views each, and the asset."""
    ball, arrays = asset()
    people = [(f"s{i}", subject_of(i, arrays["faces"], ball, points)[1], {}) for i in range(subjects)]
    views = [(f"s{i}-{k}", view_of(10 * i + k), {"subject": f"s{i}"}) for i in range(subjects) for k in range(2)]
    tables = {"subjects": Rows(SUBJECTS, {"train": [people]}), "views": Rows(VIEWS, {"train": [views]})}
    write_set(root, tables, "people")
    add_asset(root, arrays)
    return root


def add_asset(root: Path, arrays, save=np.savez) -> Path:
    """The file of a data set's body, listed in its catalog."""
    path = root / "assets" / "body.npz"
    path.parent.mkdir(exist_ok=True)
    save(path, **arrays)
    replace(Catalog.read(root), assets={"assets/body.npz": file_sha256(path)}).write(root, "run")
    return path
