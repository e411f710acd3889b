"""The picture of a scan: its colours under a light, as a camera sees them, several samples a pixel."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import scan_light, texture
from .mesh_view import MeshView
from .scan_camera import ScanCamera
from .texture import Paint, coarseness

VERSION = 1 + scan_light.VERSION + texture.VERSION  # raised whenever a pixel changes
SIDE = 2  # samples along each side of a pixel
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Samples:
    """What is seen of a scan at four places of each pixel, whatever the light.

    Attributes:
        size: pixels of a side.
        mask: (2 size, 2 size) bool samples that meet the scan.
        albedo: (n, 3) colours of those, 0 to 255.
        sent: (n, 9) what they send on of the light.
    """

    size: int
    mask: NDArray[np.bool_]
    albedo: Floats
    sent: Floats

    @property
    def alpha(self) -> NDArray[np.uint8]:
        """(size, size) share of each pixel that the scan covers, 255 for all of it."""
        return np.rint(255 * _mean(self.mask.astype(np.float32))).astype(np.uint8)

    def under(self, light: Floats) -> NDArray[np.uint8]:
        """The picture (size, size, 3) under a light (9, 3): sRGB over black, the edges mixed with it by `alpha`."""
        fine = np.zeros((*self.mask.shape, 3), np.float32)
        fine[self.mask] = scan_light.shaded(self.albedo, self.sent, light)
        return np.rint(_mean(fine)).astype(np.uint8)


def samples(scan: MeshView, paint: Paint, texels: float, transfer: NDArray[np.float32], camera: ScanCamera) -> Samples:
    """Look at a scan through a camera, with four rays a pixel.

    Args:
        scan: the scan.
        paint: its colours.
        texels: of its texture, a metre (`Paint.texels_per_metre`).
        transfer: (V, 9) of `scan_light.transfer`.
        camera: the camera.
    """
    intrinsics = np.diag([float(SIDE), SIDE, 1]) @ camera.intrinsics
    fine = replace(camera, size=SIDE * camera.size, intrinsics=intrinsics)
    seen = scan.rays.front(fine)
    spacing = (camera.distance if camera.kind == "perspective" else 1.0) / intrinsics[0, 0]
    face, bary = seen.face[seen.mask], seen.bary[seen.mask]
    albedo = paint.at(face, bary, coarseness(texels * spacing))
    return Samples(camera.size, seen.mask, albedo, seen.gathered(transfer, scan.faces))


def _mean(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of the samples of each pixel."""
    parts = [fine[row::SIDE, column::SIDE] for row in range(SIDE) for column in range(SIDE)]
    out: NDArray[np.float32] = sum(parts[1:], parts[0]) / np.float32(len(parts))
    return out
