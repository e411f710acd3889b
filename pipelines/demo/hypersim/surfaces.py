"""Parametric surface patches: the bricks from which demo furniture is built."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .arrays import Array


@dataclass(frozen=True)
class Patch:
    """One regular grid of surface points.

    Attributes:
        points: (R, C, 3) float64 metres.
        normals: (R, C, 3) float64 unit outward normals, smooth over the patch.
        rows: (R,) float64 ascending surface coordinate in metres along the first axis.
        cols: (C,) float64 the same along the second axis.
    """

    points: Array
    normals: Array
    rows: Array
    cols: Array


def moved(patch: Patch, yaw: float, at: ArrayLike) -> Patch:
    """The patch turned about +z by `yaw` radians, then shifted by `at` (3,) metres."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return Patch(patch.points @ turn.T + np.asarray(at, float), patch.normals @ turn.T, patch.rows, patch.cols)


def rectangle(corner: ArrayLike, along_rows: ArrayLike, along_cols: ArrayLike) -> Patch:
    """A flat rectangle from `corner` (3,) with two edge vectors (3,) in metres; its normal is rows x cols."""
    start, down, across = (np.asarray(v, float) for v in (corner, along_rows, along_cols))
    points = start + np.array([0.0, 1.0])[:, None, None] * down + np.array([0.0, 1.0])[None, :, None] * across
    normal = np.cross(down, across)
    normals = np.broadcast_to(normal / np.linalg.norm(normal), points.shape)
    lengths = np.linalg.norm(down), np.linalg.norm(across)
    return Patch(points, normals, np.array([0.0, lengths[0]]), np.array([0.0, lengths[1]]))


def _lines(low: float, high: float, radius: float, steps: int) -> Array:
    """Grid lines across one side of a block: equal angles over each rounded edge, one cell for the flat part."""
    if radius == 0.0:
        return np.array([low, high])
    bend = radius * np.tan(np.linspace(0.0, np.pi / 4, steps + 1))
    return np.concatenate([low + radius - bend[::-1], high - radius + bend])


def block(low: ArrayLike, high: ArrayLike, radius: float = 0.0, steps: int = 2) -> list[Patch]:
    """An axis-aligned box between two corners (3,) in metres, its edges rounded.

    A point of the sharp box is drawn to its nearest point of the box shrunk by `radius`, so that neighbouring sides
    meet at 45 degrees without a gap.

    Args:
        low: least corner.
        high: greatest corner.
        radius: edge radius; reduced to half the smallest side where larger, none where below 0.1 mm.
        steps: cells over half an edge's quarter circle.
    """
    lo, hi = np.asarray(low, float), np.asarray(high, float)
    radius = min(radius, 0.499 * float((hi - lo).min()))
    radius = radius if radius >= 1e-4 else 0.0
    sides = []
    for axis in range(3):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        rows, cols = _lines(lo[a], hi[a], radius, steps), _lines(lo[b], hi[b], radius, steps)
        for level, sign in ((lo[axis], -1.0), (hi[axis], 1.0)):
            outer = np.empty((len(rows), len(cols), 3))
            outer[..., axis], outer[..., a], outer[..., b] = level, rows[:, None], cols[None, :]
            inner = np.clip(outer, lo + radius, hi - radius)
            normals = np.zeros_like(outer)
            normals[..., axis] = sign
            if radius > 0.0:
                normals = (outer - inner) / np.linalg.norm(outer - inner, axis=-1, keepdims=True)
            sides.append(Patch(inner + radius * normals, normals, rows - rows[0], cols - cols[0]))
    return sides


def revolve(profile: ArrayLike, segments: int = 32, at: ArrayLike = (0.0, 0.0, 0.0)) -> Patch:
    """A surface of revolution about the z axis through `at`.

    Args:
        profile: (K, 2) radius and height in metres. Walking along it, the outside is to the right: upwards gives a
            wall that faces away from the axis, inwards a lid that faces up.
        segments: cells around the axis.
        at: (3,) shift in metres.
    """
    line = np.asarray(profile, float)
    tangent = np.gradient(line, axis=0, edge_order=2 if len(line) > 2 else 1)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    angle = np.linspace(0.0, 2 * np.pi, segments + 1)
    c, s = np.cos(angle), np.sin(angle)
    c[-1], s[-1] = c[0], s[0]

    def spin(radial: Array, height: Array) -> Array:
        tall = np.broadcast_to(height[:, None], (len(line), segments + 1))
        return np.stack([radial[:, None] * c, radial[:, None] * s, tall], axis=-1)

    rows = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    points = spin(line[:, 0], line[:, 1]) + np.asarray(at, float)
    return Patch(points, spin(tangent[:, 1], -tangent[:, 0]), rows, angle * line[:, 0].max())


def sphere(radius: float, at: ArrayLike, segments: int = 48) -> Patch:
    """A sphere of `radius` metres about `at` (3,)."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius
    ring[[0, -1], 0] = 0.0
    return revolve(ring, segments, at)


def cylinder(low_radius: float, high_radius: float, low: float, high: float, at: ArrayLike = (0.0, 0.0, 0.0),
             segments: int = 32) -> list[Patch]:  # fmt: skip
    """A closed upright cylinder or cone stump: side, bottom and lid, between heights `low` and `high` above `at`."""
    side = revolve([(low_radius, low), (high_radius, high)], segments, at)
    bottom = revolve([(0.0, low), (low_radius, low)], segments, at)
    return [side, bottom, revolve([(high_radius, high), (0.0, high)], segments, at)]


def drape(start: ArrayLike, along: ArrayLike, height: float, waves: int, depth: float) -> Patch:
    """A wavy hanging cloth.

    Args:
        start: (3,) lower corner, metres.
        along: (3,) horizontal vector from one end to the other; the cloth faces along x up.
        height: metres.
        waves: folds over the width.
        depth: amplitude of the folds in metres.
    """
    base, across = np.asarray(start, float), np.asarray(along, float)
    width = float(np.linalg.norm(across))
    out = np.cross(across / width, [0.0, 0.0, 1.0])
    where = np.linspace(0.0, 1.0, waves * 12 + 1)
    phase = 2 * np.pi * waves * where
    line = base + where[:, None] * across + depth * np.sin(phase)[:, None] * out
    slope = depth * 2 * np.pi * waves / width * np.cos(phase)
    normal = out - slope[:, None] * across / width
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    points = np.stack([line, line + np.array([0.0, 0.0, height])])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    return Patch(points, np.broadcast_to(normal, points.shape), np.array([0.0, height]), length)
