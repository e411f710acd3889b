"""A made-up house in Hypersim's layout: many cameras and frames out of the few of a demo scene.

Raw files are the demo's own, under new names by hard links; only poses and tables are written. Two cameras share a
room; every 34 frames they go on to the next one, 6 m away. Within a room each turn through the demo's frames is moved
on by 7 cm, so that no two frames are the same and surfaces do not fall into the same cells.
"""

import csv
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import RawDataError
from ...pipelines.readers.hypersim.layout import CAMERA_TABLE, FRAME, SPLIT_TABLE

SOURCE, HOUSE = "ai_900_001", "ai_900_009"
ROOM = 6.0  # metres between rooms
STEP = 0.07  # metres between turns within a room
STAY = 34  # frames of a camera in a room
ACROSS = 4  # rooms in a row


def make_house(demo: Path, out: Path, cameras: int, frames: int) -> None:
    """Write RAW with one scene of `cameras` x `frames` frames.

    Args:
        demo: demo raw data.
        out: folder to make; on the same file system nothing is copied.
        cameras: number of cameras.
        frames: frames of each.

    Raises:
        RawDataError: the demo is not there as it should be.
    """
    if not (demo / SOURCE / "images").is_dir():
        raise RawDataError(f"{demo}: no scene {SOURCE}; remove the folder, and demo raw data are made again")
    (out / HOUSE / "_detail").mkdir(parents=True)
    scale = demo / SOURCE / "_detail" / "metadata_scene.csv"
    shutil.copy(scale, out / HOUSE / "_detail")
    units_a_metre = 1 / float(scale.read_text().split(",")[-1])
    names = sorted(path.name for path in (demo / SOURCE / "_detail").glob("cam_*"))
    for camera in range(cameras):
        source = names[camera % len(names)]
        count = _poses(demo, out, source, camera, frames, units_a_metre)
        for kind in ("final", "geometry"):
            _pictures(demo, out, source, camera, kind, frames, count)
    _tables(demo, out, cameras, frames)


def places(camera: int, frames: int, turn: int) -> NDArray[np.float64]:
    """Where the frames of a camera are moved to, (frames, 3) metres; a turn is as many frames as its source has."""
    number = np.arange(frames)
    room = camera // 2 * 3 + number // STAY
    along = number % STAY // turn * STEP
    return np.stack([room % ACROSS * ROOM + along, room // ACROSS * ROOM + along, 0 * along], axis=1)


def _poses(demo: Path, out: Path, source: str, camera: int, frames: int, units_a_metre: float) -> int:
    """Write the poses of a camera; returns the number of frames of its source."""
    old, new = demo / SOURCE / "_detail" / source, out / HOUSE / "_detail" / f"cam_{camera:02d}"
    new.mkdir()
    for name in ("orientations", "positions"):
        with h5py.File(old / f"camera_keyframe_{name}.hdf5") as file:
            array = file["dataset"][()]
        count = len(array)
        array = array[np.arange(frames) % count]
        if name == "positions":
            array = array + places(camera, frames, count) * units_a_metre
        with h5py.File(new / f"camera_keyframe_{name}.hdf5", "w") as file:
            file["dataset"] = array
    return count


def _pictures(demo: Path, out: Path, source: str, camera: int, kind: str, frames: int, count: int) -> None:
    """Give the files of a source camera's `count` frames the names of `frames` frames."""
    old = demo / SOURCE / "images" / f"scene_{source}_{kind}_hdf5"
    new = out / HOUSE / "images" / f"scene_cam_{camera:02d}_{kind}_hdf5"
    new.mkdir(parents=True)
    for path in old.iterdir():
        match = FRAME.fullmatch(path.name)
        if match is None:
            continue
        for number in range(int(match[1]), frames, count):
            _link(path, new / path.name.replace(match[1], f"{number:04d}", 1))


def _link(old: Path, new: Path) -> None:
    """A hard link; a copy where the file system has none."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copy(old, new)


def _tables(demo: Path, out: Path, cameras: int, frames: int) -> None:
    """Camera and split table with the rows of the house alone."""
    with (demo / CAMERA_TABLE).open(newline="") as file:
        reader = csv.DictReader(file)
        row = next(row for row in reader if row["scene_name"] == SOURCE)
    _write(out / CAMERA_TABLE, [{**row, "scene_name": HOUSE}])
    public = {"included_in_public_release": "True", "exclude_reason": "", "split_partition_name": "train"}
    _write(out / SPLIT_TABLE, [
        {"scene_name": HOUSE, "camera_name": f"cam_{camera:02d}", "frame_id": frame, **public}
        for camera in range(cameras) for frame in range(frames)
    ])  # fmt: skip


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
