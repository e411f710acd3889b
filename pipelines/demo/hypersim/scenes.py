"""The four demo scenes and the two scales at which they are made."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import bedroom, dining_room, living_room, study
from .bake import Quality
from .cameras import SKEWED, STANDARD, STRONG_TILT, TILT_SHIFT, Camera
from .shell import Room


@dataclass(frozen=True)
class Scene:
    """One demo scene: `ai_9VV_NNN` name (no published volume lies above 055), room, camera, metres per unit, split."""

    name: str
    build: Callable[[np.random.Generator], Room]
    camera: Camera
    unit: float
    split: str


@dataclass(frozen=True)
class Scale:
    """Frames of each camera, image rows and columns, effort of the lighting."""

    frames: int
    size: tuple[int, int]
    quality: Quality


SCENES = (
    Scene("ai_900_001", living_room.build, STANDARD, 0.01, "train"),
    Scene("ai_900_002", bedroom.build, TILT_SHIFT, 0.0254, "train"),
    Scene("ai_900_003", dining_room.build, SKEWED, 0.001, "val"),
    Scene("ai_900_004", study.build, STRONG_TILT, 1.0, "test"),
)
CAMERAS = ("cam_00", "cam_01")
SCALES = {
    "small": Scale(3, (192, 256), Quality(0.06, 0.30, 24, 1.0, 0.25)),
    "full": Scale(12, (768, 1024), Quality(0.02, 0.09, 64, 1.5, 1.0)),
}
