"""Ray-traced frames: geometry exact to float32, light looked up in the baked atlas, mirrors traced once more."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .assembly import Mesh
from .charts import Atlas
from .lights import Sky
from .materials import bumped, reflectance
from .stage import MISS, Tracer

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Frame = dict[str, NDArray[np.float16] | NDArray[np.int16]]
TILE = 1 << 14
GRAIN = 0.012
VECTORS = ("color", "diffuse_illumination", "diffuse_reflectance", "residual", "position", "normal_cam", "normal_world",
           "normal_bump_cam", "normal_bump_world", "tex_coord")  # fmt: skip
IDS = ("render_entity_id", "semantic", "semantic_instance")


@dataclass(frozen=True)
class Surface:
    """What N rays hit; world frame, metres, normals turned towards the viewer.

    Attributes:
        position, normal, smooth: (N, 3) float32; face normals and interpolated normals.
        st: (N, 2) float32 surface coordinates.
        entity: (N,) int16.
        albedo, light: (N, 3) float32.
        cosine: (N,) float32 between the ray and the face normal.
    """

    position: Floats
    normal: Floats
    smooth: Floats
    st: Floats
    entity: NDArray[np.int16]
    albedo: Floats
    light: Floats
    cosine: Floats


class Painter:
    """Shades what rays hit in one room.

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

    def surface(self, origin: Floats, ways: Floats, distance: Floats, face: NDArray[np.uint32], weights: Floats,
                spread: float) -> Surface:  # fmt: skip
        """Surface at hits of rays from `origin` along unit `ways` (N, 3); `spread` is a pixel's angle in radians."""
        edges = self.edges[face]
        value = self.corner[face] + weights[:, :1] * edges[:, 0] + weights[:, 1:] * edges[:, 1]
        normal = self.face_normals[face]
        cosine = -np.einsum("ij,ij->i", normal, ways)
        side = np.where(cosine < 0, np.float32(-1), np.float32(1))
        smooth = value[:, :3] * (side / np.sqrt(np.einsum("ij,ij->i", value[:, :3], value[:, :3])))[:, None]
        cosine = np.abs(cosine)
        entity = self.face_entity[face]
        pixel = distance * np.float32(spread) / np.maximum(cosine, 0.15)
        light = cv2.remap(self.light, value[:, None, 6], value[:, None, 5], cv2.INTER_LINEAR)[:, 0]
        st = value[:, 3:5]
        albedo = self._albedo(self.kind[entity], st, pixel)
        return Surface(origin + distance[:, None] * ways, normal * side[:, None], smooth, st, entity, albedo, light, cosine)

    def _albedo(self, kind: NDArray[np.int64], st: Floats, pixel: Floats) -> Floats:
        albedo = np.empty((len(st), 3), np.float32)
        for number in np.unique(kind):
            chosen = np.flatnonzero(kind == number)
            albedo[chosen] = reflectance(self.materials[number], st[chosen], pixel[chosen])
        return albedo

    def mirrored(self, seen: Surface, ways: Floats, jitter: Floats, spread: float,
                 where: NDArray[np.bool_]) -> Floats:  # fmt: skip
        """Light (N, 3) that glossy surfaces mirror, Fresnel-weighted (Schlick), of one more ray each, at `where` (N,).

        `jitter` (N, 3) tilts the mirror within the material's roughness: one sample of a blurred reflection.
        """
        out = np.zeros_like(seen.position)
        shiny = np.flatnonzero((self.gloss[seen.entity] > 0) & where)
        if len(shiny) == 0:
            return out
        way = ways[shiny]
        normal = seen.smooth[shiny] + self.rough[seen.entity[shiny], None] * jitter[shiny]
        normal /= np.sqrt(np.einsum("ij,ij->i", normal, normal))[:, None]
        facing = np.maximum(-np.einsum("ij,ij->i", normal, way), 0.0)
        ahead = way + 2 * facing[:, None] * normal
        start = seen.position[shiny] + np.float32(1e-3) * seen.normal[shiny]
        distance, face, weights = self.tracer.cast(start, ahead)
        back = self.sky.radiance(ahead)
        hit = np.flatnonzero(face != MISS)
        other = self.surface(start[hit], ahead[hit], distance[hit], face[hit], weights[hit], 2 * spread)
        back[hit] = other.albedo * other.light + self.emission[other.entity]
        base = self.gloss[seen.entity[shiny]]
        out[shiny] = back * (base + (1 - base) * (1 - facing) ** 5 * 0.35)[:, None]
        return out


def _blank(height: int, width: int) -> Frame:
    frame: Frame = {name: np.zeros((height * width, 3), np.float16) for name in VECTORS}
    frame["depth_meters"] = np.empty(height * width, np.float16)
    return frame | {name: np.empty(height * width, np.int16) for name in IDS}


def _write_tile(frame: Frame, tile: slice, missed: NDArray[np.bool_], values: dict[str, Floats]) -> None:
    """Rounds a tile's arrays into the frame; geometry of background pixels becomes NaN, their light black."""
    for name, value in values.items():
        target = frame[name][tile]
        target[...] = value
        target[missed] = np.nan if name.startswith(("position", "normal", "depth")) else 0


def render(painter: Painter, rays: Floats, position: Array, turn: Array, unit: float, seed: list[int]) -> Frame:
    """One frame: every modality of a Hypersim image by its file name.

    Args:
        painter: the room.
        rays: (H, W, 3) float32 unit camera-space rays of the pixel centres.
        position: (3,) float64 metres.
        turn: (3, 3) float64 R_world_from_cam.
        unit: metres per asset unit, for `position`.
        seed: key of the grain.

    Returns:
        float16 (H, W, 3) vectors, float16 (H, W) `depth_meters`, int16 (H, W) ids; background is NaN or -1.
        `color` is `diffuse_reflectance * diffuse_illumination + residual` of the stored float16 values, rounded once.
    """
    height, width = rays.shape[:2]
    frame = _blank(height, width)
    rng = np.random.default_rng(seed)
    turned = turn.astype(np.float32)
    ways = rays.reshape(-1, 3) @ turned.T
    origin = position.astype(np.float32)
    middle = rays[height // 2, width // 2 : width // 2 + 2]
    spread = float(np.linalg.norm(middle[1] - middle[0]))
    for start in range(0, height * width, TILE):
        tile = slice(start, start + TILE)
        way = ways[tile]
        noise = rng.standard_normal(way.shape, dtype=np.float32)
        grain = 1 + np.float32(GRAIN) * noise
        distance, face, weights = painter.tracer.cast(origin, way)
        missed = face == MISS
        distance[missed], face[missed] = 1.0, 0
        seen = painter.surface(origin, way, distance, face, weights, spread)
        bump = bumped(seen.smooth, seen.position, painter.tilt[seen.entity])
        glow = painter.mirrored(seen, way, noise, spread, ~missed) + painter.emission[seen.entity] * grain
        glow[missed] = painter.sky.radiance(way[missed])
        frame["residual"][tile] = glow
        frame["render_entity_id"][tile] = np.where(missed, -1, seen.entity)
        frame["tex_coord"][tile, :2] = seen.st
        _write_tile(frame, tile, missed, {
            "depth_meters": distance, "position": seen.position / np.float32(unit), "normal_world": seen.normal,
            "normal_cam": seen.normal @ turned, "normal_bump_world": bump, "normal_bump_cam": bump @ turned,
            "diffuse_reflectance": seen.albedo, "diffuse_illumination": seen.light * grain,
        })  # fmt: skip
    return _finish(frame, painter, height, width)


def _finish(frame: Frame, painter: Painter, height: int, width: int) -> Frame:
    """Class and instance ids from entity ids, and the colour that the stored parts give."""
    entity = frame["render_entity_id"].clip(0)
    frame["semantic"], frame["semantic_instance"] = painter.semantic[entity], painter.instance[entity]
    frame["tex_coord"][entity == 0] = 0
    parts = [frame[k].astype(np.float32) for k in ("diffuse_reflectance", "diffuse_illumination", "residual")]
    frame["color"] = (parts[0] * parts[1] + parts[2]).astype(np.float16)
    return {name: values.reshape(height, width, *values.shape[1:]) for name, values in frame.items()}
