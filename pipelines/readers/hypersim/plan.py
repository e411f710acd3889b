"""Units of a Hypersim RAW folder: its scenes, with the public frames that are selected and on disk."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ....datasets.errors import RawDataError, UsageError
from ...raw import Raw
from ...raw_zip_directory import ArchiveError
from ...recipe import LabelOptions, Plan, Reject, Unit
from .cameras import CameraParameters, decompose, load_camera_parameters
from .exclude import Exclusions, load_exclusions, load_keep_list
from .layout import CAMERA_TABLE, SPLIT_TABLE, find_table, frames_on_disk, scene_folders
from .splits import SPLITS, SplitTable, load_splits

LARGEST_SIDE = 8192


@dataclass(frozen=True)
class SelectionOptions(LabelOptions):
    """Options that say which frames there are.

    Attributes:
        camera_csv: metadata_camera_parameters.csv, where it does not lie in RAW.
        split_csv: metadata_images_split_scene_v1.csv, where it does not lie in RAW.
        scenes: patterns of scenes, separated by commas, such as 'ai_001_*'.
        cameras: patterns of cameras, separated by commas, such as 'cam_00'.
        splits: splits, separated by commas.
        exclude: TOML or text file of scenes, cameras and frames to leave out, instead of the known-bad entries.
        exclude_lists: lists of the exclude file to apply, separated by commas; 'none' for none.
        keep: text file of frames to keep (such as Marigold's filtered lists); all others are left out.
    """

    camera_csv: Path | None = None
    split_csv: Path | None = None
    scenes: str = "*"
    cameras: str = "*"
    splits: str = ",".join(SPLITS)
    exclude: Path | None = None
    exclude_lists: str = "default"
    keep: Path | None = None

    def listed(self, name: str) -> tuple[str, ...]:
        """Values of an option that is a list.

        Raises:
            UsageError: it is empty.
        """
        values = tuple(value for value in re.split(r"[,\s]+", getattr(self, name)) if value)
        if not values:
            raise UsageError(f"--{name.replace('_', '-')}: an empty list selects nothing")
        return values


SELECTING = frozenset({"scenes", "cameras", "splits", "exclude_lists"})


def parse_size(text: str) -> tuple[int, int]:
    """(height, width) of `HxW`.

    Raises:
        UsageError: it is not of that form, or not a sensible size.
    """
    match = re.fullmatch(r"(\d+)[xX](\d+)", text)
    if not match or not all(8 <= int(side) <= LARGEST_SIDE for side in match.groups()):
        raise UsageError(f"--size {text}: expected HEIGHTxWIDTH of 8 to {LARGEST_SIDE} pixels, such as 384x512")
    return int(match[1]), int(match[2])


def plan_scenes(raw: Raw, options: SelectionOptions, size: tuple[int, int], semantic: bool) -> Plan:
    """One unit a scene.

    Frames that are public and selected, but not on disk, are rejects; a scene without a usable row in the camera
    table is one as a whole. What is left out on purpose (withheld, excluded, other splits) is counted in the notes.

    Raises:
        RawDataError: RAW holds no scene, or a table is missing or damaged.
        UsageError: an unknown split or list of exclusions.
    """
    for split in options.listed("splits"):
        if split not in SPLITS:
            raise UsageError(f"--splits {split}: the splits are {', '.join(SPLITS)}")
    lists = options.listed("exclude_lists")
    if semantic and options.exclude is None and lists == ("default",):
        lists = ("default", "no_labels")
    folders = scene_folders(raw)
    cameras = load_camera_parameters(find_table(raw, CAMERA_TABLE, options.camera_csv))
    table = load_splits(find_table(raw, SPLIT_TABLE, options.split_csv))
    exclusions = load_exclusions(options.exclude, lists)
    keep = load_keep_list(options.keep) if options.keep else None
    chosen = table.select(*(options.listed(name) for name in ("scenes", "cameras", "splits")))
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
            if unit.records:
                notes.update(_size_warnings(unit, size))
    notes["selected public scenes that are not in RAW"] += len(set(chosen.frames) - set(folders))
    return Plan(tuple(units), tuple(f"{count} {what}" for what, count in notes.items() if count))


def _size_warnings(unit: Unit, size: tuple[int, int]) -> Iterator[str]:
    """What `--size` does to a scene's pictures that its user may not want; the camera follows in any case."""
    height, width = unit.payload["height"], unit.payload["width"]
    if abs(size[1] / size[0] / (width / height) - 1) > 0.01:
        yield f"scenes stretched from {height}x{width} to {size[0]}x{size[1]} (another aspect ratio)"
    if size[0] > height or size[1] > width:
        yield f"scenes enlarged from {height}x{width} to {size[0]}x{size[1]}"


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
    raw: Raw, scene: str, folder: str, lens: CameraParameters | None, wanted: dict[tuple[str, int], str]
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
    try:
        on_disk = {camera: frames_on_disk(raw, folder, camera) for camera in {camera for camera, _ in wanted}}
    except ArchiveError as error:
        return Unit(scene, split, {}, rejects=(Reject(scene, "", folder, "archive", str(error)),))
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
