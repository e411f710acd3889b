"""Hypersim cameras: the table of lens parameters, and their exact pinhole equivalent in OpenCV axes.

Many scenes were rendered with a tilted and shifted image plane. Such a lens equals an ordinary pinhole camera (with a
little skew in some scenes) that is turned by a fixed rotation, here called tilt: K_h = A inv(M) F = K' R' up to scale,
with F = diag(1, -1, -1), M = M_cam_from_uv and A the matrix from uv in [-1, 1] to pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....datasets.errors import RawDataError
from ...raw import Raw
from .layout import read_table
from .metadata import SCENE, parse_number, table_rows

Array = NDArray[np.float64]

FLIP = np.diag([1.0, -1.0, -1.0])  # OpenCV axes from raw axes (y up, looking along -z), and back
SIZE = ("settings_output_img_width", "settings_output_img_height")
UNITS = "settings_units_info_meters_scale"
CAM_FROM_UV = tuple(f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3))
PROJ = tuple(f"M_proj_{row}{column}" for row in range(4) for column in range(4))
LARGEST_SIDE = 65536
WORST_CONDITION = 1e12


@dataclass(frozen=True)
class CameraParameters:
    """Lens of all cameras of a scene.

    Attributes:
        scene: `ai_VVV_NNN`.
        width: raw image columns.
        height: raw image rows.
        metres_per_unit: length of an asset unit, as rounded to float32 in the table.
        cam_from_uv: (3, 3) float64, raw camera-frame ray of (u, v, 1), u right and v up in [-1, 1].
        proj: (4, 4) float64, OpenGL clip coordinates of raw camera-frame points in asset units.
    """

    scene: str
    width: int
    height: int
    metres_per_unit: float
    cam_from_uv: Array
    proj: Array


def load_camera_parameters(path: Path | Raw) -> dict[str, CameraParameters]:
    """The rows of metadata_camera_parameters.csv by scene.

    Raises:
        RawDataError: the file cannot be read, a column is missing, a scene is there twice or misnamed, or a needed
            cell is not a sensible number; the message names line and column. Whether a matrix is a camera is left to
            `decompose`, so that one bad lens costs one scene.
    """
    columns = ("scene_name", *SIZE, UNITS, *CAM_FROM_UV, *PROJ)
    found: dict[str, CameraParameters] = {}
    for line, (scene, *cells) in table_rows(read_table(path), str(path), columns):
        place = f"{path}: line {line}"
        if not SCENE.fullmatch(scene) or scene in found:
            raise RawDataError(f"{place}: {scene!r} is no new scene name (ai_VVV_NNN); keep one row a scene")
        named = zip(columns[1:], cells, strict=True)
        width, height, scale, *numbers = (parse_number(cell, f"{place}, column {name}") for name, cell in named)
        for name, value in zip(SIZE, (width, height), strict=True):
            if value != int(value) or not 0 < value <= LARGEST_SIDE:
                raise RawDataError(f"{place}, column {name}: {value} is no image size; fetch the file again")
        if scale <= 0:
            raise RawDataError(f"{place}, column {UNITS}: {scale} must be positive; fetch the file again")
        cam_from_uv, proj = np.array(numbers[:9]).reshape(3, 3), np.array(numbers[9:]).reshape(4, 4)
        found[scene] = CameraParameters(scene, int(width), int(height), scale, cam_from_uv, proj)
    return found


def decompose(cam_from_uv: Array, width: int, height: int) -> tuple[Array, Array]:
    """Exact pinhole camera of a raw one.

    Args:
        cam_from_uv: (3, 3) M_cam_from_uv.
        width: raw image columns.
        height: raw image rows.

    Returns:
        (3, 3) float64 intrinsics K' (upper triangular, positive diagonal, K'[2, 2] = 1, pixels, corner origin) and the
        (3, 3) rotation R' (the tilt), such that a raw camera-frame point X is seen at K' R' F X.

    Raises:
        RawDataError: the matrix is singular or mirrors the image: no camera.
    """
    pixel_from_uv = np.array([[width / 2, 0, width / 2], [0, -height / 2, height / 2], [0, 0, 1]])
    if not _is_camera(cam_from_uv):
        raise RawDataError("M_cam_from_uv is singular or mirrored, so no camera; fetch the camera table again")
    homography = pixel_from_uv @ np.linalg.inv(cam_from_uv) @ FLIP
    # RQ by QR: with P the row reversal, P H = (q r)^T gives H = (P r^T P)(P q^T), a triangle times a rotation.
    q, r = np.linalg.qr(homography[::-1].T)
    triangle, rotation = r.T[::-1, ::-1], q.T[::-1]
    signs = np.sign(np.diag(triangle))
    intrinsics = np.triu(triangle * signs)
    return intrinsics / intrinsics[2, 2], rotation * signs[:, None]


def _is_camera(cam_from_uv: Array) -> bool:
    """Whether the matrix can be inverted and does not mirror the image (its rays look along -z)."""
    finite = bool(np.isfinite(cam_from_uv).all())
    return finite and np.linalg.cond(cam_from_uv) < WORST_CONDITION and np.linalg.det(cam_from_uv) < 0


def world_from_camera(rotation: Array, position: Array, metres_per_unit: float, tilt: Array) -> Array:
    """Pose of the stored camera.

    Args:
        rotation: (3, 3) raw orientation, world from camera.
        position: (3,) raw position in asset units.
        metres_per_unit: length of an asset unit.
        tilt: (3, 3) R' of `decompose`.

    Returns:
        (4, 4) float64, metres: R_wc' = R F R'^T; the tilt leaves the position where it is.
    """
    pose = np.eye(4)
    pose[:3, :3] = rotation @ FLIP @ tilt.T
    pose[:3, 3] = position * metres_per_unit
    return pose


def raw_to_opencv(vectors: NDArray[np.floating], tilt: Array) -> Array:
    """Vectors (..., 3) of the raw camera frame, such as normal_cam, in the stored camera's frame: R' F x."""
    return vectors @ (tilt @ FLIP).T


def scale_intrinsics(intrinsics: Array, raw_size: tuple[int, int], size: tuple[int, int]) -> Array:
    """Intrinsics (3, 3) of the image resized from `raw_size` to `size`, both (height, width); corner origin."""
    return np.diag([size[1] / raw_size[1], size[0] / raw_size[0], 1.0]) @ intrinsics
