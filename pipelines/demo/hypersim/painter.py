"""Shading of what rays hit: light looked up in the baked atlas, textures evaluated, mirrors traced once more."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .arrays import Bools, Faces, Floats, Ints, single
from .assembly import Mesh
from .charts import Atlas
from .lights import Sky
from .materials import bumped, reflectance
from .stage import MISS, Tracer

GRAIN = 0.012


@dataclass(frozen=True)
class Surface:
    """What N rays hit; world frame, metres, normals turned towards the viewer.

    Attributes:
        position, normal, smooth: (N, 3) float32; face normals and interpolated normals.
        st: (N, 2) float32 surface coordinates, metres.
        entity: (N,) int16.
        albedo, light: (N, 3) float32.
    """

    position: Floats
    normal: Floats
    smooth: Floats
    st: Floats
    entity: NDArray[np.int16]
    albedo: Floats
    light: Floats


@dataclass(frozen=True)
class Shaded:
    """A surface and the light it sends back; pixels of `missed` (N,) are sky and their surface has no meaning.

    Attributes:
        surface: what was hit.
        missed: (N,) bool.
        distance: (N,) float32 metres.
        bump: (N, 3) float32 unit bump normals.
        albedo, light, residual: (N, 3) float32; the colour is albedo x light + residual.
    """

    surface: Surface
    missed: Bools
    distance: Floats
    bump: Floats
    albedo: Floats
    light: Floats
    residual: Floats


def _unit(vectors: Floats) -> Floats:
    return vectors / np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]


class Painter:
    """Shades rays in one room.

    Args:
        mesh: the room.
        tracer: the same room.
        sky: seen where rays leave the room.
        atlas: where each vertex lies in `light`.
        light: (rows, columns, 3) float32 diffuse light.
    """

    def __init__(self, mesh: Mesh, tracer: Tracer, sky: Sky, atlas: Atlas, light: Floats) -> None:
        self.tracer, self.sky, self.light = tracer, sky, light
        corner = np.concatenate([mesh.normals, mesh.st, atlas.vertex], axis=1).astype(np.float32)[mesh.faces]
        self.corner, self.edges = corner[:, 0].copy(), (corner[:, 1:] - corner[:, :1]).copy()
        self.face_normals, self.face_entity = mesh.face_normals.astype(np.float32), mesh.entity
        materials = [entity.material for entity in mesh.entities]
        self.materials = list(dict.fromkeys(materials))
        self.kind = np.array([-1] + [self.materials.index(m) for m in materials])
        self.semantic = np.array([-1] + [e.semantic for e in mesh.entities], np.int16)
        self.instance = np.array([-1] + [e.instance for e in mesh.entities], np.int16)
        self.gloss = np.array([0.0] + [m.gloss for m in materials], np.float32)
        self.rough = np.array([0.0] + [m.rough for m in materials], np.float32)
        self.tilt = np.array([0.0] + [m.bump for m in materials], np.float32)
        self.emission = np.array([(0.0, 0.0, 0.0)] + [m.emission for m in materials], np.float32)

    def shade(self, origin: Floats, ways: Floats, noise: Floats, spread: float) -> Shaded:
        """Traces and shades rays.

        Args:
            origin: (3,) float32 metres.
            ways: (N, 3) float32 unit directions; N below 32,767.
            noise: (N, 3) float32 standard normal: grain of the light and spread of mirrored rays.
            spread: angle between neighbouring rays, radians.
        """
        distance, face, weights = self.tracer.cast(origin, ways)
        missed = face == MISS
        distance[missed], face[missed] = 1.0, 0
        seen = self._surface(origin, ways, distance, face, weights, spread)
        grain = 1 + GRAIN * noise
        residual = self._mirrored(seen, ways, noise, spread, ~missed) + self.emission[seen.entity] * grain
        residual[missed] = self.sky.radiance(ways[missed])
        seen.albedo[missed], seen.light[missed] = 0, 0
        bump = bumped(seen.smooth, seen.position, self.tilt[seen.entity])
        return Shaded(seen, missed, distance, bump, seen.albedo, seen.light * grain, residual)

    def _surface(self, origin: Floats, ways: Floats, distance: Floats, face: Faces, weights: Floats,
                 spread: float) -> Surface:  # fmt: skip
        edges = self.edges[face]
        value = self.corner[face] + weights[:, :1] * edges[:, 0] + weights[:, 1:] * edges[:, 1]
        normal = self.face_normals[face]
        cosine = -np.einsum("ij,ij->i", normal, ways)
        side = np.copysign(single(1.0), cosine)[:, None]
        entity, st = self.face_entity[face], value[:, 3:5]
        pixel = distance * spread / np.maximum(np.abs(cosine), 0.15)
        light = single(cv2.remap(self.light, value[:, None, 6], value[:, None, 5], cv2.INTER_LINEAR))[:, 0]
        albedo = self._albedo(self.kind[entity], st, pixel)
        return Surface(
            origin + distance[:, None] * ways, normal * side, _unit(value[:, :3]) * side, st, entity, albedo, light
        )

    def _albedo(self, kind: Ints, st: Floats, pixel: Floats) -> Floats:
        albedo = np.empty((len(st), 3), np.float32)
        for number in np.unique(kind):
            chosen = np.flatnonzero(kind == number)
            albedo[chosen] = reflectance(self.materials[number], st[chosen], pixel[chosen])
        return albedo

    def _mirrored(self, seen: Surface, ways: Floats, noise: Floats, spread: float, where: Bools) -> Floats:
        """Light (N, 3) that glossy surfaces mirror at `where` (N,): one ray each, spread by roughness, weighted by
        Schlick's Fresnel term (its grazing part reduced, for none of these surfaces is polished).
        """
        out = np.zeros_like(seen.position)
        shiny = np.flatnonzero((self.gloss[seen.entity] > 0) & where)
        way = ways[shiny]
        normal = _unit(seen.smooth[shiny] + self.rough[seen.entity[shiny], None] * noise[shiny])
        facing = np.maximum(-np.einsum("ij,ij->i", normal, way), 0.0)
        ahead = way + 2 * facing[:, None] * normal
        start = seen.position[shiny] + 1e-3 * seen.normal[shiny]
        distance, face, weights = self.tracer.cast(start, ahead)
        back = self.sky.radiance(ahead)
        hit = np.flatnonzero(face != MISS)
        if len(hit):
            other = self._surface(start[hit], ahead[hit], distance[hit], face[hit], weights[hit], 2 * spread)
            back[hit] = other.albedo * other.light + self.emission[other.entity]
        base = self.gloss[seen.entity[shiny]]
        out[shiny] = back * (base + (1 - base) * (1 - facing) ** 5 * 0.35)[:, None]
        return out
