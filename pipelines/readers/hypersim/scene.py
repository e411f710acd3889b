"""Frames of a Hypersim scene, in two passes: what frames share first, then each frame."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import RawDataError
from ...labels.scene import Scene, SceneFusion
from ...labels.scene_view import SceneView
from ...labels.tone import LuminanceHistogram, tone_scale
from ...rawfiles import RawFiles
from ...recipe import Reject, Sample, Unit
from .frame import Frame, View
from .modalities import Light, Modalities

KEPT_BYTES = 256 << 20


@dataclass(frozen=True)
class _Look:
    """What the first pass found of a frame; `distance` only where the scene is fused."""

    camera: str
    frame: int
    pose: NDArray[np.float64]
    light: Light
    distance: NDArray[np.float16] | None = None
    exposure: float = 1.0


class SceneReader:
    """Reads the frames of one scene.

    The first pass gathers what frames share: the exposure of a trajectory and, with a fusion, the scene's geometry and
    light. Without one it goes trajectory by trajectory. Pictures of the first pass are kept up to KEPT_BYTES, the rest
    is read again; distances are all kept where they are fused (0.4 MB a frame of 384x512).

    Args:
        unit: the scene, as planned by plan.py.
        files: its raw files.
        view: size and modalities.
        fusion: takes in every frame of the first pass that has a distance.
    """

    def __init__(self, unit: Unit, files: RawFiles, view: View, fusion: SceneFusion | None) -> None:
        self.unit, self.view, self.fusion = unit, view, fusion
        self.read = Modalities(unit, files, view)

    def __iter__(self) -> Iterator[Sample | Reject]:
        """A sample or a reject for each planned record."""
        cameras: dict[str, dict[str, int]] = {}
        for key, place in self.unit.records.items():
            cameras.setdefault(place["camera"], {})[key] = place["frame"]
        for scope in [cameras] if self.fusion else [{camera: frames} for camera, frames in cameras.items()]:
            self.read.forget()
            looks: dict[str, _Look] = {}
            for camera, frames in scope.items():
                looks |= yield from self._trajectory(camera, frames, len(looks))
            scene = self.fusion.finish() if self.fusion and looks else None
            if scene:
                yield from (Sample(key, scene, "scenes") for key in self.unit.summaries)
            refused: list[Reject] = []  # told after a sample: until one is given, a reject means that it was not fused
            for key in list(looks):
                look = looks.pop(key)
                try:
                    data = self._frame(key, look, scene)
                except RawDataError as error:
                    refused.append(self._reject(key, error))
                    continue
                scalars = {"scene": self.unit.name, "camera": look.camera, "frame": look.frame}
                yield Sample(key, data, "frames", scalars)
                yield from refused
                refused.clear()
            yield from refused

    def _trajectory(
        self, camera: str, frames: Mapping[str, int], before: int
    ) -> Generator[Reject, None, dict[str, _Look]]:
        """First pass over a camera's frames, for their common exposure, too; `before`: looks that are kept already."""
        try:
            rotations, positions = self.read.poses(camera)
        except (RawDataError, FileNotFoundError) as error:
            yield from (self._reject(key, error) for key in frames)
            return {}
        histogram, looks = LuminanceHistogram(), {}
        room = KEPT_BYTES // (self.view.size[0] * self.view.size[1] * 6) - before
        for number, (key, frame) in enumerate(frames.items()):
            try:
                light, luminances = self.read.light(camera, frame, self.fusion is not None or number < room)
                pose = self.read.pose(rotations, positions, camera, frame)
                distance = self._fuse(key, camera, frame, pose, light) if self.fusion else None
            except RawDataError as error:
                yield self._reject(key, error)
                continue
            if number >= room and light.hdr is not None:
                light = replace(light, hdr=None, again=True)
            histogram.merge(luminances)
            looks[key] = _Look(camera, frame, pose, light, distance)
        exposure = tone_scale(histogram.percentile(90))
        return {key: replace(look, exposure=exposure) for key, look in looks.items()}

    def _fuse(
        self, key: str, camera: str, frame: int, pose: NDArray[np.float64], light: Light
    ) -> NDArray[np.float16] | None:
        """Hand a frame to the fusion; returns its distance."""
        assert self.fusion
        distance = self.read.distance(camera, frame)
        if distance is None or np.isnan(distance).all():
            return distance
        normals = self.read.normals(camera, frame, "normal", pose) if self.fusion.wants_normals else None
        self.fusion.add(SceneView(key, self.read.intrinsics, pose, distance), normals, light.hdr)
        return distance

    def _reject(self, key: str, error: Exception) -> Reject:
        text = f"{error}: no such file" if isinstance(error, FileNotFoundError) else str(error)
        return Reject(self.unit.name, key, self.read.at, "read", text)

    def _frame(self, key: str, look: _Look, scene: Scene | None) -> Frame:
        read, view, at = self.read, self.view, (look.camera, look.frame)
        distance = look.distance
        if distance is None and view.distance and self.fusion is None:
            distance = read.distance(*at)
        hdr = read.hdr(*at, look.light)
        if distance is None and hdr is None and (view.distance or view.colour):
            raise RawDataError(f"{read.at}: neither colour nor depth of frame {look.frame} is there")
        normals = read.normals(*at, view.normals, look.pose) if view.normals else None
        surface = normals if view.normals == "normal" else None
        if self.fusion and self.fusion.wants_normals and surface is None:
            surface = read.normals(*at, "normal", look.pose)
        return Frame(
            key=key, intrinsics=read.intrinsics, world_from_camera=look.pose, cam_from_uv=read.cam_from_uv,
            size=view.size, hdr=hdr, nonfinite=look.light.nonfinite, tone_scale=look.exposure,
            frame_tone_scale=look.light.scale, distance=distance, normals=normals,
            intrinsic=read.intrinsic(*at) if view.intrinsic else None,
            semantic=read.ids(*at, "semantic", np.int8) if view.semantic else None,
            instance=read.ids(*at, "semantic_instance", np.int16) if view.semantic else None,
            surface_normals=surface, scene=scene,
        )  # fmt: skip


def read_scene(unit: Unit, files: RawFiles, view: View, fusion: SceneFusion | None = None) -> Iterator[Sample | Reject]:
    """Samples and rejects of one scene (see SceneReader)."""
    yield from SceneReader(unit, files, view, fusion)
