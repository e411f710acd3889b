"""A scene of raw data, read and fused, with what its fusion was given: the material of the comparison."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.stages import Stages
from ...pipelines.discover import load_recipe
from ...pipelines.labels.hypersim_scene import scene_parts
from ...pipelines.labels.normals import Normals
from ...pipelines.labels.scene import Scene, SceneFusion
from ...pipelines.labels.scene_view import SceneView
from ...pipelines.raw import open_raw
from ...pipelines.rawfiles import RawFiles
from ...pipelines.readers.hypersim.frame import Frame, View
from ...pipelines.readers.hypersim.plan import parse_size
from ...pipelines.readers.hypersim.scene import read_scene
from ...pipelines.recipe import Sample


@dataclass(frozen=True)
class Given:
    """What a frame gives to the fusion."""

    view: SceneView
    normals: Normals
    hdr: NDArray[np.float16]


@dataclass(frozen=True)
class Fused:
    """A scene, what it was made of, its frames as the labels get them, and the recipe's options."""

    scene: Scene
    given: list[Given]
    frames: list[Frame]
    options: object


class _Recorder(SceneFusion):
    """A fusion that remembers."""

    given: list[Given]

    def add(self, view: SceneView, normals: Normals | None, hdr: NDArray[np.float16] | None) -> None:
        """Remember a frame, and take it in."""
        if normals is not None and hdr is not None:
            self.given.append(Given(view, normals, hdr))
        super().add(view, normals, hdr)


def fuse(raw: Path, name: str, size: str) -> Fused:
    """Read one scene of RAW as the recipe does.

    Args:
        raw: raw data.
        name: the scene.
        size: height x width of the records.
    """
    recipe = load_recipe("hypersim")
    options = recipe.options(size=size, scenes=name)  # type: ignore[call-arg]
    (unit,) = recipe.plan(open_raw(raw), options).units
    parts = scene_parts({"scene", "neighbours"}, 10.24, 7)
    fusion = _Recorder(parts, 0, Stages())
    fusion.given = []
    samples = [x for x in read_scene(unit, RawFiles(raw), View(parse_size(size)), fusion) if isinstance(x, Sample)]
    frames = [x.data for x in samples if x.table == "frames"]
    scene = frames[0].scene
    assert scene is not None
    return Fused(scene, fusion.given, frames, options)
