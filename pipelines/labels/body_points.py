"""What a body model says of points about it: closest face, where on it, and signed distance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...datasets.errors import FormatError
from ...datasets.storage import Barycentric
from ...datasets.surface.surface import Surface

VERSION = 1  # raised whenever one of the arrays changes
STORAGE = Barycentric(8)
MOST_FACES = 1 << 16


@dataclass(frozen=True, eq=False)
class BodyPoints:
    """Points about several bodies: the fit, and its noise variants.

    Attributes:
        face: (N, B) uint16 closest face of each body.
        bary: (N, B, 3) float32 barycentric coordinates of the closest point in it.
        sdf: (N, B) float16 metres, negative inside.
    """

    face: NDArray[np.uint16]
    bary: NDArray[np.float32]
    sdf: NDArray[np.float16]


def body_surface(vertices: NDArray[np.floating], faces: NDArray[np.int32]) -> Surface:
    """A body made ready for questions.

    Bodies are not watertight (an open mouth, eyeballs of their own, fingers that cross): a point is inside where a
    body winds round it by more than one half.

    Args:
        vertices: (V, 3), metres.
        faces: (F, 3).

    Raises:
        FormatError: it has more faces than can be stored.
    """
    if len(faces) > MOST_FACES:
        raise FormatError(f"a body of {len(faces)} faces; up to {MOST_FACES} can be stored")
    return Surface(vertices, faces, method="winding")


def body_points(bodies: Sequence[Surface], points: ArrayLike) -> BodyPoints:
    """Look points up on bodies.

    Args:
        bodies: of `body_surface`, in the frame of the points, metres.
        points: (N, 3).
    """
    found = [body.signed_distance(points) for body in bodies]
    return BodyPoints(
        np.stack([each.face for each in found], 1).astype(np.uint16),
        np.stack([each.bary for each in found], 1).astype(np.float32),
        np.stack([each.distance for each in found], 1).astype(np.float16),
    )
