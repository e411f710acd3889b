"""The body that a user fitted to a picture: its vertices, and what a camera sees of it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...datasets.body_arrays import ARRAYS, BODY
from ...datasets.errors import FormatError, UsageError
from ...datasets.numpy_files import npz_numbers
from ...datasets.surface.mesh_topology import topology
from ...datasets.surface.pseudonormals import vertex_normals
from ...validation.metrics.normal_map import normal_map
from ...validation.metrics.raster import look
from ..predict import TALLEST, Given

SIDE = 1024  # pixels of the picture by which vertices are told to be seen
NEAR = 0.01  # of the cube, that a vertex may lie behind what is seen there
ON_PERSON = 0.6  # of a body's vertices; a good fit has nearly all of them there
MOST = 64 << 20  # bytes of an array
TALL = 1.8 / 1.024  # half sides of the cube that a person is tall


@dataclass(frozen=True, eq=False)
class OwnBody:
    """A posed body in a picture.

    Attributes:
        vertices: (V, 3) metres, y up, x right, z towards the camera; the origin is the middle of the picture.
        faces: (F, 3), counter-clockwise from outside.
        calib: (4, 4) to the picture's cube.
        arrays: what all bodies of the training data share: faces, canonical, part.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    calib: NDArray[np.float64]
    arrays: dict[str, NDArray[np.generic]]

    @cached_property
    def cube(self) -> NDArray[np.float64]:
        """(V, 3) vertices in the cube: x right, y down, z towards the camera."""
        return self.vertices @ self.calib[:3, :3].T + self.calib[:3, 3]

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """(V, 3) unit normals of the vertices, outwards, in the world, weighted by angles as those in shards."""
        return vertex_normals(self.vertices, self.faces, topology(self.vertices, self.faces))

    def normal_map(self, size: int, back: bool) -> NDArray[np.float32]:
        """(size, size, 3) normals in our camera's axes (y down, z away), as `body_normal_f` and `body_normal_b` are."""
        raster = look(self.cube, self.faces, size, back)
        seen = normal_map(raster, self.cube, self.faces, mirrored=True)
        return seen * np.array([1, 1, -1], np.float32)

    @cached_property
    def visible(self) -> NDArray[np.uint8]:
        """Bits of the vertices that the camera sees: they look towards it, and nothing is in front of them."""
        raster = look(self.cube, self.faces, SIDE)
        pixel = np.clip(((self.cube[:, :2] + 1) / 2 * SIDE).astype(int), 0, SIDE - 1)
        depth = raster.depth[pixel[:, 1], pixel[:, 0]]
        there = raster.face[pixel[:, 1], pixel[:, 0]] >= 0
        seen = (self.normals[:, 2] > 0) & (~there | (self.cube[:, 2] > depth - NEAR))
        return np.packbits(seen, bitorder="little")


def picture_calib(height: float) -> NDArray[np.float64]:
    """(4, 4) from metres (y up) to the cube of a picture in which a person of this height takes 1.8 / 2.048 of it."""
    scale = TALL / height
    return np.diag([scale, -scale, scale, 1.0])


def read_body(given: Given, height: float, run: Path) -> OwnBody:
    """The body beside a picture: NAME.npz with `vertices` (V, 3).

    Args:
        given: the picture.
        height: metres of the person.
        run: folder of the run, which keeps the body's faces.

    Raises:
        UsageError: it is missing, or the run was trained without bodies.
        FormatError: it is damaged, or of another model.
    """
    path, shared = given.folder / f"{given.name}.npz", run / BODY
    if not shared.is_file():
        raise UsageError(f"{run}: was trained on data without bodies, but its network wants one")
    if not path.is_file():
        raise UsageError(
            f"{path}: missing; the network wants a body: give `vertices` (V, 3) of the posed model in it, metres, y "
            "up, z towards the camera, origin in the middle of the picture"
        )
    arrays = _arrays(shared, *ARRAYS)
    found = _arrays(path, "vertices", "height")
    vertices = found.get("vertices")
    if vertices is None or vertices.ndim != 2 or vertices.shape[1] != 3 or not np.isfinite(vertices).all():
        raise FormatError(f"{path}: no `vertices` (V, 3) of finite numbers in it")
    wanted = len(arrays["canonical"])
    if len(vertices) != wanted:
        raise FormatError(f"{path}: {len(vertices)} vertices; the run was trained with bodies of {wanted}")
    own = found.get("height", np.array(height))
    if own.size != 1 or not TALLEST[0] <= float(own.reshape(-1)[0]) <= TALLEST[1]:
        raise FormatError(f"{path}: `height` is one number of metres, {TALLEST[0]} to {TALLEST[1]}")
    tall = float(own.reshape(-1)[0])
    made = OwnBody(vertices.astype(np.float64), arrays["faces"].astype(np.int32), picture_calib(tall), arrays)
    share = _share_on(made, given.mask)
    if share < ON_PERSON:
        raise FormatError(
            f"{path}: {100 * share:.0f} % of the body's vertices lie on the person in the picture (less than "
            f"{100 * ON_PERSON:.0f} %); are they metres, y up, z towards the camera, about the picture's middle, is "
            f"the person {tall} m tall (--height, or `height` in the file)?"
        )
    return made


def _share_on(body: OwnBody, mask: NDArray[np.bool_]) -> float:
    """Share of a body's vertices whose pixel is on the mask."""
    size = len(mask)
    pixel = np.floor((body.cube[:, :2] + 1) / 2 * size).astype(int)
    inside = ((pixel >= 0) & (pixel < size)).all(1)
    return float(mask[pixel[inside, 1], pixel[inside, 0]].sum() / len(pixel))


def _arrays(path: Path, *names: str) -> dict[str, NDArray[np.generic]]:
    """Arrays of numbers of an npz; nothing in it is run.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        return npz_numbers(path, names, MOST)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
