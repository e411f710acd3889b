"""The tables of the whole data set: camera parameters, splits, trajectories."""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .cameras import projection
from .faults import listed_frames
from .scenes import CAMERAS, SCENES, Scale, Scene

_PHYSICAL = """anisotropy blades_enable blades_num blades_rotation bmpaperture_affects_exposure bmpaperture_enable
bmpaperture_resolution bmpaperture_tex center_bias distortion distortion_tex distortion_type dof_display_threshold
dont_affect_settings enable_thin_lens_equation exposure f_number film_width focal_length focus_distance fov
horizontal_offset horizontal_shift ISO latency lens_file lens_shift optical_vignetting rolling_shutter_duration
rolling_shutter_mode shutter_angle shutter_offset shutter_speed specify_focus specify_fov subdivs target_distance
targeted type use_dof use_moblur vertical_offset vignetting white_balance zoom_factor"""
_SETTINGS = """auto_corrections_mode auto_exposure auto_exposure_compensation auto_fit auto_white_balance curve dist
dont_affect_settings fov height image_planes type"""
CAMERA_COLUMNS = [
    "scene_name", "settings_output_img_height", "settings_output_img_width", "settings_units_info_meters_scale",
    "use_camera_physical", *(f"camera_physical_{name}" for name in _PHYSICAL.split()),
    *(f"settings_camera_{name}" for name in _SETTINGS.split()),
    *(f"M_cam_from_uv_{i}{j}" for i in range(3) for j in range(3)),
    *(f"M_proj_{i}{j}" for i in range(4) for j in range(4)),
]  # fmt: skip
SPLIT_COLUMNS = ["scene_name", "camera_name", "frame_id", "included_in_public_release", "exclude_reason",
                 "split_partition_name"]  # fmt: skip
TRAJECTORY_COLUMNS = ["Animation", "Rendering job (geometry)", "Instance type (geometry)", "Rendering job (pre)",
                      "Instance type (pre)", "Rendering job (final)", "Instance type (final)", "Scene type", "Notes",
                      "Any good views of scene?"]  # fmt: skip
FOV = float(np.float32(np.pi / 3))


def write_table(path: Path, columns: list[str], rows: Iterable[dict[str, object]]) -> None:
    """A comma-separated table with a header; columns that a row lacks stay empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def _camera_row(scene: Scene, size: tuple[int, int]) -> dict[str, object]:
    matrix = scene.camera.matrix()
    row: dict[str, object] = {
        "scene_name": scene.name, "settings_output_img_height": float(size[0]),
        "settings_output_img_width": float(size[1]),
        "settings_units_info_meters_scale": float(np.float32(scene.unit)), "use_camera_physical": scene.camera.physical,
        "settings_camera_fov": FOV,
    }  # fmt: skip
    for name, values in (("M_cam_from_uv", matrix), ("M_proj", projection(matrix))):
        row |= {f"{name}_{i}{j}": float(value) for (i, j), value in np.ndenumerate(values)}
    return row


def _split_rows(scene: Scene, camera: str, scale: Scale, faults: bool) -> list[dict[str, object]]:
    rendered, withheld = listed_frames(scene.name, camera, scale.frames, faults)
    rows: list[dict[str, object]] = []
    for frame in sorted([*rendered, *withheld]):
        row: dict[str, object] = {"scene_name": scene.name, "camera_name": camera, "frame_id": frame}
        if frame in withheld:
            row |= {"included_in_public_release": False, "exclude_reason": withheld[frame]}
        else:
            row |= {"included_in_public_release": True, "split_partition_name": scene.split}
        rows.append(row)
    return rows


def _trajectory_row(scene: Scene, camera: str, kind: str) -> dict[str, object]:
    row: dict[str, object] = {"Animation": f"{scene.name}_{camera}", "Scene type": kind}
    for render_pass in ("geometry", "pre", "final"):
        row[f"Rendering job ({render_pass})"] = f"{scene.name}@scene_{camera}_{render_pass}"
        row[f"Instance type ({render_pass})"] = "demo"
    return row


def write_tables(root: Path, scale: Scale, faults: bool, kinds: dict[str, str]) -> None:
    """The three tables at the top of the raw folder.

    Args:
        root: raw folder.
        scale: frames and image size.
        faults: whether frames are withheld.
        kinds: scene type by scene name.
    """
    trajectories = [(scene, camera) for scene in SCENES for camera in CAMERAS]
    write_table(root / "metadata_camera_parameters.csv", CAMERA_COLUMNS, [_camera_row(s, scale.size) for s in SCENES])
    split = [row for scene, camera in trajectories for row in _split_rows(scene, camera, scale, faults)]
    write_table(root / "metadata_images_split_scene_v1.csv", SPLIT_COLUMNS, split)
    write_table(root / "metadata_camera_trajectories.csv", TRAJECTORY_COLUMNS,
                [_trajectory_row(scene, camera, kinds[scene.name]) for scene, camera in trajectories])  # fmt: skip
