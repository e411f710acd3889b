"""Modalities of a scene's frames: read from their files, checked, brought to the stored size and camera."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ....datasets.camera import pixel_rays
from ....datasets.errors import RawDataError
from ...labels.normals import Normals, clean_normals
from ...labels.resample import area_average, nearest, resample_distance, resample_intrinsic
from ...labels.tone import LuminanceHistogram, sanitise, tone_scale
from ...rawfiles import RawFiles
from ...recipe import Unit
from ..hdf5 import decode_hdf5
from .cameras import decompose, raw_to_opencv, scale_intrinsics, world_from_camera
from .frame import View
from .layout import MODALITIES, frame_file
from .metadata import parse_scene_csv

INTRINSIC = ("diffuse_reflectance", "diffuse_illumination", "residual")
ORTHONORMAL = 1e-4
POSE_BYTES = 64 << 20  # of the pose arrays of a camera, whose length is free
SCALE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Light:
    """A frame's colour after the first pass; `hdr` is None where the file is missing, or `again` has to read it."""

    hdr: NDArray[np.float16] | None
    again: bool
    nonfinite: int
    scale: float


class Modalities:
    """Reads single modalities of the frames of one scene.

    Every method leaves in `at` the path that it read last, for the message of a reject.

    Args:
        unit: the scene, as planned by plan.py.
        files: its raw files.
        view: size and modalities.

    Raises:
        RawDataError: the scene's metadata or lens cannot be.
    """

    def __init__(self, unit: Unit, files: RawFiles, view: View) -> None:
        self.files, self.view = files, view
        plan = unit.payload
        self.folder = str(plan["folder"])
        self.raw_size = int(plan["height"]), int(plan["width"])
        self.cam_from_uv = np.array(plan["cam_from_uv"], np.float64)
        raw_intrinsics, self.tilt = decompose(self.cam_from_uv, self.raw_size[1], self.raw_size[0])
        self.intrinsics = scale_intrinsics(raw_intrinsics, self.raw_size, view.size)
        self.raw_rays_z = pixel_rays(raw_intrinsics, *self.raw_size)[..., 2].astype(np.float32)
        self.rays = pixel_rays(self.intrinsics, *view.size)
        self.metres_per_unit = self._metres_per_unit(float(plan["metres_per_unit"]))
        self.at = ""
        self._entity_files: dict[str, bytes] = {}  # entity files between the two passes
        self._last_ids: tuple[str, NDArray | None] = ("", None)

    def forget(self) -> None:
        """Drop what was kept for a second pass."""
        self._entity_files.clear()

    def _metres_per_unit(self, from_table: float) -> float:
        """The scene's own scale; the camera table's, rounded to float32, where the scene has no metadata_scene.csv."""
        path = f"{self.folder}/_detail/metadata_scene.csv"
        try:
            scale = parse_scene_csv(self.files.read(path), path)
        except FileNotFoundError:
            return from_table
        if abs(scale - from_table) > SCALE_TOLERANCE * scale:
            raise RawDataError(f"{path}: {scale} metres per unit, metadata_camera_parameters.csv says {from_table}")
        return scale

    def poses(self, camera: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Raw orientations (N, 3, 3) and positions (N, 3) of a camera, float64.

        Raises:
            RawDataError, FileNotFoundError: as said.
        """
        folder = PurePosixPath(self.folder) / "_detail" / camera
        arrays = []
        for name, shape in (("orientations", (None, 3, 3)), ("positions", (None, 3))):
            self.at = str(folder / f"camera_keyframe_{name}.hdf5")
            data = self.files.read(self.at)
            arrays.append(decode_hdf5(data, source=self.at, shapes=[shape], dtypes=["float64"], most=POSE_BYTES))
        return arrays[0], arrays[1]

    def pose(
        self, rotations: NDArray[np.float64], positions: NDArray[np.float64], camera: str, frame: int
    ) -> NDArray[np.float64]:
        """(4, 4) float64 pose of a frame, metres, by its number: withheld frames leave no gap in the pose arrays.

        Raises:
            RawDataError: there is none, or it is no pose.
        """
        self.at = f"{self.folder}/_detail/{camera}/camera_keyframe_orientations.hdf5"
        if frame >= min(len(rotations), len(positions)):
            raise RawDataError(f"{self.at}: {len(rotations)} poses, none for frame {frame}")
        rotation, position = rotations[frame], positions[frame]
        if not (np.isfinite(rotation).all() and np.isfinite(position).all()):
            raise RawDataError(f"{self.at}: the pose of frame {frame} is not finite")
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        if error > ORTHONORMAL or np.linalg.det(rotation) < 0:
            raise RawDataError(f"{self.at}: the orientation of frame {frame} is no rotation (error {error:.1g})")
        return world_from_camera(rotation, position, self.metres_per_unit, self.tilt)

    def _array(self, camera: str, frame: int, modality: str) -> NDArray | None:
        """A modality at the raw size; None where its file is missing."""
        kind = MODALITIES[modality]
        self.at = frame_file(self.folder, camera, frame, modality)
        try:
            data = self.files.read(self.at)
        except FileNotFoundError:
            return None
        shape = (*self.raw_size, kind.channels) if kind.channels else self.raw_size
        with self.files.stages("inflate"):
            return decode_hdf5(data, source=self.at, shapes=[shape], dtypes=kind.dtypes)

    def entities(self, camera: str, frame: int) -> NDArray[np.int16] | None:
        """Entity ids at the raw size; the file is read once for both passes, and inflated once in each."""
        self.at = path = frame_file(self.folder, camera, frame, "render_entity_id")
        if self._last_ids[0] != path:
            try:
                data = self._entity_files.pop(path, None) or self._entity_files.setdefault(path, self.files.read(path))
            except FileNotFoundError:
                return None
            with self.files.stages("inflate"):
                ids = decode_hdf5(data, source=path, shapes=[self.raw_size], dtypes=["int16"])
            self._last_ids = path, ids
        return self._last_ids[1]

    def light(self, camera: str, frame: int, keep: bool) -> tuple[Light, LuminanceHistogram]:
        """Colour of a frame, and its luminances.

        Raises:
            RawDataError: a file cannot be used.
        """
        raw = self._array(camera, frame, "color") if self.view.colour else None
        if raw is None:
            return Light(None, False, 0, 1.0), LuminanceHistogram()
        ids = self.entities(camera, frame)
        with self.files.stages("resample"):
            colour, nonfinite = sanitise(raw)
            valid = np.ones(self.raw_size, np.bool_) if ids is None else ids != -1
            own = LuminanceHistogram()
            own.add(colour, valid)
        self.at = frame_file(self.folder, camera, frame, "color")
        self._check_constant(own.counts, "luminance")
        hdr = self._shrink(colour) if keep else None
        return Light(hdr, not keep, nonfinite, tone_scale(own.percentile(90))), own

    def _shrink(self, colour: NDArray[np.float32]) -> NDArray[np.float16]:
        with self.files.stages("resample"):
            return area_average(colour, self.view.size).astype(np.float16)

    def hdr(self, camera: str, frame: int, light: Light) -> NDArray[np.float16] | None:
        """(h, w, 3) float16 linear radiance: what the first pass kept, or read again; None where there is no file."""
        if not light.again:
            return light.hdr
        raw = self._array(camera, frame, "color")
        return None if raw is None else self._shrink(sanitise(raw)[0])

    def _check_constant(self, counts: NDArray[np.int64], what: str) -> None:
        """Refuse a frame much of which is one value: the sign of a failed rendering."""
        share = counts.max() / (self.raw_size[0] * self.raw_size[1])
        if share > self.view.max_constant:
            raise RawDataError(f"{self.at}: one {what} fills {share:.0%} of the frame (--max-constant)")

    def distance(self, camera: str, frame: int) -> NDArray[np.float16] | None:
        """(h, w) float16 Euclidean metres, NaN where not measured; None where there is no file.

        Raises:
            RawDataError: a file cannot be used.
        """
        ids = self.entities(camera, frame)
        raw = self._array(camera, frame, "depth_meters")
        if raw is None:
            return None
        with self.files.stages("resample"):
            bad = ~(raw > 0) | np.isinf(raw)
            if ids is not None:
                bad |= ids == -1
            counts = np.bincount(raw[~bad].view(np.uint16), minlength=1)
            raw = np.where(bad, np.float32(np.nan), raw.astype(np.float32))
            resampled = resample_distance(raw, self.raw_rays_z, self.rays[..., 2], ids, self.view.size)
        self._check_constant(counts, "distance")
        return resampled.astype(np.float16)

    def normals(self, camera: str, frame: int, kind: str, pose: NDArray[np.float64]) -> Normals | None:
        """Clean normals in the stored camera's frame; `kind` is "normal" or "normal_bump"; None without a file.

        Raises:
            RawDataError: a file cannot be used.
        """
        ids = self.entities(camera, frame)
        raw = self._array(camera, frame, f"{kind}_cam")
        in_world = raw is None
        if raw is None:
            raw = self._array(camera, frame, f"{kind}_world")
        if raw is None:
            return None
        with self.files.stages("resample"):
            vectors = nearest(raw, self.view.size).astype(np.float32)
            matrix = pose[:3, :3].T if in_world else raw_to_opencv(np.eye(3), self.tilt).T
            vectors = vectors @ matrix.T.astype(np.float32)
            if ids is not None:
                vectors[nearest(ids, self.view.size) == -1] = np.nan
            return clean_normals(vectors, self.rays)

    def intrinsic(self, camera: str, frame: int) -> tuple[NDArray[np.float32], ...] | None:
        """Albedo, illumination, residual (h, w, 3) float32; None where a file is missing.

        Raises:
            RawDataError: a file cannot be used.
        """
        raw = [self._array(camera, frame, name) for name in INTRINSIC]
        with self.files.stages("resample"):
            known = [sanitise(array)[0] for array in raw if array is not None]
            if len(known) < len(raw):
                return None
            albedo, illumination, residual = known
            return resample_intrinsic(albedo, illumination, residual, self.view.size)

    def ids(self, camera: str, frame: int, modality: str, dtype: type[np.integer]) -> NDArray | None:
        """(h, w) semantic or instance ids; None where there is no file.

        Raises:
            RawDataError: a file cannot be used.
        """
        raw = self._array(camera, frame, modality)
        return None if raw is None else nearest(raw, self.view.size).astype(dtype)
