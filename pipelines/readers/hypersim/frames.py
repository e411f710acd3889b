"""Frames of a Hypersim scene at the size and in the camera that are stored, trajectory by trajectory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ....datasets.camera import pixel_rays
from ....datasets.errors import RawDataError
from ...labels.normals import Normals, clean_normals
from ...labels.resample import area_average, nearest, resample_distance, resample_intrinsic
from ...labels.tone import LuminanceHistogram, sanitise, tone_scale
from ...rawfiles import RawFiles
from ...recipe import Reject, Sample, Unit
from ..hdf5 import decode_hdf5
from .cameras import decompose, raw_to_opencv, scale_intrinsics, world_from_camera
from .layout import MODALITIES, frame_file
from .metadata import parse_scene_csv

INTRINSIC = ("diffuse_reflectance", "diffuse_illumination", "residual")
ORTHONORMAL = 1e-4
KEPT_BYTES = 256 << 20
SCALE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class View:
    """What a reader does with frames: their size, which modalities, and the constancy check."""

    size: tuple[int, int]
    colour: bool = True
    distance: bool = True
    normals: str | None = "normal"
    intrinsic: bool = False
    semantic: bool = False
    max_constant: float = 0.3


@dataclass(frozen=True)
class Frame:
    """One frame, ready for the labels; arrays of (h, w) at the output size, None where the raw file is missing.

    Attributes:
        intrinsics: (3, 3) float64 pixels, corner origin, of the output size.
        world_from_camera: (4, 4) float64 metres, OpenCV camera axes.
        cam_from_uv: (3, 3) float64, the raw camera matrix, independent of the size.
        hdr: (h, w, 3) float16 linear radiance, finite.
        nonfinite: number of raw colour values that were infinite or NaN.
        tone_scale: exposure of the whole trajectory.
        frame_tone_scale: exposure of this frame alone.
        distance: (h, w) float16 Euclidean metres, NaN where not measured.
        normals: cleaned normals in the stored camera's frame.
        intrinsic: albedo, illumination, residual, each (h, w, 3) float32.
        semantic: (h, w) int8, NYU40 class, -1 unknown.
        instance: (h, w) int16, -1 unknown.
    """

    intrinsics: NDArray[np.float64]
    world_from_camera: NDArray[np.float64]
    cam_from_uv: NDArray[np.float64]
    size: tuple[int, int]
    hdr: NDArray[np.float16] | None
    nonfinite: int
    tone_scale: float
    frame_tone_scale: float
    distance: NDArray[np.float16] | None
    normals: Normals | None
    intrinsic: tuple[NDArray[np.float32], ...] | None
    semantic: NDArray[np.int8] | None
    instance: NDArray[np.int16] | None

    @cached_property
    def rays(self) -> NDArray[np.float64]:
        """(h, w, 3) unit viewing rays in the stored camera's frame."""
        return pixel_rays(self.intrinsics, *self.size)

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """(h, w) where distance was measured."""
        return np.zeros(self.size, np.bool_) if self.distance is None else ~np.isnan(self.distance)


@dataclass(frozen=True)
class _Light:
    """A frame's colour after the first pass; `hdr` is None where the file is missing, or `again` has to read it."""

    hdr: NDArray[np.float16] | None
    again: bool
    nonfinite: int
    scale: float


class SceneReader:
    """Reads the frames of one scene.

    Args:
        unit: the scene, as planned by plan.py.
        files: its raw files.
        view: size and modalities.
    """

    def __init__(self, unit: Unit, files: RawFiles, view: View) -> None:
        self.unit, self.files, self.view = unit, files, view
        plan = unit.payload
        self.folder = str(plan["folder"])
        self.raw_size = int(plan["height"]), int(plan["width"])
        self.cam_from_uv = np.array(plan["cam_from_uv"], np.float64)
        raw_intrinsics, self.tilt = decompose(self.cam_from_uv, self.raw_size[1], self.raw_size[0])
        self.intrinsics = scale_intrinsics(raw_intrinsics, self.raw_size, view.size)
        self.raw_rays_z = pixel_rays(raw_intrinsics, *self.raw_size)[..., 2].astype(np.float32)
        self.rays = pixel_rays(self.intrinsics, *view.size)
        self.metres_per_unit = self._metres_per_unit(float(plan["metres_per_unit"]))
        self._at = ""
        self._entity_files: dict[str, bytes] = {}  # entity files between the two passes of a trajectory

    def __iter__(self) -> Iterator[Sample | Reject]:
        """A sample or a reject for each planned record, trajectory by trajectory."""
        cameras: dict[str, dict[str, int]] = {}
        for key, place in self.unit.records.items():
            cameras.setdefault(place["camera"], {})[key] = place["frame"]
        for camera, frames in cameras.items():
            yield from self._trajectory(camera, frames)

    def _trajectory(self, camera: str, frames: Mapping[str, int]) -> Iterator[Sample | Reject]:
        """Light of all frames first, for their common exposure; then each frame.

        Pictures of the first pass are kept up to KEPT_BYTES, the rest is read again, so that memory is bounded.
        """
        try:
            rotations, positions = self._poses(camera)
        except (RawDataError, FileNotFoundError) as error:
            yield from (self._reject(key, error) for key in frames)
            return
        self._entity_files.clear()
        histogram, lights, lost = LuminanceHistogram(), {}, {}
        room = KEPT_BYTES // (self.view.size[0] * self.view.size[1] * 6)
        for number, (key, frame) in enumerate(frames.items()):
            try:
                lights[key] = self._light(camera, frame, histogram, number < room)
            except RawDataError as error:
                lost[key] = self._reject(key, error)
        trajectory_scale = tone_scale(histogram.percentile(90))
        for key, frame in frames.items():
            if key in lost:
                yield lost[key]
                continue
            try:
                light = lights.pop(key)
                data = self._frame(
                    camera, frame, self._pose(rotations, positions, camera, frame), light, trajectory_scale
                )
            except RawDataError as error:
                yield self._reject(key, error)
                continue
            scalars = {"scene": self.unit.name, "camera": camera, "frame": frame}
            yield Sample(key, data, "frames", scalars)

    def _reject(self, key: str, error: Exception) -> Reject:
        text = f"{error}: no such file" if isinstance(error, FileNotFoundError) else str(error)
        return Reject(self.unit.name, key, self._at, "read", text)

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

    def _poses(self, camera: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        folder = PurePosixPath(self.folder) / "_detail" / camera
        arrays = []
        for name, shape in (("orientations", (None, 3, 3)), ("positions", (None, 3))):
            self._at = str(folder / f"camera_keyframe_{name}.hdf5")
            data = self.files.read(self._at)
            arrays.append(decode_hdf5(data, source=self._at, shapes=[shape], dtypes=["float64"]))
        return arrays[0], arrays[1]

    def _pose(
        self, rotations: NDArray[np.float64], positions: NDArray[np.float64], camera: str, frame: int
    ) -> NDArray[np.float64]:
        """Pose by frame number: withheld frames leave no gap in the pose arrays."""
        self._at = f"{self.folder}/_detail/{camera}/camera_keyframe_orientations.hdf5"
        if frame >= min(len(rotations), len(positions)):
            raise RawDataError(f"{self._at}: {len(rotations)} poses, none for frame {frame}")
        rotation, position = rotations[frame], positions[frame]
        if not (np.isfinite(rotation).all() and np.isfinite(position).all()):
            raise RawDataError(f"{self._at}: the pose of frame {frame} is not finite")
        error = np.abs(rotation.T @ rotation - np.eye(3)).max()
        if error > ORTHONORMAL or np.linalg.det(rotation) < 0:
            raise RawDataError(f"{self._at}: the orientation of frame {frame} is no rotation (error {error:.1g})")
        return world_from_camera(rotation, position, self.metres_per_unit, self.tilt)

    def _array(self, camera: str, frame: int, modality: str) -> NDArray | None:
        """A modality at the raw size; None where its file is missing."""
        kind = MODALITIES[modality]
        self._at = frame_file(self.folder, camera, frame, modality)
        try:
            data = self.files.read(self._at)
        except FileNotFoundError:
            return None
        shape = (*self.raw_size, kind.channels) if kind.channels else self.raw_size
        with self.files.stages("inflate"):
            return decode_hdf5(data, source=self._at, shapes=[shape], dtypes=kind.dtypes)

    def _entities(self, camera: str, frame: int) -> NDArray | None:
        """Entity ids at the raw size; the file is read once for both passes, and inflated in each."""
        self._at = path = frame_file(self.folder, camera, frame, "render_entity_id")
        try:
            data = self._entity_files.pop(path, None) or self._entity_files.setdefault(path, self.files.read(path))
        except FileNotFoundError:
            return None
        with self.files.stages("inflate"):
            return decode_hdf5(data, source=path, shapes=[self.raw_size], dtypes=["int16"])

    def _light(self, camera: str, frame: int, histogram: LuminanceHistogram, keep: bool) -> _Light:
        """Colour of a frame, and its luminances counted in the histogram once the frame has passed the checks."""
        raw = self._array(camera, frame, "color") if self.view.colour else None
        if raw is None:
            return _Light(None, False, 0, 1.0)
        ids = self._entities(camera, frame)
        with self.files.stages("resample"):
            colour, nonfinite = sanitise(raw)
            valid = np.ones(self.raw_size, np.bool_) if ids is None else ids != -1
            own = LuminanceHistogram()
            own.add(colour, valid)
        self._at = frame_file(self.folder, camera, frame, "color")
        self._check_constant(own.counts, "luminance")
        histogram.merge(own)
        hdr = self._shrink(colour) if keep else None
        return _Light(hdr, not keep, nonfinite, tone_scale(own.percentile(90)))

    def _shrink(self, colour: NDArray[np.float32]) -> NDArray[np.float16]:
        with self.files.stages("resample"):
            return area_average(colour, self.view.size).astype(np.float16)

    def _hdr(self, camera: str, frame: int, light: _Light) -> NDArray[np.float16] | None:
        if not light.again:
            return light.hdr
        raw = self._array(camera, frame, "color")
        return None if raw is None else self._shrink(sanitise(raw)[0])

    def _check_constant(self, counts: NDArray[np.int64], what: str) -> None:
        """Refuse a frame much of which is one value: the sign of a failed rendering."""
        share = counts.max() / (self.raw_size[0] * self.raw_size[1])
        if share > self.view.max_constant:
            raise RawDataError(f"{self._at}: one {what} fills {share:.0%} of the frame (--max-constant)")

    def _frame(
        self, camera: str, frame: int, pose: NDArray[np.float64], light: _Light, trajectory_scale: float
    ) -> Frame:
        ids = self._entities(camera, frame)
        distance = self._distance(camera, frame, ids) if self.view.distance else None
        hdr = self._hdr(camera, frame, light)
        if distance is None and hdr is None and (self.view.distance or self.view.colour):
            raise RawDataError(f"{self._at}: neither colour nor depth of frame {frame} is there")
        return Frame(
            intrinsics=self.intrinsics, world_from_camera=pose, cam_from_uv=self.cam_from_uv, size=self.view.size,
            hdr=hdr, nonfinite=light.nonfinite, tone_scale=trajectory_scale, frame_tone_scale=light.scale,
            distance=distance, normals=self._normals(camera, frame, ids, pose),
            intrinsic=self._intrinsic(camera, frame) if self.view.intrinsic else None,
            semantic=self._ids(camera, frame, "semantic", np.int8),
            instance=self._ids(camera, frame, "semantic_instance", np.int16),
        )  # fmt: skip

    def _distance(self, camera: str, frame: int, ids: NDArray | None) -> NDArray[np.float16] | None:
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

    def _normals(self, camera: str, frame: int, ids: NDArray | None, pose: NDArray[np.float64]) -> Normals | None:
        if self.view.normals is None:
            return None
        raw = self._array(camera, frame, f"{self.view.normals}_cam")
        in_world = raw is None
        if raw is None:
            raw = self._array(camera, frame, f"{self.view.normals}_world")
        if raw is None:
            return None
        with self.files.stages("resample"):
            vectors = nearest(raw, self.view.size).astype(np.float32)
            matrix = pose[:3, :3].T if in_world else raw_to_opencv(np.eye(3), self.tilt).T
            vectors = vectors @ matrix.T.astype(np.float32)
            if ids is not None:
                vectors[nearest(ids, self.view.size) == -1] = np.nan
            return clean_normals(vectors, self.rays)

    def _intrinsic(self, camera: str, frame: int) -> tuple[NDArray[np.float32], ...] | None:
        raw = [self._array(camera, frame, name) for name in INTRINSIC]
        with self.files.stages("resample"):
            known = [sanitise(array)[0] for array in raw if array is not None]
            if len(known) < len(raw):
                return None
            albedo, illumination, residual = known
            return resample_intrinsic(albedo, illumination, residual, self.view.size)

    def _ids(self, camera: str, frame: int, modality: str, dtype: type[np.integer]) -> NDArray | None:
        raw = self._array(camera, frame, modality) if self.view.semantic else None
        return None if raw is None else nearest(raw, self.view.size).astype(dtype)


def read_scene(unit: Unit, files: RawFiles, view: View) -> Iterator[Sample | Reject]:
    """Samples and rejects of one scene (see SceneReader)."""
    yield from SceneReader(unit, files, view)
