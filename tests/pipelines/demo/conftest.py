"""Demo raw data, made once for all tests, and a plain reader of it that shares no code with the generator."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tessera.pipelines.demo.hypersim import generate

FINAL = ("color", "diffuse_illumination", "diffuse_reflectance", "residual")


@dataclass(frozen=True)
class View:
    """One rendered frame: images by name on demand, camera numbers in the raw convention."""

    root: Path
    scene: str
    camera: str
    frame: int
    unit: float
    cam_from_uv: np.ndarray
    position: np.ndarray
    turn: np.ndarray

    def path(self, name: str) -> Path:
        render_pass = "final" if name in FINAL else "geometry"
        folder = self.root / self.scene / "images" / f"scene_{self.camera}_{render_pass}_hdf5"
        return folder / f"frame.{self.frame:04d}.{name}.hdf5"

    def stored(self, name: str) -> np.ndarray:
        with h5py.File(self.path(name)) as file:
            return file["dataset"][:]

    def __getitem__(self, name: str) -> np.ndarray:
        values = self.stored(name)
        return values.astype(np.float64) if values.dtype == np.float16 else values

    def rays(self) -> np.ndarray:
        """Unit camera-space rays, pixel by pixel from the written-out formula."""
        height, width = self.stored("render_entity_id").shape
        i, j = np.meshgrid(np.arange(width), np.arange(height))
        uv1 = np.stack([-1 + (2 * i + 1) / width, 1 - (2 * j + 1) / height, np.ones((height, width))], axis=-1)
        ray = np.einsum("ab,ijb->ija", self.cam_from_uv, uv1)
        return ray / np.linalg.norm(ray, axis=-1, keepdims=True)

    def points(self) -> np.ndarray:
        """World points in metres from distance and rays; NaN for background."""
        return (self["depth_meters"][..., None] * self.rays()) @ self.turn.T + self.unit * self.position


@dataclass(frozen=True)
class Raw:
    """A raw folder."""

    root: Path

    def rows(self, name: str) -> list[dict[str, str]]:
        with (self.root / name).open(newline="") as file:
            return list(csv.DictReader(file))

    def detail(self, scene: str, name: str) -> np.ndarray:
        with h5py.File(self.root / scene / "_detail" / name) as file:
            return file["dataset"][:]

    def matrix(self, scene: str, name: str, size: int) -> np.ndarray:
        row: dict[str, Any] = next(r for r in self.rows("metadata_camera_parameters.csv") if r["scene_name"] == scene)
        return np.array([[float(row[f"{name}_{i}{j}"]) for j in range(size)] for i in range(size)])

    def scenes(self) -> list[str]:
        return sorted(p.name for p in self.root.glob("ai_*"))

    def views(self) -> Iterator[View]:
        for row in self.rows("metadata_images_split_scene_v1.csv"):
            scene, camera, frame = row["scene_name"], row["camera_name"], int(row["frame_id"])
            if row["included_in_public_release"] != "True":
                continue
            table = self.rows(f"{scene}/_detail/metadata_scene.csv")
            unit = {r["parameter_name"]: float(r["parameter_value"]) for r in table}["meters_per_asset_unit"]
            pose = [
                self.detail(scene, f"{camera}/camera_keyframe_{k}.hdf5")[frame] for k in ("positions", "orientations")
            ]
            yield View(self.root, scene, camera, frame, unit, self.matrix(scene, "M_cam_from_uv", 3), *pose)


@pytest.fixture(scope="session")
def raw(once: Callable[[str, Callable[[Path], object]], Path]) -> Raw:
    """Sound demo data, small, made in one process."""
    return Raw(once("demo", lambda root: generate(root, scale="small")))


@pytest.fixture(scope="session")
def faulty(once: Callable[[str, Callable[[Path], object]], Path]) -> Raw:
    """The same with faults, made by two processes."""
    return Raw(once("faulty", lambda root: generate(root, scale="small", faults=True, workers=2)))
