"""Raw scans, fits and bodies read and posed anew, and what rays and closest points say of them: none of our code.

Files are read line by line, bodies are posed by the smplx package alone, triangles are asked through Open3D (float32)
and by plain float64 formulas.
"""

import contextlib
import io
import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import smplx
import torch
import trimesh
from numpy.typing import NDArray
from PIL import Image
from smplx.joint_names import JOINT_NAMES
from tessera.pipelines.native import import_open3d  # finds the library that Open3D needs

o3d = import_open3d()
Floats = NDArray[np.float64]
ROW = {"betas": 10, "expression": 10, "global_orient": 3, "body_pose": 63, "left_hand_pose": 45, "right_hand_pose": 45,
       "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "transl": 3}  # fmt: skip
JOINTS = [name.removesuffix("_smplhf") for name in JOINT_NAMES[:55]]
FINGERS = ("thumb", "index", "middle", "ring", "pinky")


@dataclass(frozen=True, eq=False)
class RawScan:
    """An OBJ file and its texture, and the fit beside it, in raw units."""

    vertices: Floats
    faces: NDArray[np.int64]
    uv: Floats
    face_uv: NDArray[np.int64]
    texture: NDArray[np.uint8]
    fit: dict[str, Any]

    @property
    def height(self) -> float:
        return float(np.ptp(self.vertices[:, 1]))


@lru_cache(maxsize=4)
def raw_scan(raw: Path, name: str) -> RawScan:
    lines = [line.split() for line in (raw / "scans" / name / f"{name}.obj").read_text().splitlines()]
    corners = np.array([[c.split("/")[:2] for c in line[1:]] for line in lines if line and line[0] == "f"], np.int64)
    with Image.open(raw / "scans" / name / "material0.jpeg") as picture:
        texture = np.asarray(picture.convert("RGB"))
    return RawScan(
        np.array([line[1:] for line in lines if line and line[0] == "v"], np.float64), corners[..., 0] - 1,
        np.array([line[1:] for line in lines if line and line[0] == "vt"], np.float64), corners[..., 1] - 1, texture,
        pickle.loads((raw / "fits" / name / "smplx_param.pkl").read_bytes()),
    )  # fmt: skip


@lru_cache(maxsize=4)
def body_model(models: Path, pca: bool) -> Any:
    """SMPL-X of the published fits (12 numbers a hand about the mean hand), or of rows of records (flat hands)."""
    hands = {"use_pca": True, "num_pca_comps": 12} if pca else {"use_pca": False}
    with contextlib.redirect_stdout(io.StringIO()):
        return smplx.SMPLX(
            str(models / "smplx" / "SMPLX_MALE.npz"), num_betas=10, num_expression_coeffs=10, flat_hand_mean=not pca,
            ext="npz", dtype=torch.float64, **hands,
        )  # fmt: skip


def forward(model: Any, parameters: dict[str, Any]) -> tuple[Floats, Floats]:
    given = {name: torch.tensor(np.asarray(value, np.float64).reshape(1, -1)) for name, value in parameters.items()}
    with torch.no_grad():
        out = model(**given, return_verts=True)
    return out.vertices[0].numpy(), out.joints[0, :55].numpy()


def fitted(raw: Path, name: str) -> tuple[Floats, Floats]:
    """Vertices and joints of the raw fit, in the scan's raw units: body x scale + translation."""
    fit = raw_scan(raw, name).fit
    own = {key: value for key, value in fit.items() if key in ROW}
    scale, move = float(fit["scale"]), np.asarray(fit["translation"], np.float64)
    vertices, joints = forward(body_model(raw / "body_models", True), own)
    return vertices * scale + move, joints * scale + move


def posed(raw: Path, row: Floats) -> tuple[Floats, Floats]:
    """Vertices and joints of a row of `body_params`, metres of the model."""
    parts = dict(zip(ROW, np.split(row, np.cumsum(list(ROW.values()))[:-1]), strict=True))
    return forward(body_model(raw / "body_models", False), parts)


def bodies(raw: Path, record: Any) -> Floats:
    """(B, V, 3) the bodies of a subject's record, posed of what is stored of them, world metres."""
    rows, scale, move = record["body_params"], float(record["body_scale"]), record["body_translation"]
    return np.stack([posed(raw, row)[0] * scale + move for row in rows])


def vmed(raw: Path, name: str) -> Floats:
    """ICON's middle of a scan: the fit's pelvis, at half the height of the scan; raw units."""
    pelvis = fitted(raw, name)[1][0]
    heights = raw_scan(raw, name).vertices[:, 1]
    return np.array([pelvis[0], (heights.min() + heights.max()) / 2, pelvis[2]])


def world_scan(raw: Path, name: str) -> Floats:
    """(V, 3) the scan in metres about its middle."""
    scan = raw_scan(raw, name)
    return (scan.vertices - vmed(raw, name)) / float(scan.fit["scale"])


def icon_calib(raw: Path, name: str, yaw: float, size: int) -> Floats:
    """PIFu's and ICON's intrinsic @ extrinsic, of a scan times 100 (facts, 2.1)."""
    turn, ortho_ratio = np.radians(yaw), 0.4 * (512 / size)
    rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    extrinsic = np.eye(4)
    extrinsic[:3, :3], extrinsic[:3, 3] = rotation, -rotation @ (100 * vmed(raw, name))
    ratio = 1.8 / raw_scan(raw, name).height / ortho_ratio
    half = 1 / (size / 2)
    return np.diag([ratio, -ratio, ratio, 1]) @ np.diag([half, half, half, 1]) @ extrinsic


class Triangles:
    """A mesh that Open3D is asked about, with normals of trimesh."""

    def __init__(self, vertices: Floats, faces: NDArray[Any]) -> None:
        self.vertices, self.faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64)
        self.scene = o3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(
            o3d.core.Tensor(self.vertices.astype(np.float32)), o3d.core.Tensor(self.faces.astype(np.uint32))
        )
        _, first, whole = np.unique(self.vertices, axis=0, return_index=True, return_inverse=True)  # at one place alike
        mesh = trimesh.Trimesh(self.vertices[first], whole[self.faces], process=False, validate=False)
        self.normals = np.asarray(mesh.vertex_normals)[whole]

    def cast(self, origins: Floats, away: Floats) -> tuple[NDArray[np.bool_], NDArray[np.int64], Floats, Floats]:
        """Whether rays (n, 3) meet it, the face, the barycentric coordinates, and the distance along the ray."""
        rays = np.concatenate([origins, np.broadcast_to(away, origins.shape)], 1).astype(np.float32)
        found = self.scene.cast_rays(o3d.core.Tensor(rays))
        far = found["t_hit"].numpy().astype(np.float64)
        uv = found["primitive_uvs"].numpy().astype(np.float64)
        met = np.isfinite(far)
        face = np.where(met, found["primitive_ids"].numpy().astype(np.int64), 0)
        return met, face, np.stack([1 - uv.sum(1), uv[:, 0], uv[:, 1]], 1), far

    def closest(self, points: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
        """Distance, face and barycentric coordinates of the closest places; the distance in float64 of the place."""
        found = self.scene.compute_closest_points(o3d.core.Tensor(points.astype(np.float32)))
        uv = found["primitive_uvs"].numpy().astype(np.float64)
        face = found["primitive_ids"].numpy().astype(np.int64)
        bary = np.stack([1 - uv.sum(1), uv[:, 0], uv[:, 1]], 1)
        return np.linalg.norm(points - self.places(face, bary), axis=1), face, bary

    def places(self, face: NDArray[Any], bary: NDArray[Any]) -> Floats:
        return np.einsum("nk,nki->ni", bary, self.vertices[self.faces[face]])

    def normals_at(self, face: NDArray[Any], bary: NDArray[Any]) -> Floats:
        mixed = np.einsum("nk,nki->ni", bary, self.normals[self.faces[face]])
        return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)

    def parity(self, points: Floats) -> NDArray[np.bool_]:
        """Inside by the number of crossings of three rays, of which two decide."""
        scores = np.zeros(len(points))
        for away in ((0.31, 0.53, 0.79), (-0.67, 0.41, 0.62), (0.23, -0.87, -0.43)):
            rays = np.concatenate([points, np.broadcast_to(away, points.shape)], 1).astype(np.float32)
            scores += self.scene.count_intersections(o3d.core.Tensor(rays)).numpy() % 2
        return scores >= 2

    def winding(self, points: Floats) -> Floats:
        """(n,) sum of the triangles' solid angles over 4 pi, in float64 (A. van Oosterom and J. Strackee, 1983)."""
        out = np.zeros(len(points))
        for number, point in enumerate(points):
            a, b, c = (self.vertices[self.faces[:, k]] - point for k in range(3))
            la, lb, lc = (np.sqrt((each * each).sum(1)) for each in (a, b, c))
            above = (a * np.cross(b, c)).sum(1)
            below = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
            out[number] = np.arctan2(above, below).sum() / (2 * np.pi)
        return out


def pixel_rays(record: Any, at: Floats | None = None, name: str = "world_from_camera") -> tuple[Floats, Floats, Floats]:
    """Origins, unit directions, and places (n, 2) in the picture, of pixel centres row by row or of given places."""
    matrix, pose = record["intrinsics"], record[name]
    size = record["mask"].shape[0]
    if at is None:
        at = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2) + 0.5
    x, y = (at[:, 0] - matrix[0, 2]) / matrix[0, 0], (at[:, 1] - matrix[1, 2]) / matrix[1, 1]
    if record.options["camera"] == "perspective":
        away = np.stack([x, y, np.ones_like(x)], 1)
        away = away / np.linalg.norm(away, axis=1, keepdims=True) @ pose[:3, :3].T
        return np.broadcast_to(pose[:3, 3], away.shape), away, at
    origins = np.stack([x, y, np.zeros_like(x)], 1) @ pose[:3, :3].T + pose[:3, 3]
    return origins, np.broadcast_to(pose[:3, 2], origins.shape), at


def unprojected(record: Any, depth: NDArray[Any], mask: NDArray[np.bool_], name: str = "world_from_camera") -> Floats:
    """(n, 3) world places of stored depths: camera z = depth + the camera's distance from the origin."""
    pose = record[name]
    origins, away, _ = (each[mask.reshape(-1)] for each in pixel_rays(record, name=name))
    z = depth[mask].astype(np.float64) + np.linalg.norm(pose[:3, 3])
    return origins + away * (z / (away @ pose[:3, 2]))[:, None]


def looked_up(scan: RawScan, face: NDArray[Any], bary: Floats) -> Floats:
    """(n, 3) colours of the full texture, between its pixels, v up."""
    place = np.einsum("nk,nki->ni", bary, scan.uv[scan.face_uv[face]])
    height, width = scan.texture.shape[:2]
    x = np.clip(place[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - place[:, 1]) * height - 0.5, 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = (x - left)[:, None], (y - top)[:, None]
    picture = scan.texture.astype(np.float64)
    upper = picture[top, left] * (1 - u) + picture[top, right] * u
    return upper * (1 - v) + (picture[low, left] * (1 - u) + picture[low, right] * u) * v


def parts_of(raw: Path) -> NDArray[np.int64]:
    """(V,) number of each vertex's part among SMPL's 24, fingers with their hands, jaw and eyes with the head."""
    with np.load(raw / "body_models" / "smplx" / "SMPLX_MALE.npz") as file:
        weights = file["weights"]
    names = [*JOINTS[:22], "left_hand", "right_hand"]
    own = []
    for joint in JOINTS:
        side, _, rest = joint.partition("_")
        own.append("head" if joint == "jaw" or rest == "eye" else f"{side}_hand" if rest[:-1] in FINGERS else joint)
    return np.stack([weights[:, [k for k, part in enumerate(own) if part == name]].sum(1) for name in names]).argmax(0)


def degrees_between(one: NDArray[Any], other: NDArray[Any]) -> Floats:
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    across = np.linalg.norm(np.cross(one, other), axis=-1)
    return np.degrees(np.arctan2(across, (one * other).sum(-1)))
