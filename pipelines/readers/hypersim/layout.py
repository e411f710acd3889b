"""Where the files of Hypersim lie below RAW. Paths that are handed on are POSIX paths relative to RAW."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ....datasets.errors import RawDataError
from ...raw import Raw
from ...raw_store import StoreError
from .metadata import SCENE

CAMERA_TABLE = "metadata_camera_parameters.csv"
SPLIT_TABLE = "metadata_images_split_scene_v1.csv"
# table -> (its folder in the git repository apple/ml-hypersim, the option that names it)
TABLES = {
    CAMERA_TABLE: ("contrib/mikeroberts3000", "--camera-csv"),
    SPLIT_TABLE: ("evermotion_dataset/analysis", "--split-csv"),
}
TABLE_FOLDERS = (".", "contrib/mikeroberts3000", "evermotion_dataset/analysis")
SCENE_FOLDERS = (".", "scenes", "evermotion_dataset/scenes", "contrib/mikeroberts3000/jupyter")
FRAME = re.compile(r"frame\.(\d{4})\.([a-z_]+)\.hdf5", re.ASCII)
EXPECTED = (
    "a Hypersim folder holds ai_VVV_NNN/images and ai_VVV_NNN/_detail for each scene, or ai_VVV_NNN.zip, "
    "or the same in scenes/"
)


@dataclass(frozen=True)
class Modality:
    """One kind of per-frame file.

    Attributes:
        name: as in `frame.0000.NAME.hdf5`.
        folder: `final` or `geometry`.
        channels: length of the last axis; 0 where the array is (height, width).
        dtypes: element types that the file may have.
    """

    name: str
    folder: str
    channels: int
    dtypes: tuple[str, ...]


def _modalities() -> Iterator[Modality]:
    for name in ("color", "diffuse_illumination", "diffuse_reflectance", "residual"):
        yield Modality(name, "final", 3, ("float16",))
    for name in ("position", "normal_cam", "normal_world", "normal_bump_cam", "normal_bump_world", "tex_coord"):
        yield Modality(name, "geometry", 3, ("float16",))
    yield Modality("depth_meters", "geometry", 0, ("float16",))
    for name in ("render_entity_id", "semantic", "semantic_instance"):
        yield Modality(name, "geometry", 0, ("int16",))


MODALITIES = {modality.name: modality for modality in _modalities()}


def find_table(raw: Raw, name: str, override: Path | None) -> Path | Raw:
    """Path of a table of TABLES: the one that was named, or the first found in RAW.

    Raises:
        RawDataError: it is not there; the message says where it comes from and which option names it.
    """
    folder, option = TABLES[name]
    if override is not None:
        if override.is_file():
            return override
        raise RawDataError(f"{override}: no such file; {option} must name {name}")
    for place in TABLE_FOLDERS:
        if (raw / place / name).is_file():
            return raw / place / name
    raise RawDataError(
        f"{raw}: no {name}; it is not in the scenes' zips but in the git repository apple/ml-hypersim, folder "
        f"{folder}: put it into the raw folder or name it with {option}"
    )


def read_table(path: Path | Raw) -> bytes:
    """Content of a table.

    Raises:
        RawDataError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except StoreError:
        raise
    except OSError as error:
        raise RawDataError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def scene_folders(raw: Raw) -> dict[str, str]:
    """Folder of each scene found in RAW, sorted by name; one with images goes before one without.

    An archive that bears a scene's name is taken for that scene; it is not opened.

    Raises:
        RawDataError: RAW is missing, unreadable or holds no scene, or a scene is a symbolic link that leaves RAW.
    """
    if not raw.is_dir():
        raise RawDataError(f"{raw}: no such folder; give the folder with the Hypersim scenes as --raw (RAW=)")
    found: dict[str, str] = {}
    bare: dict[str, str] = {}
    for place in SCENE_FOLDERS:
        for name in (raw / place).names():
            folder = raw / place / name
            if not SCENE.fullmatch(name) or not folder.is_dir():
                continue
            if folder.archive or (folder / "images").is_dir():
                found.setdefault(name, folder.path)
            elif (folder / "_detail").is_dir():
                bare.setdefault(name, folder.path)
    if not found and not bare:
        if (raw / "images").is_dir() or (raw / "_detail").is_dir():
            raise RawDataError(f"{raw}: is one scene; give the folder that holds it as --raw (RAW=)")
        raise RawDataError(f"{raw}: no Hypersim scene in it; {EXPECTED}")
    return dict(sorted((bare | found).items()))


def frames_on_disk(raw: Raw, scene_folder: str, camera: str) -> dict[int, frozenset[str]]:
    """Modalities that are there for each frame of a camera, sorted by frame; empty where the camera has no folder.

    Raises:
        RawDataError: a folder is unreadable or a symbolic link that leaves RAW.
        ArchiveError: the scene's archive is damaged or hostile.
    """
    found: dict[int, set[str]] = {}
    for kind in ("final", "geometry"):
        for name in (raw / scene_folder / "images" / f"scene_{camera}_{kind}_hdf5").names():
            match = FRAME.fullmatch(name)
            modality = MODALITIES.get(match[2]) if match else None
            if match and modality is not None and modality.folder == kind:
                found.setdefault(int(match[1]), set()).add(modality.name)
    return {frame: frozenset(found[frame]) for frame in sorted(found)}


def frame_file(scene_folder: str, camera: str, frame: int, modality: str) -> str:
    """Path of one file of a frame, relative to RAW."""
    folder = f"{scene_folder}/images/scene_{camera}_{MODALITIES[modality].folder}_hdf5"
    return f"{folder}/frame.{frame:04d}.{modality}.hdf5"
