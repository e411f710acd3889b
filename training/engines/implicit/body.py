"""Features of any point about a posed body, made as those in shards are: closest places, winding numbers, gathers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....datasets.surface.surface import Surface
from ....datasets.transforms.icon_features import IconFeatures

Array = NDArray[Any]


def body_surface(vertices: Array, faces: Array, threads: int = 1) -> Surface:
    """A posed body (V, 3), world metres, as records were made: signs are those of winding numbers."""
    return Surface(vertices.astype(np.float64), faces, method="winding", threads=threads)


class BodyQuery:
    """A body that is asked at points.

    Args:
        surface: of `body_surface`; the same for all views of a person.
        normals: (V, 3) unit, world.
        visible: (V / 8,) uint8 bits of vertices that the camera sees, lowest first.
        calib: (4, 4) world metres to the cube.
        arrays: `faces`, `canonical`, `part` of the body (`assets/body.npz`).
        features: of sdf, cmap, norm, vis, part.
        clip: ICON's, of the distance.
    """

    def __init__(
        self, surface: Surface, normals: Array, visible: Array, calib: Array, arrays: Mapping[str, Array],
        features: tuple[str, ...], clip: float = 15.0,
    ) -> None:  # fmt: skip
        self._surface = surface
        self._features = IconFeatures(features, clip=clip, assets=arrays)
        self._given = {"subject.body_normals": normals, "body_visible": visible, "calib": calib}

    def __call__(self, points: Tensor) -> dict[str, Tensor]:
        """`icon_...` (1, n) or (1, n, 3) of points (n, 3), world metres."""
        found = self._surface.signed_distance(points.double().cpu().numpy())
        record = self._given | {
            "subject.body_face": found.face.astype(np.uint16), "subject.body_bary": found.bary.astype(np.float32),
            "subject.body_sdf": found.distance.astype(np.float16),  # as stored
        }  # fmt: skip
        made = self._features({name: value for name, value in record.items() if name in self._features.reads})
        return {name: torch.from_numpy(np.ascontiguousarray(value))[None].to(points.device)
                for name, value in made.items() if name.startswith("icon_")}  # fmt: skip
