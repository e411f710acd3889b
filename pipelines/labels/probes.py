"""Light probes: points in free space that a frame sees, and the light that arrives there as other frames saw it.

The world's surfels are small squares that rays from a probe hit or miss: the nearest along a ray wins, as in a
z-buffer, but with the depth test made for every direction by itself, so that near surfaces have no holes however
near they are. Every surfel blocks; only those that face the probe and that some other frame saw shine.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...datasets.camera import project
from ...datasets.envmap import gather, texel_rays
from ...datasets.voxels import VoxelState
from ..native import import_open3d
from .scene_view import SceneView
from .surfels import Surfels, surfel_keys

VERSION = 1  # raised whenever a position, a radiance or a mask changes

# Half the side of a surfel's square in spacings. Larger squares reach further beyond the rims of things; through
# smaller ones more directions slip where a slanted plane cuts cells (on a sphere 0.2 % at 0.6, 0.07 % at 0.65).
HALF_SIDE = 0.65
LEAST_OTHERS = 0.01  # share of a surfel's weight that other frames must have for its colour to be told from ours
LEAST_HIT = 0.5  # share of a texel's solid angle that must be known
CLEARANCES = (0.5, 0.35, 0.25, 0.15)  # metres, the first that enough candidates keep is taken
CHOICE = 64  # candidates among which those far from each other are chosen
MISS = np.uint32(0xFFFFFFFF)
BRIGHTEST = float(np.finfo(np.float16).max)

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class FreeSpace(Protocol):
    """What is asked of the scene's voxels."""

    def lookup(self, points: Doubles) -> NDArray[np.uint8]:
        """States (N,) of the voxels that hold world points (N, 3)."""
        ...

    def unknown_distance(self, points: Doubles) -> NDArray[np.floating]:
        """Metres (N,) from world points (N, 3) to the nearest voxel that is occluded or unobserved."""
        ...


@dataclass(frozen=True)
class ProbeLight:
    """Environment maps of P probes, in world axes as `datasets.envmap` defines them.

    Attributes:
        radiance: (P, height, width, 3) float16 linear HDR; zeros where the mask is 0.
        mask: (P, height, width) uint8, 1 where at least half of the texel is known.
    """

    radiance: NDArray[np.float16]
    mask: NDArray[np.uint8]


class ProbeScene:
    """Surfels of a scene, made ready once for the probes of all its frames.

    Args:
        lights: surfels with colours, fused over all frames of the scene; about 4 to 8 cm apart.
    """

    def __init__(self, lights: Surfels) -> None:
        self._core: Any = import_open3d().core
        self._scene: Any = import_open3d().t.geometry.RaycastingScene(nthreads=1)
        self.lights = lights
        if len(lights.position):
            corners, faces = _squares(lights.position, lights.normal, HALF_SIDE * lights.spacing)
            self._scene.add_triangles(self._core.Tensor.from_numpy(corners), self._core.Tensor.from_numpy(faces))

    def clearance(self, points: Doubles) -> Floats:
        """Metres (N,) float32 from world points (N, 3) to the nearest surfel; inf in a scene that has none."""
        if not len(self.lights.position):
            return np.full(len(points), np.inf, np.float32)
        query = self._core.Tensor.from_numpy(np.ascontiguousarray(points, np.float32))
        return self._scene.compute_distance(query, nthreads=1).numpy()

    def hits(self, positions: NDArray[np.floating], directions: NDArray[np.floating]) -> tuple[Ints, Floats]:
        """The first surfel along each direction.

        Args:
            positions: (P, 3) metres, world.
            directions: (R, 3) unit vectors, world, the same from every position.

        Returns:
            (P, R) int64 surfels, -1 where nothing was hit or what was hit turns its back; (P, R) float32 distances of
            the hits in metres, inf where nothing was hit.
        """
        rays = np.empty((len(positions), len(directions), 6), np.float32)
        rays[..., :3], rays[..., 3:] = np.asarray(positions)[:, None], directions
        if not len(self.lights.position):
            return np.full(rays.shape[:2], -1), np.full(rays.shape[:2], np.inf, np.float32)
        found = self._scene.cast_rays(self._core.Tensor.from_numpy(rays), nthreads=1)
        face = found["primitive_ids"].numpy()
        surfel = np.where(face == MISS, 0, face // 2).astype(np.int64)
        facing = np.einsum("prk,prk->pr", self.lights.normal[surfel], rays[..., 3:]) < 0
        return np.where((face != MISS) & facing, surfel, -1), found["t_hit"].numpy()

    def light(
        self, positions: NDArray[np.floating], colour: Floats, lit: Bools, height: int = 16, width: int = 32,
        fine: int = 8,
    ) -> ProbeLight:  # fmt: skip
        """Environment maps at positions.

        Radiance is the plain mean over those directions of a texel (up to `fine` x `fine`, weighted by solid angle)
        that are known, so that small bright sources keep their energy.

        Args:
            positions: (P, 3) metres, world.
            colour: (N, 3) float32 linear radiance of each surfel, such as `from_others` gives.
            lit: (N,) which surfels' colours are known; the others are black holes: they hide what is behind them.
            height: rows of a map.
            width: columns of a map.
            fine: directions along each side of a texel.
        """
        rays = texel_rays(height, width, fine)
        surfel, _ = self.hits(positions, rays.direction)
        known = surfel >= 0
        known[known] = lit[surfel[known]]
        values = np.zeros((*surfel.shape, 3), np.float32)
        values[known] = colour[surfel[known]]
        mean, share = gather(values, known, rays, height * width)
        mask = (share >= LEAST_HIT).reshape(len(positions), height, width)
        radiance = mean.reshape(*mask.shape, 3).clip(0, BRIGHTEST).astype(np.float16)
        return ProbeLight(np.where(mask[..., None], radiance, np.float16(0)), mask.astype(np.uint8))


def _squares(centre: Floats, normal: Floats, half: float) -> tuple[Floats, NDArray[np.uint32]]:
    """Corners (4 N, 3) and faces (2 N, 3) of squares across the normals, two sides along the cells where possible.

    A square on a plane along two world axes fills its cell's cut through that plane.
    """
    across = np.zeros_like(normal)
    across[np.arange(len(normal)), np.abs(normal).argmin(axis=1)] = 1
    first = np.cross(normal, across)
    first *= half / np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(normal, first)
    corners = np.stack([centre - first - second, centre + first - second, centre + first + second,
                        centre - first + second], axis=1)  # fmt: skip
    start = 4 * np.arange(len(centre), dtype=np.uint32)[:, None, None]
    faces = start + np.array([[0, 1, 2], [0, 2, 3]], np.uint32)
    return corners.reshape(-1, 3).astype(np.float32), faces.reshape(-1, 3)


def from_others(
    lights: Surfels, points: NDArray[np.floating], normals: Floats, weights: Floats, colours: Floats
) -> tuple[Floats, Bools]:
    """Colours of the surfels without what one frame gave them.

    Positions and normals keep that frame's part: it is its light that must not be in its own probes.

    Args:
        lights: (N) surfels, fused over all frames from points of known colour.
        points: (M, 3) metres, world; the frame's points exactly as they were added.
        normals: (M, 3) their unit normals, world.
        weights: (M,) their weights.
        colours: (M, 3) their linear colours.

    Returns:
        (N, 3) float32 weighted means over the other frames' points, and (N,) where there are any: where the other
        frames' share of the weight is at least 1 %. Colours elsewhere are zero.
    """
    count = len(lights.position)
    surfel = lights.rows(surfel_keys(points, normals, lights.spacing))
    mine = surfel >= 0
    index, weight = surfel[mine], weights[mine].astype(np.float64)
    whole = lights.weight.astype(np.float64)
    left = whole - np.bincount(index, weight, count)
    lit = left > LEAST_OTHERS * whole
    colour = lights.colour * whole[:, None]
    for channel in range(3):
        colour[:, channel] -= np.bincount(index, weight * colours[mine, channel], count)
    others = np.maximum(colour / np.where(lit, left, 1)[:, None], 0)
    return np.where(lit[:, None], others, 0).astype(np.float32), lit


def place_probes(
    view: SceneView, grid: FreeSpace, voxel: float, scene: ProbeScene, cube: Doubles, rng: np.random.Generator,
    count: int = 8, candidates: int = 4096,
) -> Floats | None:  # fmt: skip
    """Probe positions of a frame: centres of free voxels of its cube that its camera sees, far from each other.

    Random points on random pixels' rays (nearer the surface rather than the camera, as a cone's volume lies) give
    voxels. A voxel counts where it is free, its centre is in the cube and in the picture, and all of it is in front of
    the frame's surface there. Its clearance is the distance to the nearest surfel or unknown voxel; the largest of 0.5,
    0.35, 0.25 and 0.15 m is asked for that leaves several times as many as are needed, or else the smallest.

    Args:
        view: the frame.
        grid: voxels of the scene.
        voxel: their side in metres; their centres lie at (i + 1/2) voxel.
        scene: surfels of the scene.
        cube: (4,) centre and side, metres, world.
        rng: keyed generator of the frame.
        count: number of probes.
        candidates: number of random points.

    Returns:
        (count, 3) float32 metres, world; None if fewer voxels than that keep the smallest clearance.
    """
    centres = _seen_voxels(view, voxel, cube, rng, candidates)
    centres = centres[grid.lookup(centres) == VoxelState.FREE]
    if len(centres) < count:
        return None
    clear = np.minimum(scene.clearance(centres), grid.unknown_distance(centres))
    several = [level for level in CLEARANCES if (clear >= level).sum() >= 4 * count]
    centres = centres[clear >= (several or CLEARANCES[-1:])[0]]
    if len(centres) < count:
        return None
    return _spread(rng.permutation(centres)[:CHOICE], count).astype(np.float32)


def _seen_voxels(view: SceneView, voxel: float, cube: Doubles, rng: np.random.Generator, candidates: int) -> Doubles:
    """Centres (N, 3) of different voxels inside the cube and wholly in front of what the frame sees."""
    valid = np.flatnonzero(np.isfinite(view.distance))
    if not len(valid):
        return np.empty((0, 3))
    pixel = valid[rng.integers(len(valid), size=candidates)]
    reach = view.distance.ravel()[pixel] * np.sqrt(rng.random(candidates))
    points = view.centre + reach[:, None] * view.world_rays().reshape(-1, 3)[pixel]
    cell = np.unique(np.floor(points / voxel).astype(np.int64), axis=0)
    centres = (cell + 0.5) * voxel
    centres = centres[(np.abs(centres - cube[:3]) < cube[3] / 2).all(axis=1)]
    height, width = view.distance.shape
    local = (centres - view.centre) @ view.world_from_camera[:3, :3]
    place, depth = project(local, view.intrinsics)
    inside = (depth > 0) & (place >= 0).all(axis=1) & (place < (width, height)).all(axis=1)
    centres, local, place = centres[inside], local[inside], place[inside].astype(np.int64)
    seen = view.distance[place[:, 1], place[:, 0]] - np.linalg.norm(local, axis=1)
    return centres[seen > np.sqrt(3) / 2 * voxel]


def _spread(points: Doubles, count: int) -> Doubles:
    """The first point, then again and again the one farthest from those chosen: (count, 3) of (N, 3)."""
    chosen = [0]
    nearest = np.full(len(points), np.inf)
    for _ in range(count - 1):
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        chosen.append(int(nearest.argmax()))
    return points[chosen]
