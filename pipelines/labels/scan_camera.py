"""Cameras that go round a scanned person, as PIFu and ICON place them.

The world frame of a scan is metres, y up, its origin in the person's middle: over the pelvis, at half the height of
the scan. A camera looks at the origin. Its picture shows the person at the same size whatever the height is: 1.8 m
would take 450 of 512 pixels, as the references' cube of 204.8 units holds a scan that was scaled to 180.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["orthographic", "perspective"]
REFERENCE_UNITS, HALF_UNITS = 180.0, 102.4  # height that the references scale to; half of what a picture shows
DISTANCE = 4.0  # metres of an orthographic camera to the origin
FOCAL = 5000 / 512  # of a perspective camera, in sides of the picture: PaMIR's
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ScanCamera:
    """One view.

    Attributes:
        kind: orthographic or perspective.
        size: pixels of a side.
        intrinsics: (3, 3) float64, corner origin, pixel centres at +0.5; of an orthographic camera the pixel is
            intrinsics (x, y, 1), without a division.
        world_from_camera: (4, 4) float64, OpenCV axes, metres.
        calib: (4, 4) float64 from world metres to the references' cube: x right, y down, z towards the camera, each
            [-1, 1]; of a perspective camera, that of the orthographic camera in its place.
    """

    kind: Kind
    size: int
    intrinsics: Floats
    world_from_camera: Floats
    calib: Floats

    @property
    def distance(self) -> float:
        """Metres from the camera to the origin."""
        return float(np.linalg.norm(self.world_from_camera[:3, 3]))

    def rays(self) -> tuple[Floats, Floats]:
        """Origins and unit directions (size, size, 3) of the rays through pixel centres, world frame."""
        x, y = np.meshgrid(np.arange(self.size) + 0.5, np.arange(self.size) + 0.5)
        place = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(self.intrinsics).T
        turn, centre = self.world_from_camera[:3, :3], self.world_from_camera[:3, 3]
        if self.kind == "perspective":
            away = place / np.linalg.norm(place, axis=-1, keepdims=True)
            return np.broadcast_to(centre, place.shape), away @ turn.T
        return (place * [1, 1, 0]) @ turn.T + centre, np.broadcast_to(turn[:, 2], place.shape)

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixels (n, 2) and depths (n,) of world points (n, 3), metres along the camera's z."""
        local = (points - self.world_from_camera[:3, 3]) @ self.world_from_camera[:3, :3]
        depth = local[:, 2]
        plane = np.concatenate([local[:, :2] / depth[:, None] if self.kind == "perspective" else local[:, :2],
                                np.ones((len(local), 1))], 1)  # fmt: skip
        return (plane @ self.intrinsics.T)[:, :2], depth


def scan_camera(yaw: float, height: float, size: int, pitch: float = 0.0, kind: Kind = "orthographic") -> ScanCamera:
    """The camera of one view.

    Args:
        yaw: degrees that the person is turned by about the vertical, from the camera's point of view; 0 looks at the
            front, and at 90 the person looks to the right of the picture.
        height: of the scan, metres from its lowest to its highest point.
        size: pixels of a side.
        pitch: degrees that the camera is raised by.
        kind: orthographic or perspective.
    """
    turn = _about(0, pitch) @ _about(1, yaw)
    scale = REFERENCE_UNITS / HALF_UNITS / height  # of the cube, per metre
    focal = scale * size / 2
    distance = DISTANCE
    if kind == "perspective":
        distance = FOCAL * size / focal
        focal = FOCAL * size
    camera_from_world = np.eye(4)
    camera_from_world[:3, :3] = np.diag([1.0, -1, -1]) @ turn
    camera_from_world[2, 3] = distance
    calib = np.eye(4)
    calib[:3, :3] = np.diag([scale, -scale, scale]) @ turn
    intrinsics = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1.0]])
    return ScanCamera(kind, size, intrinsics, np.asarray(np.linalg.inv(camera_from_world), np.float64), calib)


def _about(axis: int, degrees: float) -> Floats:
    """Rotation about an axis, right-handed."""
    angle = np.radians(degrees)
    turn, (i, j) = np.eye(3), ((axis + 1) % 3, (axis + 2) % 3)
    turn[i, i] = turn[j, j] = np.cos(angle)
    turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
    return turn
