"""Colours of places on a textured mesh."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

VERSION = 1  # raised whenever a colour changes
GREY = 128  # of what has neither texture nor colours
COARSEST = 4  # levels that a texture is halved
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Paint:
    """What a mesh's colours come from: its texture where a face has coordinates in it, else its vertices, else grey.

    Attributes:
        faces: (F, 3) int32.
        uv: (T, 2) texture coordinates, u to the right, v up; None without any.
        face_uv: (F, 3) int32 numbers of them, -1 at all three of a face that has none; as `uv`.
        texture: (H, W, 3) uint8 sRGB, top row first; None where there is none.
        colours: (V, 3) uint8 sRGB of the vertices; None where there are none.
    """

    faces: NDArray[np.int32]
    uv: NDArray[np.float32] | None = None
    face_uv: NDArray[np.int32] | None = None
    texture: NDArray[np.uint8] | None = None
    colours: NDArray[np.uint8] | None = None

    def at(self, face: NDArray[np.int32], bary: NDArray[np.floating], level: int = 0) -> Floats:
        """Colours (n, 3), 0 to 255, of places on faces (n,) at barycentric coordinates (n, 3).

        Args:
            face: numbers of the faces.
            bary: where on them.
            level: how many times the texture is halved before it is looked up (`coarseness`).
        """
        out = np.full((len(face), 3), float(GREY))
        if self.colours is not None:
            out = np.einsum("nk,nkc->nc", bary, self.colours[self.faces[face]].astype(np.float64))
        if self.uv is not None and self.face_uv is not None and self.texture is not None:
            corners = self.face_uv[face]
            there = (corners >= 0).all(1)
            place = np.einsum("nk,nki->ni", bary[there], self.uv[corners[there]].astype(np.float64))
            out[there] = bilinear(self._halved[min(level, len(self._halved) - 1)], place)
        return out

    def texels_per_metre(self, vertices: Floats) -> float:
        """How many pixels of the texture a metre of the surface has, in the mean; 0 without a texture.

        Args:
            vertices: (V, 3) of the mesh, metres.
        """
        if self.uv is None or self.face_uv is None or self.texture is None:
            return 0.0
        some = self.face_uv.min(1) >= 0
        flat = self.uv[self.face_uv[some]].astype(np.float64) * self.texture.shape[1::-1]
        solid = vertices[self.faces[some]]
        one, other = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
        texels = np.abs(one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]).sum()
        area = np.linalg.norm(np.cross(solid[:, 1] - solid[:, 0], solid[:, 2] - solid[:, 0]), axis=1).sum()
        return float(np.sqrt(texels / area)) if area > 0 else 0.0

    @cached_property
    def _halved(self) -> list[NDArray[np.uint8]]:
        """The texture and what it is halved to, by means of 2 x 2 pixels."""
        assert self.texture is not None
        out = [self.texture]
        while len(out) <= COARSEST and min(out[-1].shape[:2]) > 1:
            fine = out[-1][: out[-1].shape[0] // 2 * 2, : out[-1].shape[1] // 2 * 2].astype(np.uint16)
            four = fine[::2, ::2] + fine[1::2, ::2] + fine[::2, 1::2] + fine[1::2, 1::2]
            out.append(((four + 2) // 4).astype(np.uint8))
        return out


def coarseness(texels: float) -> int:
    """How often to halve a texture where samples lie so many of its pixels apart, so that few of them are skipped."""
    return int(np.clip(np.floor(np.log2(max(texels, 1.0))), 0, COARSEST))


def bilinear(picture: NDArray[np.uint8], uv: Floats) -> Floats:
    """Values (n, C) of a picture at texture coordinates (n, 2); outside 0 to 1 it repeats, as textures do."""
    height, width = picture.shape[:2]
    inside = np.where((uv < 0) | (uv > 1), uv - np.floor(uv), uv)
    x = np.clip(inside[:, 0] * width - 0.5, 0, width - 1)
    y = np.clip((1 - inside[:, 1]) * height - 0.5, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    u, v = (x - left)[:, None], (y - top)[:, None]
    upper = picture[top, left] * (1 - u) + picture[top, right] * u
    lower = picture[low, left] * (1 - u) + picture[low, right] * u
    out: Floats = upper * (1 - v) + lower * v
    return out
