"""Camera trajectories: a random walk that stays in free space, sees much and keeps its views overlapping.

As in Hypersim the next position is drawn within a box about the current one and near the starting height, and the
best of the candidates is taken; consecutive frames are views of one place, not a video.
"""

from dataclasses import dataclass

import numpy as np

from .arrays import Array, Faces, Floats
from .assembly import WINDOW, Mesh
from .cameras import look_at, rays
from .shell import Room
from .stage import MISS, Tracer

CANDIDATES = 32
ROWS, COLS = 18, 24
STEP = np.array([1.0, 1.0, 0.15])
TURN = np.array([1.1, 1.1, 0.3])
CLEARANCE = 0.35


@dataclass(frozen=True)
class Trajectory:
    """Poses of one camera: positions and points looked at (N, 3), orientations R_world_from_cam (N, 3, 3); metres."""

    positions: Array
    targets: Array
    orientations: Array


@dataclass(frozen=True)
class _Views:
    """What C candidates see through a coarse grid of rays: points (C, G, 3), distance and face (C, G)."""

    points: Floats
    distance: Floats
    face: Faces


def _look(tracer: Tracer, positions: Array, turns: Array, grid: Array) -> _Views:
    ways = (grid @ turns.transpose(0, 2, 1)).astype(np.float32)
    origins = np.broadcast_to(positions[:, None].astype(np.float32), ways.shape)
    distance, face, _ = tracer.cast(origins.reshape(-1, 3), ways.reshape(-1, 3))
    distance, face = distance.reshape(ways.shape[:2]), face.reshape(ways.shape[:2])
    return _Views(origins + ways * np.where(face == MISS, 0, distance)[..., None], distance, face)


def _overlap(tracer: Tracer, positions: Array, turns: Array, uv_from_cam: Floats, points: Floats) -> Array:
    """Share (C,) of surface points (G, 3) that each of C cameras sees."""
    local = (points[None] - positions[:, None]) @ turns
    image = local @ uv_from_cam.T
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (image[..., 2] > 0) & (np.abs(image[..., :2] / image[..., 2:]) < 1.0).all(axis=-1)
    start = np.broadcast_to(positions[:, None].astype(np.float32), local.shape)
    way = (points[None] - start).astype(np.float32)
    hidden = tracer.blocked(start.reshape(-1, 3), (way * 0.995).reshape(-1, 3)).reshape(inside.shape)
    return (inside & ~hidden).mean(axis=1)


def _interest(mesh: Mesh, views: _Views) -> Array:
    """Score (C,) of views: classes in sight, a window, open depth; far below zero where something is too near."""
    missed = views.face == MISS
    entity = np.where(missed, 0, mesh.entity[np.where(missed, 0, views.face)])
    semantic = np.array([0] + [e.semantic for e in mesh.entities])[entity]
    seen = np.zeros((len(entity), 41), int)
    np.add.at(seen, (np.arange(len(entity))[:, None], semantic), 1)
    classes = (seen[:, 1:] >= 3).sum(axis=1)
    near = (views.distance < 0.7).mean(axis=1)
    depth = np.median(np.where(missed, 8.0, views.distance), axis=1)
    bad = (near > 0.04) | (depth < 1.6) | (missed.mean(axis=1) > 0.3)
    return classes + 3.0 * (seen[:, WINDOW] >= 4) + np.minimum(depth, 4.0) - 100.0 * bad


def _propose(room: Room, here: Array, target: Array, centre: Array, start: Array,
             rng: np.random.Generator) -> tuple[Array, Array]:  # fmt: skip
    """Candidate positions and targets (C, 3), kept inside the room; the first is the present pose, should none do."""
    limit = np.array([room.half[0] - 0.45, room.half[1] - 0.45])
    place = here + rng.uniform(-STEP, STEP, (CANDIDATES, 3))
    place[:, :2] = np.clip(place[:, :2], -limit, limit)
    place[:, 2] = np.clip(place[:, 2], start[2] - 0.25, start[2] + 0.25)
    aim = centre + rng.uniform(-TURN, TURN, (CANDIDATES, 3))
    aim[:, :2] = np.clip(aim[:, :2], -limit, limit)
    aim[:, 2] = np.clip(aim[:, 2], 0.45, 1.35)
    place[0], aim[0] = here, target
    return place, aim


def walk(tracer: Tracer, mesh: Mesh, room: Room, cam_from_uv: Array, camera: int, count: int,
         seed: list[int]) -> Trajectory:  # fmt: skip
    """A trajectory of `count` poses; a longer one with the same seed starts with the same poses.

    Args:
        tracer: the room.
        mesh: the same room.
        room: for its size and the camera's first pose.
        cam_from_uv: (3, 3) float64, the kind of camera.
        camera: index into `room.starts`.
        count: poses.
        seed: key of the random choices.
    """
    grid = rays(cam_from_uv, ROWS, COLS).reshape(-1, 3)
    uv_from_cam = np.linalg.inv(cam_from_uv)
    start, target = (np.array(v, float) for v in room.starts[camera])
    here, places, targets = start, [start], [target]
    for frame in range(1, count):
        rng = np.random.default_rng([*seed, frame])
        place, aim = _propose(room, here, target, (target + targets[0]) / 2, start, rng)
        turns = look_at(place, aim)
        views = _look(tracer, place, turns, grid)
        last = _look(tracer, here[None], look_at(here[None], target[None]), grid)
        overlap = _overlap(tracer, place, turns, uv_from_cam, last.points[0][last.face[0] != MISS])
        clear = tracer.clearance(place.astype(np.float32)) > CLEARANCE
        score = _interest(mesh, views) + 4.0 * np.minimum(overlap, 0.6) + rng.uniform(0.0, 3.0, CANDIDATES)
        score -= 50.0 * (overlap < 0.35) + 1000.0 * ~clear
        score[0] -= 20.0
        best = int(np.argmax(score))
        here, target = place[best], aim[best]
        places.append(here)
        targets.append(target)
    stacked = np.stack(places), np.stack(targets)
    return Trajectory(*stacked, look_at(*stacked))
