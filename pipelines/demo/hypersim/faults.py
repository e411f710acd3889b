"""Deliberate faults for testing readers: the kinds of damage that the published data set shows."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from .arrays import Frame
from .layout import modality_file

WITHHELD = {
    ("ai_900_002", "cam_00"): (1, "CONTENT FLAGGED FOR REMOVAL"),
    ("ai_900_003", "cam_01"): (0, "OUTSIDE VIEWING AREA (BAD INITIALIZATION)"),
}
EMPTY_CAMERA = ("ai_900_001", "cam_02")
NORMALS = ("normal_cam", "normal_world")
PLANNED: dict[tuple[str, str, int], tuple[str, tuple[str, ...]]] = {
    ("ai_900_001", "cam_00", 1): ("back_facing_normals", NORMALS),
    ("ai_900_001", "cam_01", 1): ("zero_normal", NORMALS),
    ("ai_900_002", "cam_00", 2): ("infinite_position", ("position",)),
    ("ai_900_002", "cam_01", 2): ("infinite_colour", ("color",)),
    ("ai_900_003", "cam_00", 2): ("truncated_file", ("depth_meters",)),
    ("ai_900_004", "cam_00", 1): ("nan_normals", NORMALS),
    ("ai_900_004", "cam_00", 2): ("non_unit_normals", NORMALS),
    ("ai_900_004", "cam_01", 2): ("missing_file", ("normal_cam",)),
}
SINGLE = ("zero_normal", "infinite_colour")
WHOLE_FILE = ("truncated_file", "missing_file")


@dataclass(frozen=True)
class Fault:
    """One entry of `faults.json`.

    Attributes:
        kind: what is wrong.
        scene, camera: where.
        frame: number, or None for a whole camera.
        file: path below the raw folder; the file may be absent by intent.
        rows, columns: half-open pixel ranges that are touched, or None for a whole file.
    """

    kind: str
    scene: str
    camera: str
    frame: int | None
    file: str
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None

    def record(self) -> dict[str, object]:
        """The entry as plain JSON types."""
        return asdict(self)


def listed_frames(scene: str, camera: str, count: int, faults: bool) -> tuple[list[int], dict[int, str]]:
    """Frames to render (always `count`) and the withheld ones with their exclude reason; together 0..n without gaps."""
    withheld = WITHHELD.get((scene, camera)) if faults else None
    if withheld is None:
        return list(range(count)), {}
    return [f for f in range(count + 1) if f != withheld[0]], {withheld[0]: withheld[1]}


def table_faults() -> list[Fault]:
    """Faults that live in the metadata tables alone."""
    table = "metadata_images_split_scene_v1.csv"
    found = [Fault("missing_first_frame" if frame == 0 else "withheld_frame", scene, camera, frame, table)
             for (scene, camera), (frame, _) in WITHHELD.items()]  # fmt: skip
    scene, camera = EMPTY_CAMERA
    return [*found, Fault("camera_without_folder", scene, camera, None, f"{scene}/_detail/metadata_cameras.csv")]


def _region(frame: Frame, single: bool) -> tuple[slice, slice]:
    """The all-foreground block of 1/16 side nearest to the image centre, or its middle pixel."""
    ids = frame["render_entity_id"]
    tall, wide = ids.shape[0] // 16, ids.shape[1] // 16
    solid = ids.reshape(16, tall, 16, wide).min(axis=(1, 3)) > 0
    row, col = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    far = np.where(solid, np.hypot(row - 7.5, col - 7.5), np.inf)
    i, j = divmod(int(np.argmin(far)), 16)
    if single:
        middle = i * tall + tall // 2, j * wide + wide // 2
        return slice(middle[0], middle[0] + 1), slice(middle[1], middle[1] + 1)
    return slice(i * tall, (i + 1) * tall), slice(j * wide, (j + 1) * wide)


def spoil(frame: Frame, scene: str, camera: str, number: int) -> list[Fault]:
    """Damages the arrays of a frame as planned (in place) and says what was or has to be done.

    Args:
        frame: as rendered.
        scene, camera, number: which frame.

    Returns:
        One entry for each touched file; empty for a frame that stays sound.
    """
    if (scene, camera, number) not in PLANNED:
        return []
    kind, names = PLANNED[scene, camera, number]
    if kind in WHOLE_FILE:
        return [Fault(kind, scene, camera, number, modality_file(scene, camera, number, name)) for name in names]
    rows, cols = _region(frame, kind in SINGLE)
    for name in names:
        values = frame[name]
        if kind == "back_facing_normals":
            values[rows, cols] *= -1
        elif kind == "non_unit_normals":
            values[rows, cols] *= np.float16(1.5)
        elif kind == "infinite_colour":
            values[rows, cols, 0] = np.inf
        elif kind == "infinite_position":
            values[rows, cols] = np.copysign(np.float16(np.inf), values[rows, cols])
        else:
            values[rows, cols] = 0 if kind == "zero_normal" else np.nan
    spans = (rows.start, rows.stop), (cols.start, cols.stop)
    return [Fault(kind, scene, camera, number, modality_file(scene, camera, number, name), *spans) for name in names]


def damage_files(root: Path, faults: list[Fault]) -> None:
    """Cuts or removes files below `root`, after they were written; a cut file ends within a chunk."""
    for fault in faults:
        path = root / fault.file
        if fault.kind == "truncated_file":
            path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 5])
        elif fault.kind == "missing_file":
            path.unlink()
