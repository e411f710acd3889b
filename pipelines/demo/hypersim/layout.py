"""Where the files of a scene lie, and the writing of one frame and one trajectory."""

from pathlib import Path

import numpy as np

from .arrays import Frame
from .encode import write_array, write_image, write_picture
from .previews import final_previews, geometry_previews
from .walk import Trajectory

FINAL = ("color", "diffuse_illumination", "diffuse_reflectance", "residual")


def modality_file(scene: str, camera: str, number: int, name: str) -> str:
    """Path below the raw folder of one HDF5 image, e.g. modality `color` of frame 7."""
    render_pass = "final" if name in FINAL else "geometry"
    return f"{scene}/images/scene_{camera}_{render_pass}_hdf5/frame.{number:04d}.{name}.hdf5"


def write_frame(root: Path, scene: str, camera: str, number: int, frame: Frame) -> None:
    """Writes the 14 HDF5 images and 20 preview pictures of a frame below `root`."""
    for name, image in frame.items():
        path = root / modality_file(scene, camera, number, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image)
    for render_pass, pictures in (("final", final_previews(frame)), ("geometry", geometry_previews(frame))):
        folder = root / scene / "images" / f"scene_{camera}_{render_pass}_preview"
        folder.mkdir(parents=True, exist_ok=True)
        for name, picture in pictures.items():
            suffix = "jpg" if picture.shape[2] == 3 else "png"
            write_picture(folder / f"frame.{number:04d}.{name}.{suffix}", picture)


def write_trajectory(root: Path, scene: str, camera: str, path: Trajectory, unit: float) -> None:
    """Writes a camera's `_detail` folder below `root`; positions in asset units of `unit` metres."""
    folder = root / scene / "_detail" / camera
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata_camera.csv").write_text("parameter_name,parameter_value\nframe_time_seconds,1.0\n")
    write_array(folder / "camera_keyframe_frame_indices.hdf5", np.arange(len(path.positions), dtype=np.int64))
    write_array(folder / "camera_keyframe_positions.hdf5", path.positions / unit)
    write_array(folder / "camera_keyframe_orientations.hdf5", path.orientations)
    write_array(folder / "camera_keyframe_look_at_positions.hdf5", path.targets / unit)
