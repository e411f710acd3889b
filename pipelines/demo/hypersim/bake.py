"""Light on every surface of a room, worked out once and then shared by all its frames.

Direct light comes from stratified samples of each source with a shadow ray each; light that has bounced comes from
cosine-distributed rays on a coarser atlas, iterated three times (radiosity). Both are free of the view, as diffuse
light is.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .arrays import Faces, Floats, Ints, single
from .assembly import Mesh
from .charts import Atlas, Texels, texels, unfold
from .lights import Light, on_sphere
from .stage import MISS, Tracer

LIFT = 0.0025
# Bounced light counts a lit spot at most so bright: the few texels beside a bulb would else speckle the walls.
BRIGHTEST = 6.0
BLOCK = 1 << 14
# The plastic-number sequence: its first k points are well spread over the square for every k.
SPREAD = single([0.7548776662, 0.5698402910])


@dataclass(frozen=True)
class Quality:
    """Sampling effort.

    Attributes:
        fine: metres between samples of direct light.
        coarse: metres between samples of bounced light.
        bounce_rays: rays from each of these.
        blur: Gaussian width, in coarse samples, that bounced light is smoothed by.
        share: factor on the sources' own numbers of samples.
    """

    fine: float
    coarse: float
    bounce_rays: int
    blur: float
    share: float


def direct(tracer: Tracer, lights: list[Light], spots: Texels, share: float, seed: list[int]) -> Floats:
    """Unoccluded light at each texel, (T, 3) float32, from all sources.

    Args:
        tracer: the room.
        lights: sources.
        spots: receivers.
        share: factor on each source's number of samples (at least one is taken).
        seed: key of the per-texel shift of the sample patterns.
    """
    rng = np.random.default_rng([*seed, 1])
    total = np.zeros((len(spots.index), 3), np.float32)
    for start in range(0, len(total), BLOCK):
        part = slice(start, start + BLOCK)
        points, normals = spots.positions[part], spots.normals[part]
        shift = rng.random((len(points), 2), dtype=np.float32)
        for light in lights:
            count = max(1, round(light.samples * share))
            for k in range(count):
                total[part] += _arriving(tracer, light, points, normals, (shift + k * SPREAD) % 1.0) / count
    return total


def _arriving(tracer: Tracer, light: Light, points: Floats, normals: Floats, shift: Floats) -> Floats:
    """One light sample at each point (N, 3): zero below the horizon or in shadow."""
    ray = light.towards(points, shift)
    cosine = np.einsum("ij,ij->i", ray, normals)
    seen = np.flatnonzero(cosine > 0.0)
    lift = LIFT * normals[seen]
    seen = seen[~tracer.blocked(points[seen] + lift, ray[seen] - lift)]
    ray = ray[seen]
    arriving = np.zeros_like(points)
    arriving[seen] = light.power(ray) * (cosine[seen] / np.sqrt(np.einsum("ij,ij->i", ray, ray)))[:, None]
    return arriving


def _hemisphere(normals: Floats, shift: Floats) -> Floats:
    """Cosine-distributed unit directions about each normal: a uniform sphere point added to it (Malley)."""
    way = normals * 1.0001 + on_sphere(shift)
    return way / np.sqrt(np.einsum("ij,ij->i", way, way))[:, None]


def nearest_texel(atlas: Atlas, mesh: Mesh, face: Faces, weights: Floats) -> Ints:
    """Flat atlas index (N,) of the texel next to hits given by face (N,) and barycentric weights (N, 2)."""
    corner = atlas.vertex[mesh.faces[face]]
    where = (
        corner[:, 0] + weights[:, :1] * (corner[:, 1] - corner[:, 0]) + weights[:, 1:] * (corner[:, 2] - corner[:, 0])
    )
    cell = np.rint(where).astype(np.int64)
    return cell[:, 0] * atlas.shape[1] + cell[:, 1]


def bounced(tracer: Tracer, mesh: Mesh, atlas: Atlas, spots: Texels, lit: Floats, rays: int,
            seed: list[int]) -> Floats:  # fmt: skip
    """Light (T, 3) float32 that reaches each texel after one to three reflections.

    Args:
        tracer: the room.
        mesh: the same room.
        atlas: coarse atlas.
        spots: its texels.
        lit: (T, 3) direct light there.
        rays: rays from each texel.
        seed: key of the directions.
    """
    rng = np.random.default_rng([*seed, 2])
    shift = rng.random((len(spots.index), 2), dtype=np.float32)
    albedo, outward = mesh.albedos(), mesh.face_normals.astype(np.float32)
    lookup = np.zeros(atlas.shape[0] * atlas.shape[1], np.int64)
    lookup[spots.index] = np.arange(len(spots.index))
    source = np.empty((rays, len(spots.index)), np.int32)
    colour = np.empty((rays, len(spots.index), 3), np.float16)
    for k in range(rays):
        way = _hemisphere(spots.normals, (shift + k * SPREAD) % 1.0)
        _, face, weights = tracer.cast(spots.positions + LIFT * spots.normals, way)
        away = (face == MISS) | (np.einsum("ij,ij->i", outward[face.clip(max=len(outward) - 1)], way) > 0)
        face = np.where(away, 0, face)
        source[k] = lookup[nearest_texel(atlas, mesh, face, weights)]
        colour[k] = np.where(away[:, None], 0, albedo[face])
    light = np.zeros_like(lit)
    for _ in range(3):
        gathered, sent = np.zeros_like(lit), np.minimum(lit + light, BRIGHTEST)
        for k in range(rays):
            gathered += colour[k] * sent[source[k]]
        light = gathered / rays
    return light


def _smoothed(atlas: Atlas, light: Floats, reach: float) -> Floats:
    """Light (rows, columns, 3) blurred within each chart by a Gaussian of `reach` texels, against sampling noise."""
    out = light.copy()
    for (row, col), (tall, wide) in zip(atlas.origin, atlas.cells, strict=True):
        chart = light[row : row + tall, col : col + wide]
        out[row : row + tall, col : col + wide] = cv2.GaussianBlur(
            chart, (0, 0), reach, borderType=cv2.BORDER_REPLICATE
        )
    return out


def _on_atlas(atlas: Atlas, spots: Texels, values: Floats) -> Floats:
    """Values (T, C) float32 at texels as an image (rows, columns, C) with zeros between the charts."""
    image = np.zeros((atlas.shape[0] * atlas.shape[1], values.shape[1]), np.float32)
    image[spots.index] = values
    return image.reshape(*atlas.shape, values.shape[1])


def bake(tracer: Tracer, mesh: Mesh, lights: list[Light], quality: Quality, seed: list[int]) -> tuple[Atlas, Floats]:
    """The room's light.

    Returns:
        The fine atlas, and (rows, columns, 3) float32 light on a white surface (irradiance / pi) at its texels.
    """
    coarse = unfold(mesh, quality.coarse)
    spots = texels(mesh, coarse)
    lit = direct(tracer, lights, spots, quality.share, [*seed, 0])
    soft = bounced(tracer, mesh, coarse, spots, lit, quality.bounce_rays, seed)
    blurred = _smoothed(coarse, _on_atlas(coarse, spots, soft), quality.blur)
    fine = unfold(mesh, quality.fine)
    spots = texels(mesh, fine)
    light = _smoothed(fine, _on_atlas(fine, spots, direct(tracer, lights, spots, quality.share, seed)), 0.8)
    place = coarse.origin[spots.patch] + spots.place * (coarse.cells[spots.patch] - 1)
    where = _on_atlas(fine, spots, place.astype(np.float32))
    return fine, light + cv2.remap(blurred, where[..., 1], where[..., 0], cv2.INTER_LINEAR)
