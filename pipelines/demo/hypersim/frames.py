"""Whole frames: geometry sampled at pixel centres, colour smoothed over edges, as in the published images."""

import numpy as np

from .arrays import Array, Bools, Floats, Frame, Ints
from .cameras import rays
from .painter import Painter, Shaded

TILE = 1 << 14
FINAL = ("diffuse_illumination", "diffuse_reflectance", "residual")
GEOMETRY = ("position", "normal_cam", "normal_world", "normal_bump_cam", "normal_bump_world", "tex_coord")
IDS = ("render_entity_id", "semantic", "semantic_instance")
# A rotated grid: four samples whose rows and columns all differ.
SUBPIXELS = ((-0.125, -0.375), (0.375, -0.125), (0.125, 0.375), (-0.375, 0.125))


def render(painter: Painter, cam_from_uv: Array, size: tuple[int, int], position: Array, turn: Array, unit: float,
           seed: list[int]) -> Frame:  # fmt: skip
    """One frame: every modality of a Hypersim image by its file name.

    Args:
        painter: the room.
        cam_from_uv: (3, 3) float64 kind of camera.
        size: rows and columns.
        position: (3,) float64 metres.
        turn: (3, 3) float64 R_world_from_cam.
        unit: metres per asset unit, for `position`.
        seed: key of the grain.

    Returns:
        float16 (H, W, 3) vectors, float16 (H, W) `depth_meters`, int16 (H, W) ids; background is NaN or -1.
        `color` is `diffuse_reflectance * diffuse_illumination + residual` of the stored float16 values, rounded once.
    """
    count = size[0] * size[1]
    frame: Frame = {name: np.zeros((count, 3), np.float16) for name in FINAL + GEOMETRY}
    frame["depth_meters"] = np.empty(count, np.float16)
    frame["render_entity_id"] = np.empty(count, np.int16)
    rng = np.random.default_rng(seed)
    origin, turned = position.astype(np.float32), turn.astype(np.float32)
    ways = (rays(cam_from_uv, *size).reshape(-1, 3) @ turn.T).astype(np.float32)
    spread = float(np.linalg.norm(ways[count // 2] - ways[count // 2 + 1]))
    for start in range(0, count, TILE):
        tile = slice(start, start + TILE)
        noise = rng.standard_normal(ways[tile].shape, dtype=np.float32)
        _store(frame, tile, painter.shade(origin, ways[tile], noise, spread), turned, unit)
    edges = np.flatnonzero(_edges(frame, size))
    _soften(frame, edges, painter, origin, ways, size, rng)
    entity = frame["render_entity_id"].clip(0)
    frame["semantic"], frame["semantic_instance"] = painter.semantic[entity], painter.instance[entity]
    parts = [frame[k].astype(np.float32) for k in ("diffuse_reflectance", "diffuse_illumination", "residual")]
    frame["color"] = (parts[0] * parts[1] + parts[2]).astype(np.float16)
    return {name: values.reshape(*size, *values.shape[1:]) for name, values in frame.items()}


def _store(frame: Frame, tile: slice, shaded: Shaded, turn: Floats, unit: float) -> None:
    """Rounds a tile into the frame; geometry of background pixels becomes NaN, its id -1."""
    seen, missed = shaded.surface, shaded.missed
    values = {
        "depth_meters": shaded.distance, "position": seen.position / unit, "normal_world": seen.normal,
        "normal_cam": seen.normal @ turn, "normal_bump_world": shaded.bump, "normal_bump_cam": shaded.bump @ turn,
    }  # fmt: skip
    for name, value in values.items():
        frame[name][tile] = value
        frame[name][tile][missed] = np.nan
    frame["tex_coord"][tile, :2] = np.where(missed[:, None], 0, seen.st)
    frame["render_entity_id"][tile] = np.where(missed, -1, seen.entity)
    frame["diffuse_reflectance"][tile] = shaded.albedo
    frame["diffuse_illumination"][tile] = shaded.light
    frame["residual"][tile] = shaded.residual


def _edges(frame: Frame, size: tuple[int, int]) -> Bools:
    """(H, W) pixels beside another entity, a crease, or a jump in depth of more than 4 %."""
    entity = frame["render_entity_id"].reshape(size)
    normal = frame["normal_world"].reshape(*size, 3).astype(np.float32)
    depth = np.nan_to_num(frame["depth_meters"].reshape(size).astype(np.float32), nan=1.0)
    edge = np.zeros(size, bool)
    for near, far in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        jump = np.abs(depth[near] - depth[far]) > 0.04 * np.minimum(depth[near], depth[far])
        crease = np.einsum("ijk,ijk->ij", normal[near], normal[far]) < 0.9
        found = (entity[near] != entity[far]) | jump | crease
        edge[near] |= found
        edge[far] |= found
    return edge


def _soften(frame: Frame, edges: Ints, painter: Painter, origin: Floats, ways: Floats,
            size: tuple[int, int], rng: np.random.Generator) -> None:  # fmt: skip
    """Replaces the light of edge pixels (flat indices) by the mean over four rays within the pixel.

    Illumination is divided by the mean reflectance, so that the product of the stored parts stays the mean colour.
    """
    grid = ways.reshape(*size, 3)
    across = (grid[:, -1] - grid[:, 0]) / (size[1] - 1)
    down = (grid[-1] - grid[0]) / (size[0] - 1)
    for start in range(0, len(edges), TILE):
        spot = edges[start : start + TILE]
        total = np.zeros((3, len(spot), 3), np.float32)
        for right, below in SUBPIXELS:
            way = ways[spot] + right * across[spot // size[1]] + below * down[spot % size[1]]
            way /= np.sqrt(np.einsum("ij,ij->i", way, way))[:, None]
            shaded = painter.shade(origin, way, rng.standard_normal(way.shape, dtype=np.float32), 1e-3)
            total += np.stack([shaded.albedo, shaded.albedo * shaded.light, shaded.residual]) / len(SUBPIXELS)
        frame["diffuse_reflectance"][spot] = total[0]
        frame["diffuse_illumination"][spot] = total[1] / np.maximum(total[0], 1e-3)
        frame["residual"][spot] = total[2]
