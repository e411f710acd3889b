"""Units of a Hypersim RAW folder: its scenes, with the public frames that are selected and on disk."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ....datasets.errors import RawDataError, UsageError
from ...recipe import Plan, Reject, Unit
from .cameras import CameraParameters, decompose, load_camera_parameters
from .exclude import Exclusions, load_exclusions, load_keep_list
from .layout import CAMERA_TABLE, SPLIT_TABLE, find_table, frames_on_disk, scene_folders
from .splits import SPLITS, SplitTable, load_splits

LARGEST_SIDE = 8192


class SelectionOptions(Protocol):
    """The recipe's options that say which frames there are; see HypersimOptions."""

    camera_csv: Path | None
    split_csv: Path | None
    scenes: str
    cameras: str
    splits: str
    exclude: Path | None
    exclude_lists: str
    keep: Path | None


@dataclass(frozen=True)
class Selection:
    """Which frames are wanted, read from the tables."""

    camera_csv: Path | None = None
    split_csv: Path | None = None
    scenes: tuple[str, ...] = ("*",)
    cameras: tuple[str, ...] = ("*",)
    splits: tuple[str, ...] = SPLITS
    exclude: Path | None = None
    exclude_lists: tuple[str, ...] = ("default",)
    keep: Path | None = None

    @staticmethod
    def of(options: SelectionOptions) -> "Selection":
        """The selection that the options ask for.

        Raises:
            UsageError: an unknown split, or an empty list.
        """
        names = ("scenes", "cameras", "splits", "exclude_lists")
        lists = {name: _listed(name, getattr(options, name)) for name in names}
        for split in lists["splits"]:
            if split not in SPLITS:
                raise UsageError(f"--splits {split}: the splits are {', '.join(SPLITS)}")
        paths = {name: getattr(options, name) for name in ("camera_csv", "split_csv", "exclude", "keep")}
        return Selection(**lists, **paths)


def _listed(name: str, text: str) -> tuple[str, ...]:
    values = tuple(value for value in re.split(r"[,\s]+", text) if value)
    if not values:
        raise UsageError(f"--{name.replace('_', '-')}: an empty list selects nothing")
    return values


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of `HxW`.

    Raises:
        UsageError: it is not of that form, or not a sensible size.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or not all(8 <= int(side) <= LARGEST_SIDE for side in match.groups()):
        raise UsageError(f"--size {text}: expected HEIGHTxWIDTH of 8 to {LARGEST_SIDE} pixels, such as 384x512")
    return int(match[1]), int(match[2])


def plan_scenes(raw: Path, selection: Selection, size: tuple[int, int]) -> Plan:
    """One unit a scene.

    Frames that are public and selected, but not on disk, are rejects; a scene without a usable row in the camera
    table is one as a whole. What is left out on purpose (withheld, excluded, other splits) is counted in the notes.

    Raises:
        RawDataError: RAW holds no scene, or a table is missing or damaged.
        UsageError: an unknown list of exclusions.
    """
    folders = scene_folders(raw)
    cameras = load_camera_parameters(find_table(raw, CAMERA_TABLE, selection.camera_csv))
    table = load_splits(find_table(raw, SPLIT_TABLE, selection.split_csv))
    exclusions = load_exclusions(selection.exclude, selection.exclude_lists)
    keep = load_keep_list(selection.keep) if selection.keep else None
    chosen = table.select(selection.scenes, selection.cameras, selection.splits)
    notes: Counter[str] = Counter()
    units = []
    for scene, folder in folders.items():
        if scene not in chosen.frames:
            known = scene in table.frames or scene in table.withheld
            notes[f"scenes in RAW {'without a selected public frame' if known else 'not in the split table'}"] += 1
            continue
        wanted = dict(_wanted(scene, chosen, exclusions, keep, notes))
        notes["frames withheld from the public release"] += sum(chosen.withheld.get(scene, {}).values())
        unit = _unit(raw, scene, folder, cameras.get(scene), wanted)
        if unit is not None:
            units.append(unit)
    notes["selected public scenes that are not in RAW"] += len(set(chosen.frames) - set(folders))
    notes[f"frames planned at {size[0]}x{size[1]}"] += sum(len(unit.records) for unit in units)
    return Plan(tuple(units), tuple(f"{count} {what}" for what, count in notes.items() if count))


def _wanted(
    scene: str, chosen: SplitTable, exclusions: Exclusions, keep: set[tuple[str, str, int]] | None, notes: Counter[str]
) -> Iterator[tuple[tuple[str, int], str]]:
    """(camera, frame) and split of each frame of a scene that is neither excluded nor missing from the keep list."""
    for camera, frames in chosen.frames[scene].items():
        for frame, split in frames:
            reason = exclusions.reason(scene, camera, frame)
            if reason is not None:
                notes[f"frames excluded ({reason})"] += 1
            elif keep is not None and (scene, camera, frame) not in keep:
                notes["frames not in the keep list"] += 1
            else:
                yield (camera, frame), split


def _unit(
    raw: Path, scene: str, folder: str, lens: CameraParameters | None, wanted: dict[tuple[str, int], str]
) -> Unit | None:
    if not wanted:
        return None
    split = next(iter(wanted.values()))
    try:
        if lens is None:
            raise RawDataError(f"{CAMERA_TABLE}: no row for {scene}; fetch the table again or add the row")
        decompose(lens.cam_from_uv, lens.width, lens.height)
    except RawDataError as error:
        return Unit(scene, split, {}, rejects=(Reject(scene, "", folder, "metadata", str(error)),))
    on_disk = {camera: frames_on_disk(raw, folder, camera) for camera in {camera for camera, _ in wanted}}
    records, rejects = {}, []
    for camera, frame in wanted:
        key = f"{scene}-{camera}-{frame:04d}"
        if frame in on_disk[camera]:
            records[key] = {"camera": camera, "frame": frame}
        else:
            path = f"{folder}/images/scene_{camera}_*_hdf5/frame.{frame:04d}.*"
            rejects.append(Reject(scene, key, path, "plan", "no file of this frame in RAW"))
    payload = {
        "folder": folder,
        "width": lens.width,
        "height": lens.height,
        "metres_per_unit": lens.metres_per_unit,
        "cam_from_uv": lens.cam_from_uv.tolist(),
    }
    return Unit(scene, split, records, payload, tuple(rejects)) if records or rejects else None
