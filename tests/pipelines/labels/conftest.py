"""Real Hypersim samples beside the checkout, read without any code of the package."""

import csv
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

SHARED = Path(__file__).resolve().parents[3] / ".." / "shared" / "data"
HYPERSIM = SHARED / "hypersim" / "apple_ml-hypersim"
MARKETPLACE = HYPERSIM / "examples/01_marketplace_dataset/scenes/ai_001_001/images"


@dataclass(frozen=True)
class RealFrame:
    """ai_037_002, cam_00, frame 0: Euclidean distance, rays and points in the raw OpenGL camera and the world."""

    distance: np.ndarray
    rays_opengl: np.ndarray
    points: np.ndarray

    @property
    def rays(self) -> np.ndarray:
        """OpenCV axes; the scene's 0.5 degree tilt is kept in the rays."""
        return self.rays_opengl * (1, -1, -1)


def raw_rays(scene: str, height: int, width: int) -> np.ndarray:
    """Unit rays in the raw OpenGL camera from the published M_cam_from_uv."""
    table = HYPERSIM / "contrib/mikeroberts3000/metadata_camera_parameters.csv"
    if not table.exists():
        pytest.skip(f"no Hypersim camera table at {table}")
    with table.open() as file:
        row = next(row for row in csv.DictReader(file) if row["scene_name"] == scene)
    matrix = np.array([[float(row[f"M_cam_from_uv_{i}{j}"]) for j in range(3)] for i in range(3)])
    u = -1 + (2 * np.arange(width) + 1) / width
    v = 1 - (2 * np.arange(height) + 1) / height
    rays = np.stack([*np.meshgrid(u, v), np.ones((height, width))], axis=-1) @ matrix.T
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


@pytest.fixture(scope="session")
def real_frame() -> RealFrame:
    scene = HYPERSIM / "contrib/mikeroberts3000/jupyter/ai_037_002"
    if not scene.exists():
        pytest.skip(f"no real Hypersim frame at {scene}")

    def read(path: str) -> np.ndarray:
        with h5py.File(scene / path) as file:
            return file["dataset"][:]

    distance = read("images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5").astype(np.float64)
    rotation = read("_detail/cam_00/camera_keyframe_orientations.hdf5")[0]
    position = read("_detail/cam_00/camera_keyframe_positions.hdf5")[0]
    rays = raw_rays("ai_037_002", *distance.shape)
    points = (distance[..., None] * rays) @ rotation.T + 0.009999999776482582 * position
    return RealFrame(distance, rays, points.reshape(-1, 3))


@pytest.fixture(scope="session")
def previews() -> dict[str, np.ndarray]:
    """The published 8-bit pictures of ai_001_001, cam_00, frame 0, as float32 in [0, 1]."""
    folder = MARKETPLACE / "scene_cam_00_final_preview"
    if not folder.exists():
        pytest.skip(f"no real Hypersim previews at {folder}")
    return {
        path.name.split(".")[2]: np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
        for path in folder.glob("_frame.0000.*.jpg")
    }


@pytest.fixture(scope="session")
def real_normals() -> tuple[np.ndarray, np.ndarray]:
    """Normals of ai_001_001 decoded from the published picture, and the rays, both OpenGL camera."""
    path = MARKETPLACE / "scene_cam_00_geometry_preview/_frame.0000.normal_cam.png"
    if not path.exists():
        pytest.skip(f"no real Hypersim normals at {path}")
    normal = np.asarray(Image.open(path))[..., :3].astype(np.float32) / 255 * 2 - 1
    return normal, raw_rays("ai_001_001", *normal.shape[:2])
