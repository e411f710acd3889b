"""What a person's clothes, skin and hair look like: a texture in two charts, the front and the back of the T pose."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import distance_transform_edt, gaussian_filter

from ....datasets.surface.mesh_topology import topology
from ....datasets.surface.mesh_tree import mesh_tree
from ....datasets.surface.pseudonormals import vertex_normals
from ...bodies.joints import SMPLX_JOINTS
from ...labels.mesh_raster import MeshRays
from .clothes import FEET, LEGS, SLEEVES, TRUNK, Clothed, Outfit

Floats = NDArray[np.float64]
MARGIN = 0.03  # metres round the body in a chart
SKIN = np.array([(236, 188, 150), (198, 134, 92), (141, 85, 54), (255, 219, 190), (110, 66, 40)], np.float64)
HAIR = np.array([(40, 30, 26), (92, 62, 40), (150, 116, 70), (24, 24, 28)], np.float64)
EYE, LIPS = np.array([46, 34, 30.0]), np.array([178, 88, 82.0])


@dataclass(frozen=True, eq=False)
class Textured:
    """Texture coordinates of a surface.

    Attributes:
        uv: (T, 2) float64, v upwards.
        face_uv: (F, 3) int64.
    """

    uv: Floats
    face_uv: NDArray[np.int64]


def _bounds(template: Floats) -> tuple[Floats, Floats]:
    return template[:, :2].min(0) - MARGIN, template[:, :2].max(0) + MARGIN


def unwrapped(surface: Clothed, template: Floats, faces: NDArray[np.int32]) -> Textured:
    """Every face in the chart that it looks to at rest; vertices between both have two places."""
    corners = faces[surface.body_face]
    places = np.einsum("nk,nki->ni", surface.bary, template[corners])
    normals = vertex_normals(template, faces, topology(template, faces))
    looks = np.einsum("nk,nk->n", surface.bary, normals[corners][..., 2])
    back = (looks[surface.faces].sum(1) < 0).astype(np.int64)
    codes = 2 * surface.faces + back[:, None]
    used, numbers = np.unique(codes, return_inverse=True)
    low, high = _bounds(template)
    flat = (places[used // 2, :2] - low) / (high - low)
    uv = np.stack([np.where(used % 2, 1 - flat[:, 0], flat[:, 0]) / 2 + (used % 2) / 2, flat[:, 1]], 1)
    return Textured(uv, numbers.reshape(-1, 3))


def painted(
    template: Floats, faces: NDArray[np.int32], weights: Floats, wears: Outfit, rng: np.random.Generator, size: int
) -> bytes:
    """A texture of size x size pixels, as JPEG."""
    rays = MeshRays(mesh_tree(template, faces))
    low, high = _bounds(template)
    shares = _shares(weights, wears)
    look = _Look(rng)
    halves = []
    for back in (False, True):
        x, y = np.meshgrid((np.arange(size // 2) + 0.5) / (size // 2), (np.arange(size) + 0.5) / size)
        x = 1 - x if back else x
        at = np.stack([low[0] + x * (high[0] - low[0]), high[1] - y * (high[1] - low[1])], -1).reshape(-1, 2)
        side = -1.0 if back else 1.0
        origins = np.concatenate([at, np.full((len(at), 1), side)], 1)
        found, bary = rays.meet(origins, np.tile([0, 0, -side], (len(at), 1)))
        met = found >= 0
        corners = faces[found[met]]
        colours = np.zeros((len(at), 3))
        colours[met] = look.colours(
            np.einsum("nk,nki->ni", bary[met], shares[corners]), np.einsum("nk,nki->ni", bary[met], template[corners])
        )
        picture = colours.reshape(size, size // 2, 3)
        nearest = distance_transform_edt(~met.reshape(size, size // 2), return_distances=False, return_indices=True)
        halves.append(picture[tuple(nearest)])  # what no ray met looks like what is next to it
    picture = np.concatenate(halves, 1)
    grain = gaussian_filter(rng.normal(size=picture.shape[:2]), 1.0)[..., None] * 18
    data = io.BytesIO()
    Image.fromarray(np.clip(picture + grain, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=92)
    return data.getvalue()


def _shares(weights: Floats, wears: Outfit) -> Floats:
    """(V, 6) how much each vertex is of trunk, sleeves, legs, feet, head, eyes."""
    sleeves = SLEEVES if wears.lower else SLEEVES[:2]
    groups = (TRUNK, sleeves, LEGS, FEET, ("head",), ("left_eye", "right_eye"))
    return np.stack([weights[:, [SMPLX_JOINTS.index(name) for name in names]].sum(1) for names in groups], 1)


class _Look:
    """Colours of one person."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.skin, self.hair = SKIN[rng.integers(len(SKIN))], HAIR[rng.integers(len(HAIR))]
        self.shirt, self.stripe, self.trousers, self.shoes = rng.uniform(30, 235, (4, 3))
        self.pattern, self.width = rng.integers(0, 3), rng.uniform(0.02, 0.06)

    def colours(self, shares: Floats, places: Floats) -> Floats:
        """(n, 3) colours of places on the body at rest."""
        x, y, z = places.T
        out = np.tile(self.skin, (len(places), 1))
        head, eyes = shares[:, 4] > 0.5, shares[:, 5] > 0.5
        if head.any():
            bottom = y[head].min()
            crown = head & ((y > bottom + 0.17) | ((y > bottom + 0.05) & (z < places[head, 2].mean())))
            out[crown] = self.hair
            mouth = head & (np.hypot(x / 0.024, (y - bottom - 0.045) / 0.008) < 1) & (z > np.quantile(z[head], 0.6))
            out[mouth] = LIPS
        out[eyes] = EYE
        shirt, legs, feet = shares[:, 0] + shares[:, 1] > 0.5, shares[:, 2] > 0.5, shares[:, 3] > 0.5
        stripes = np.stack([np.zeros_like(x), y, x + y], 1)[:, self.pattern] / self.width % 2 < 1
        out[shirt] = np.where(stripes[shirt, None], self.shirt, self.stripe)
        out[legs], out[feet] = self.trousers, self.shoes
        return out
