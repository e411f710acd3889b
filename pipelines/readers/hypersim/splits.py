"""Hypersim's own split: which frames are public, and which of train, val and test each scene belongs to."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ....datasets.errors import RawDataError
from ...raw import Raw
from .layout import read_table
from .metadata import CAMERA, SCENE, table_rows

SPLITS = ("train", "val", "test")
COLUMNS = ("scene_name", "camera_name", "frame_id", "included_in_public_release", "split_partition_name")
LAST_FRAME = 9999

Frames = dict[str, dict[str, list[tuple[int, str]]]]


@dataclass(frozen=True)
class SplitTable:
    """Public frames.

    Attributes:
        frames: scene -> camera -> (frame, split) in order of frames; each scene is in one split only.
        withheld: scene -> camera -> number of frames that were not released.
    """

    frames: Frames
    withheld: dict[str, dict[str, int]]

    def counts(self) -> dict[str, int]:
        """Public frames of each split."""
        counter = Counter(split for cameras in self.frames.values() for list_ in cameras.values() for _, split in list_)
        return {split: counter[split] for split in SPLITS}

    def trajectories(self) -> int:
        """Cameras with public frames, over all scenes."""
        return sum(map(len, self.frames.values()))

    def select(
        self,
        scenes: Collection[str] = ("*",),
        cameras: Collection[str] = ("*",),
        splits: Collection[str] = SPLITS,
    ) -> "SplitTable":
        """The part whose scene and camera match one of the patterns (`ai_001_*`) and whose split is one of `splits`."""
        frames: Frames = {}
        for scene, of_scene in self.frames.items():
            if not _matches(scene, scenes):
                continue
            for camera, listed in of_scene.items():
                if _matches(camera, cameras) and listed[0][1] in splits:
                    frames.setdefault(scene, {})[camera] = listed
        withheld = {
            scene: {camera: count for camera, count in of_scene.items() if _matches(camera, cameras)}
            for scene, of_scene in self.withheld.items()
            if _matches(scene, scenes)
        }
        return SplitTable(frames, withheld)


def load_splits(path: Path | Raw) -> SplitTable:
    """The table of metadata_images_split_scene_v1.csv.

    Raises:
        RawDataError: the file cannot be read, a column is missing, or a line is wrong: a name, a frame number, a
            truth value, an unknown split of a public frame, a frame twice, or a scene in two splits (then frames of
            one room would be trained on and tested on).
    """
    frames: dict[str, dict[str, dict[int, str]]] = {}
    withheld: dict[str, dict[str, set[int]]] = {}
    split_of: dict[str, str] = {}
    for line, (scene, camera, number, public, split) in table_rows(read_table(path), str(path), COLUMNS):
        place = f"{path}: line {line}"
        frame = _frame(scene, camera, number, place)
        shown, hidden = frames.setdefault(scene, {}), withheld.setdefault(scene, {})
        if frame in shown.get(camera, ()) or frame in hidden.get(camera, ()):
            raise RawDataError(f"{place}: {scene}/{camera}/{frame} is listed twice; remove one line")
        if public == "False":
            hidden.setdefault(camera, set()).add(frame)
            continue
        if public != "True" or split not in SPLITS:
            wrong = f"split {split!r}" if public == "True" else f"included_in_public_release {public!r}"
            raise RawDataError(f"{place}: unknown {wrong}; truncated or edited? fetch the file again")
        if split_of.setdefault(scene, split) != split:
            raise RawDataError(f"{place}: {scene} is in {split_of[scene]} and {split}; a scene must be in one split")
        shown.setdefault(camera, {})[frame] = split
    return SplitTable(
        {
            scene: {cam: sorted(shown[cam].items()) for cam in sorted(shown)}
            for scene, shown in sorted(frames.items())
            if shown
        },
        {
            scene: {cam: len(hidden[cam]) for cam in sorted(hidden)}
            for scene, hidden in sorted(withheld.items())
            if hidden
        },
    )


def _frame(scene: str, camera: str, number: str, place: str) -> int:
    """The frame number of a line, once its names are checked: they become paths."""
    for name, pattern, form in ((scene, SCENE, "ai_VVV_NNN"), (camera, CAMERA, "cam_NN")):
        if not pattern.fullmatch(name):
            raise RawDataError(f"{place}: {name!r} is not of the form {form}; fetch the file again")
    if not (number.isascii() and number.isdigit() and int(number) <= LAST_FRAME):
        raise RawDataError(f"{place}: {number!r} is no frame number; fetch the file again")
    return int(number)


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
