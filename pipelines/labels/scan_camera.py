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
        shape = self.size, self.size, 3
        origins, away = self.rays_through(np.arange(self.size * self.size))
        return origins.reshape(shape), away.reshape(shape)

    def rays_through(self, pixels: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Origins and unit directions (n, 3) of the rays through the centres of pixels (n,), numbered row by row."""
        y, x = np.divmod(pixels, self.size)
        turn, centre = self.world_from_camera[:3, :3], self.world_from_camera[:3, 3]
        per_pixel = np.linalg.inv(self.intrinsics)[:2]
        right, down = turn[:, :2] @ per_pixel[:, 0], turn[:, :2] @ per_pixel[:, 1]
        places = np.multiply.outer(x + 0.5, right) + np.multiply.outer(y + 0.5, down) + turn[:, :2] @ per_pixel[:, 2]
        if self.kind == "perspective":
            away = places + turn[:, 2]
            return np.tile(centre, (len(x), 1)), away / np.sqrt(np.einsum("ni,ni->n", away, away))[:, None]
        return places + centre, np.tile(turn[:, 2], (len(x), 1))

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Pixels (n, 2) and depths (n,) of world points (n, 3), metres along the camera's z."""
        turn, depth, flat = self.world_from_camera[:3, :3], self.depths(points), self.intrinsics[:2]
        there = -turn.T @ self.world_from_camera[:3, 3]
        plane = points @ (flat[:, :2] @ turn.T[:2]).T + flat[:, :2] @ there[:2]
        return (plane / depth[:, None] if self.kind == "perspective" else plane) + flat[:, 2], depth

    def depths(self, points: Floats) -> Floats:
        """(n,) metres along the camera's z of world points (n, 3)."""
        forward = self.world_from_camera[:3, 2]
        found: Floats = points @ forward - forward @ self.world_from_camera[:3, 3]
        return found


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
    turn = about(np.eye(3)[0], pitch) @ about(np.eye(3)[1], yaw)
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


def about(axis: Floats, degrees: float) -> Floats:
    """(3, 3) rotation about a unit vector, right-handed."""
    angle = np.radians(degrees)
    x, y, z = axis
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn: Floats = np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across  # Rodrigues
    return turn
