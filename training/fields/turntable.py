"""Pictures of a mesh that turns: colours of its normals, as a strip, a PNG or a GIF."""

import io
import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ...datasets.commit import write_file
from ...validation.metrics.normal_map import normal_map
from ...validation.metrics.raster import look
from .mesh import Mesh

Pictures = NDArray[np.uint8]
WHITE, AMBIENT = 255, 0.35


def turntable(
    mesh: Mesh, size: int = 256, views: int = 8, mirrored: bool = False, colours: NDArray[np.uint8] | None = None
) -> Pictures:
    """Pictures of a mesh, turned about y in equal steps, the first as it is: of a person who looks at
    the camera the front, the right side, the back, the left side.

    Colours are 255 (n + 1) / 2 of the smooth normals in the camera's axes with y up, as ICON's normal maps; white is
    where nothing is.

    Args:
        mesh: in the cube: x right, y down, z to the camera; [-1, 1] is in the picture.
        size: pixels of a side, S.
        views: how many pictures.
        mirrored: for a mesh that `calib` brought into the cube, whose faces look inwards there (see `normal_map`);
            False for one that `extract_mesh` made in it.
        colours: (V, 3) of the vertices, shown in a light at the camera instead of the normals' colours.

    Returns:
        (views, S, S, 3) uint8.

    Raises:
        ValueError: there is no view, or a size is too small, or vertices are not finite.
    """
    if views < 1:
        raise ValueError(f"a turntable of {views} views; it must be 1 or more")
    angles = 2 * np.pi * np.arange(views) / views
    turned = (mesh.vertices @ _about_y(angle).T for angle in angles)
    return np.stack([_picture(vertices, mesh.faces, size, mirrored, colours) for vertices in turned])


def _about_y(angle: float) -> NDArray[np.float64]:
    """(3, 3) turn that brings the camera's z to x: what faced the camera looks to the right after a quarter."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def _picture(
    vertices: NDArray[np.float64], faces: NDArray[np.int32], size: int, mirrored: bool, colours: Pictures | None
) -> Pictures:
    raster = look(vertices, faces, size)
    seen, normals = raster.mask, normal_map(raster, vertices, faces, mirrored) * np.array([1, -1, 1], np.float32)
    shown = np.full((size, size, 3), float(WHITE), np.float32)
    if colours is None:
        shown[seen] = 127.5 * (normals[seen] + 1)
    else:
        corners = colours[faces[raster.face[seen]]].astype(np.float32)
        light = AMBIENT + (1 - AMBIENT) * np.abs(normals[seen][:, 2:])
        shown[seen] = np.einsum("nk,nki->ni", raster.bary[seen], corners) * light
    return np.rint(shown).astype(np.uint8)


def contact_strip(pictures: Pictures) -> Pictures:
    """Pictures (n, S, S, 3) side by side, from left to right: (S, n S, 3)."""
    return np.concatenate(list(pictures), axis=1)


def write_png(path: str | Path, picture: Pictures) -> None:
    """Write a picture (H, W, 3) uint8 sRGB as PNG; an old file stays until the new one is whole."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "PNG")
    write_file(Path(path), data.getvalue(), uuid.uuid4().hex)


def write_gif(path: str | Path, pictures: Pictures, seconds: float = 0.15) -> None:
    """Write pictures (n, H, W, 3) uint8 as an endless GIF, each shown for `seconds`; whole or not at all."""
    first, *others = [Image.fromarray(picture) for picture in pictures]
    data = io.BytesIO()
    first.save(data, "GIF", save_all=True, append_images=others, duration=round(1000 * seconds), loop=0)
    write_file(Path(path), data.getvalue(), uuid.uuid4().hex)
