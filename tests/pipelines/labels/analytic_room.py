"""A room with two balls whose distances are known in closed form: the oracle of labels between frames."""

import numpy as np
from scipy.spatial.transform import Rotation
from tessera.datasets.camera import pixel_rays
from tessera.pipelines.labels.scene_view import SceneView

HALF = np.array([3.0, 2.0, 4.0])  # the room spans -HALF .. HALF
BALLS = [(np.array([0.3, 0.2, 0.5]), 0.6), (np.array([-1.2, -0.4, 1.5]), 0.45)]
HEIGHT, WIDTH = 192, 256
SKEWED = np.array([[190.0, 12.0, 140.0], [0, 180.0, 82.0], [0, 0, 1]])  # a tilt-shift lens: skew, centre far off


def cast(origin, directions):
    """Distances (...,) float64 from a point inside the room along unit directions (..., 3)."""
    with np.errstate(divide="ignore", invalid="ignore"):  # a ray along a wall never meets it
        walls = np.abs((np.sign(directions) * HALF - origin) / directions)
    nearest = np.nanmin(walls, axis=-1)
    for centre, radius in BALLS:
        along = directions @ (centre - origin)
        inside = along**2 - (centre - origin) @ (centre - origin) + radius**2
        hit = (inside > 0) & (along > 0)
        nearest = np.where(hit, np.minimum(nearest, along - np.sqrt(np.maximum(inside, 0))), nearest)
    return nearest


def pose(centre, look_at, roll=0.0):
    """(4, 4) world_from_camera of a camera at `centre` that looks at a point."""
    forward = np.subtract(look_at, centre) / np.linalg.norm(np.subtract(look_at, centre))
    right = np.cross([0, 1.0, 0.1], forward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    matrix[:3, :3] = matrix[:3, :3] @ Rotation.from_rotvec([0, 0, roll]).as_matrix()
    matrix[:3, 3] = centre
    return matrix


def photograph(centre, look_at, intrinsics=SKEWED, key="view", size=(HEIGHT, WIDTH), roll=0.0):
    """The view of a camera in the room."""
    world_from_camera = pose(centre, look_at, roll)
    rays = pixel_rays(intrinsics, *size) @ world_from_camera[:3, :3].T
    distance = cast(np.asarray(centre), rays).astype(np.float16)
    return SceneView(key, intrinsics, world_from_camera, distance)


def photographs():
    """Six views: around the balls, close up, and one that looks the other way."""
    balls = (-0.3, 0.0, 1.0)
    return [
        photograph((0.0, 0.3, -3.0), balls, key="front"),
        photograph((1.5, 0.1, -2.5), balls, key="right"),
        photograph((-2.2, -0.8, -1.5), balls, key="left", roll=0.4),
        photograph((2.5, 1.0, 3.0), balls, key="behind"),
        photograph((0.2, 0.3, -1.0), (0.3, 0.2, 0.5), key="close"),
        photograph((0.0, 0.0, -2.0), (0.0, 0.2, -4.0), key="away"),
    ]
